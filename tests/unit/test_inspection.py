"""Commands that only read: what they print, and their exit codes."""

from __future__ import annotations

import os
import subprocess

import pytest

from proxy.adapters.files.status_file import Status
from tests.builders import with_labels
from tests.command_line import REFUSED, CommandLine

WEB = with_labels(VIRTUAL_HOST="www.example.com, www.example.com/api/*")


def lines_of(text: str) -> list[list[str]]:
    """Return the cells of a table, line by line."""
    return [line.split() for line in text.splitlines()]


def test_check_of_good_services_finds_nothing(command_line: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    command_line.write_services(web=WEB)

    code = command_line.run("check")

    said = capsys.readouterr().out
    assert (0, "the configuration loads (1 backends, 1 servers, 2 routes, 0 certificates); 0 problems\n") == (code, said)


def test_check_names_every_problem(command_line: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    command_line.write_services(web=WEB, bad=with_labels(VIRTUAL_HOST="ftp://a.com"))

    code = command_line.run("check")

    problem, summary = capsys.readouterr().out.splitlines()
    assert problem.startswith("problem: container bad-1: aliyun.proxy.VIRTUAL_HOST='ftp://a.com': ")
    assert (1, True) == (code, summary.endswith("; 1 problem"))


def test_service_that_haproxy_refuses_is_a_problem_and_the_others_load(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    command_line.write_services(web=WEB, bad=with_labels(VIRTUAL_HOST="bad.example", EXTRA_SETTINGS=f"{REFUSED} 1"))

    code = command_line.run("check")

    problem, summary = capsys.readouterr().out.splitlines()
    assert (1, True, True) == (code, "bad" in problem, REFUSED in problem)
    assert summary.startswith("the configuration loads (1 backends, ")


def test_settings_that_haproxy_refuses_are_the_user_s(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTRA_GLOBAL_SETTINGS", REFUSED)

    code = command_line.run("check")

    told = capsys.readouterr().err
    assert (2, True) == (code, "HAProxy refuses the proxy's own settings" in told)
    assert "\nEXTRA_GLOBAL_SETTINGS: config : " in told


OWN_LINES = {
    "EXTRA_GLOBAL_SETTINGS": REFUSED,
    "EXTRA_DEFAULT_SETTINGS": REFUSED,
    "EXTRA_FRONTEND_SETTINGS_80": REFUSED,
    "EXTRA_BIND_SETTINGS": f"80:{REFUSED}",
    "ADDITIONAL_BACKEND_old": REFUSED,
    "OPTION": REFUSED,
    "SSL_BIND_OPTIONS": REFUSED,
    "SSL_BIND_CIPHERS": REFUSED,
    "BALANCE": f"source {REFUSED}",
    "HTTP_BASIC_AUTH": f"alice:{REFUSED}",
    "STATS_AUTH": f"alice:{REFUSED}",
    "RSYSLOG_DESTINATION": f"/{REFUSED}",
}


@pytest.mark.parametrize(("name", "value"), OWN_LINES.items(), ids=OWN_LINES)
def test_variable_behind_a_refused_line_is_named(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("EXTRA_FRONTEND_SETTINGS_FILE_90", "/dev/null")

    command_line.run("check")

    assert f"\n{name}: config : " in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["EXTRA_GLOBAL_SETTINGS_FILE", "EXTRA_DEFAULT_SETTINGS_FILE", "ADDITIONAL_BACKEND_FILE_old"]
)
def test_variable_of_a_file_with_a_refused_line_is_named(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = command_line.folder / "lines.cfg"
    path.write_text(f"{REFUSED}\n")
    monkeypatch.setenv(name, str(path))

    command_line.run("check")

    assert f"\n{name}: config : " in capsys.readouterr().err


def test_variable_on_the_server_lines_is_named(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTRA_ROUTE_SETTINGS", REFUSED)
    command_line.write_services(web=WEB)

    command_line.run("check")

    assert "EXTRA_ROUTE_SETTINGS of the proxy: left out, HAProxy rejects it" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "render"])
def test_folder_without_templates_is_told(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("PROXY_TEMPLATES", "/nonexistent")

    code = command_line.run(command)

    said = capsys.readouterr().err
    assert (1, True) == (code, "backend.cfg.j2" in said and "correct it (PROXY_TEMPLATES)" in said), said


def test_rendered_configuration_hides_passwords(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATS_AUTH", "ops:pw-of-ops")
    command_line.write_services(web=WEB, bad=with_labels(VIRTUAL_HOST="ftp://a.com"))

    code = command_line.run("render")

    printed = capsys.readouterr()
    assert (0, False) == (code, "pw-of-ops" in printed.out)
    assert "stats auth" in printed.out
    assert "# maps/" in printed.out
    assert printed.err.startswith("problem: container bad-1: ")


def test_routes_are_listed_in_the_order_in_which_they_are_tried(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    command_line.write_services(web=WEB, every=with_labels(VIRTUAL_HOST="*"))

    code = command_line.run("routes")

    head, *rows = lines_of(capsys.readouterr().out)
    assert (0, ["host", "path", "service", "servers", "weight", "state"]) == (code, head)
    assert [
        ["http://www.example.com", "/api/*", "shop:web"],
        ["http://www.example.com", "*", "shop:web"],
        ["http://*", "*", "shop:every"],
    ] == [row[:3] for row in rows]


def test_nothing_is_served_where_no_proxy_was_started(command_line: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    command_line.write_services(web=WEB)

    code = command_line.run("routes")

    printed = capsys.readouterr()
    _, *rows = lines_of(printed.out)
    assert (0, [["not", "served"]] * 2) == (code, [row[-2:] for row in rows])
    assert "no proxy has been started here" in printed.err


@pytest.mark.parametrize("command", ["check", "routes"])
def test_haproxy_that_does_not_answer_is_told(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    command_line.write_services(web=WEB)
    command_line.write_status(Status(pid=os.getpid(), passes=1, forced=0, sentence="done", is_success=True))

    code = command_line.run(command)

    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("problem: ")]
    assert (3, 1) == (code, len(told))
    assert told[0].startswith("problem: the proxy: HAProxy does not answer, nothing is served: ")


@pytest.mark.parametrize(
    ("began", "expected"), [(1.0, "has not reported for"), (0.0, "does not run")], ids=["silent", "ended"]
)
def test_controller_that_does_not_report_is_told(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str], began: float, expected: str
) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    pid = os.getpid() if began else ended.pid
    command_line.write_status(Status(pid=pid, passes=1, forced=0, sentence="done", is_success=True, began=began))

    code = command_line.run("check")

    assert (3, True) == (code, f"the controller, process {pid}, {expected}" in capsys.readouterr().out)


def test_routes_tell_what_is_not_routed_and_why(command_line: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    command_line.write_services(bad=with_labels(VIRTUAL_HOST="ftp://a.com"))

    command_line.run("routes")

    assert "\nnot routed: container bad-1: aliyun.proxy.VIRTUAL_HOST='ftp://a.com': " in capsys.readouterr().out


def test_tcp_ports_are_listed_with_their_servers(command_line: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    command_line.write_services(db=with_labels(TCP_PORTS="5432"))

    command_line.run("routes")

    rows = [row for row in lines_of(capsys.readouterr().out) if row[:3] == ["tcp", "port", "5432"]]
    assert [["shop:db"]] == [row[3:4] for row in rows]
