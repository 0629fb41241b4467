"""The command line: exit codes that scripts rely on, and messages for people on standard error."""

from __future__ import annotations

import logging

import pytest

from proxy import __version__
from proxy.cli import COMMANDS
from tests.builders import with_labels
from tests.command_line import CommandLine


def test_every_fault_of_the_settings_is_told_at_once(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAXCONN", "many")
    monkeypatch.setenv("BALANCE", "fastest")

    code = command_line.run("check")

    told = capsys.readouterr().err.splitlines()
    assert (2, ["BALANCE", "MAXCONN"]) == (code, sorted(line.removeprefix("proxy: ").partition("=")[0] for line in told))


def test_source_that_does_not_answer_is_no_fault_of_the_settings(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    (command_line.folder / "services.yml").unlink()

    code = command_line.run("check")

    assert (3, True) == (code, "services.yml" in capsys.readouterr().err)


def test_state_that_cannot_be_read_is_a_problem(command_line: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    (command_line.state / "weights.json").write_text("[1]")
    command_line.write_services(web=with_labels(VIRTUAL_HOST="a.com"))

    code = command_line.run("weight")

    assert (1, True) == (code, "weights.json is not a mapping" in capsys.readouterr().err)


def test_missing_haproxy_is_a_fault_of_the_settings(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROXY_HAPROXY", "no-such-haproxy")

    code = command_line.run("check")

    assert (2, True) == (code, "there is no HAProxy program 'no-such-haproxy'" in capsys.readouterr().err)


def test_mode_on_the_command_line_overrides_the_variable(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROXY_MODE", "custom")
    command_line.write_services(web={"aliyun.routing.port_80": "www.example.com"})

    code = command_line.run("routes", "--mode", "acsrouting")

    assert (0, True) == (code, "www.example.com" in capsys.readouterr().out)


@pytest.mark.parametrize(("command", "code"), [("check", 0), ("routes", 0)])
def test_note_on_a_label_is_told_and_is_no_problem(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str], command: str, code: int
) -> None:
    command_line.write_services(web=with_labels(VIRTUAL_HOST="a.com", FAILOVER="sometimes"))

    assert code == command_line.run(command)
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert 1 == len(notes)
    assert "aliyun.proxy.FAILOVER='sometimes': is neither yes nor no" in notes[0]


def test_command_line_that_is_wrong_ends_with_2(command_line: CommandLine) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.run("no-such-command")

    assert 2 == ended.value.code


@pytest.mark.parametrize(("debug", "level"), [("true", logging.DEBUG), ("false", logging.INFO)], ids=["debug", "quiet"])
def test_details_are_logged_when_asked_for(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, debug: str, level: int
) -> None:
    monkeypatch.setenv("DEBUG", debug)

    command_line.run("check")

    assert level == logging.getLogger().level


@pytest.mark.parametrize("arguments", [("check",), ("routes",), ("weight",), ("weight", "nobody", "5")])
def test_text_of_labels_and_names_forges_no_line(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    good = with_labels(VIRTUAL_HOST="good.example", FAILOVER="sometimes\nproblem: forged\x1b[2J")
    bad = with_labels(VIRTUAL_HOST="bad.example\nproblem: forged\x1b[2J", NETWORK="\u202eforged")
    command_line.write_services(**{"go\nod: forged": good, "ba\rd\x1b[2J": bad})

    command_line.run(*arguments)

    told = capsys.readouterr()
    assert "forged" in told.out + told.err
    assert [] == [line for line in (told.out + told.err).split("\n") if not line.isprintable()]
    assert [] == [line for line in (told.out + told.err).splitlines() if line.startswith(("problem: forged", "od: forged"))]


def test_without_a_command_the_commands_are_listed(command_line: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    code = command_line.run()

    told = capsys.readouterr().err
    assert 2 == code
    assert [] == [name for name, *_ in COMMANDS if f"    {name} " not in told]


@pytest.mark.parametrize("arguments", [("--version",), ("check", "--version")])
def test_version_is_printed(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.run(*arguments)

    assert (0, f"proxy {__version__}\n") == (ended.value.code, capsys.readouterr().out)
