"""The whole program with a services file, as a user starts it: the effect of the variables about its surroundings. No
command shows a secret."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from dataclasses import replace
from functools import partial

import pytest

from proxy import __version__
from proxy.adapters.haproxy.runtime_socket import RuntimeSocket
from tests.builders import TEMPLATES, make_pem, one_line
from tests.eventually import eventually
from tests.haproxy.client import HOST, any_tls, ask
from tests.haproxy.product import Product
from tests.haproxy.program import Program

pytestmark = pytest.mark.haproxy


def test_services_of_the_file_are_served_and_followed(program: Program, product: Product) -> None:
    first, second = product.backend("first"), product.backend("second")
    program.write_services(web=(first, {"VIRTUAL_HOST": HOST}))

    with program.running():
        before = eventually(lambda: ask(80 + program.offset).server)
        program.write_services(web=(second, {"VIRTUAL_HOST": HOST}))
        eventually(lambda: ask(80 + program.offset).server == "second")

    assert "first" == before


def test_log_begins_with_the_versions_of_what_runs(program: Program, haproxy_binary: str) -> None:
    program.write_services()

    with program.running():
        first, second = eventually(lambda: lines if len(lines := program.log.read_text().splitlines()[:2]) == 2 else [])

    python = ".".join(map(str, sys.version_info[:3]))
    expected = rf"proxy: proxy {re.escape(__version__)}, HAProxy \d\.\d\.\d+ at {haproxy_binary}, Python {python}; state in "
    assert re.search(expected, first), first
    told = f"the statistics page on port {1936 + program.offset} has the default password; set STATS_AUTH, or STATS_PORT=off"
    assert second.endswith(told), second


SLOW_DNS = """
import os, socket, time
resolve = socket.getaddrinfo
def getaddrinfo(host, *arguments, **options):
    if str(host).endswith(".slow.example"):
        while not os.path.exists(os.environ["DNS_ANSWERS"]):
            time.sleep(0.02)
        host = "127.0.0.1"
    return resolve(host, *arguments, **options)
socket.getaddrinfo = getaddrinfo
"""


def test_dns_that_does_not_answer_delays_neither_the_start_nor_a_change(program: Program, product: Product) -> None:
    first, second, slow = product.backend("first"), product.backend("second"), product.backend("slow")
    named = {
        f"db{number}": (replace(slow, address=f"db{number}.slow.example"), {"VIRTUAL_HOST": f"db{number}.example"})
        for number in range(3)
    }
    (program.folder / "sitecustomize.py").write_text(SLOW_DNS)
    answers = program.folder / "answers"
    program.write_services(web=(first, {"VIRTUAL_HOST": HOST}), **named)

    with program.running(PYTHONPATH=str(program.folder), DNS_ANSWERS=str(answers)):
        eventually(lambda: ask(80 + program.offset).server == "first")
        program.write_services(web=(second, {"VIRTUAL_HOST": HOST}), **named)
        eventually(lambda: ask(80 + program.offset).server == "second")
        unanswered = [ask(80 + program.offset, host=f"db{number}.example").status for number in range(3)]
        answers.touch()

        def answers_slowly(number: int) -> bool:
            return ask(80 + program.offset, host=f"db{number}.example").server == "slow"

        for number in range(3):
            eventually(partial(answers_slowly, number))

    assert [503] * 3 == unanswered


def test_controller_takes_the_news_of_a_started_haproxy(program: Program, product: Product) -> None:
    program.write_services(web=(product.backend(), {"VIRTUAL_HOST": HOST}))

    with program.running(DEBUG="true"):
        eventually(lambda: ask(80 + program.offset).server)
        mark = program.folder / "state" / "haproxy.started"
        haproxy = int(eventually(mark.read_text).split()[0])
        os.kill(haproxy, signal.SIGKILL)
        eventually(lambda: ask(80 + program.offset).server)
        eventually(lambda: "HAProxy was started" in program.log.read_text())


def test_state_is_for_its_owner_only(program: Program, product: Product) -> None:
    program.write_services(web=(product.backend(), {"VIRTUAL_HOST": f"https://{HOST}"}))

    with program.running(DEFAULT_SSL_CERT=one_line(make_pem(HOST)), HTTP_BASIC_AUTH="alice:secret"):
        eventually(lambda: ask(443 + program.offset, tls=any_tls()).status == 401)
        modes = {path.name: path.stat().st_mode & 0o777 for path in program.current.rglob("*") if path.is_file()}

    assert {"haproxy.cfg", "cert0.pem", "certificates.list"} <= modes.keys()
    assert {0o600} == set(modes.values())


@pytest.mark.parametrize(("variables", "is_shown"), [({}, False), ({"DEBUG": "true"}, True)], ids=["quiet", "debug"])
def test_details_are_logged_when_asked_for(
    program: Program, product: Product, variables: dict[str, str], is_shown: bool
) -> None:
    program.write_services(web=(product.backend(), {"VIRTUAL_HOST": HOST}))

    with program.running(**variables):
        eventually(lambda: ask(80 + program.offset).server)
        eventually(lambda: " INFO " in program.log.read_text())

    assert is_shown == (" DEBUG " in program.log.read_text())


def test_templates_may_be_one_s_own(program: Program, product: Product) -> None:
    own = program.folder / "templates"
    shutil.copytree(TEMPLATES, own)
    template = own / "haproxy.cfg.j2"
    template.write_text(template.read_text().replace("global\n", "global\n    description our own\n", 1))
    program.write_services(web=(product.backend(), {"VIRTUAL_HOST": HOST}))

    rendered = program.run("render", PROXY_TEMPLATES=str(own))

    assert "description our own" in rendered.stdout


@pytest.mark.parametrize(
    ("files", "variables", "connections"),
    [
        pytest.param("1024:4096", {}, 1886, id="fewer-files-than-by-default"),
        pytest.param("20000", {"MAXCONN": "50000"}, 9341, id="more-connections-than-files"),
    ],
)
def test_haproxy_takes_what_the_limit_of_files_allows(
    program: Program, product: Product, files: str, variables: dict[str, str], connections: int
) -> None:
    """As in a container: even root may not raise the limits."""
    program.write_services(web=(product.backend(), {"VIRTUAL_HOST": HOST}))
    limited = ("prlimit", f"--nofile={files}", "setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource")

    with program.running(within=limited, NBTHREAD="2", **variables):
        eventually(lambda: ask(80 + program.offset).server)
        info = RuntimeSocket(program.folder / "state" / "haproxy.sock").send("show info").splitlines()
        log = eventually(lambda: text if "MAXCONN=" in (text := program.log.read_text()) else "")

    assert f"Maxconn: {connections}" in info
    assert 1 == log.count(f"HAProxy takes at most {connections} connections at the same time")


DNS_OF_A_FILE = """
import os, socket
resolve = socket.getaddrinfo
def getaddrinfo(host, *arguments, **options):
    if str(host).endswith(".invalid"):
        if not os.path.exists(os.environ["DNS_FILE"]):
            raise socket.gaierror(-2, "Name or service not known")
        host = "127.0.0.1"
    return resolve(host, *arguments, **options)
socket.getaddrinfo = getaddrinfo
"""


def test_whatever_the_settings_name_may_be_gone_at_a_reload_and_at_a_restart(program: Program, product: Product) -> None:
    """Log servers, a server, a page, a list, a file of lines, the templates, the services file: HAProxy serves as before."""
    folder = program.folder
    (folder / "sitecustomize.py").write_text(DNS_OF_A_FILE)
    (folder / "dns").touch()
    (folder / "503.http").write_bytes(b"HTTP/1.0 503 Busy\r\nContent-Length: 8\r\n\r\nour page")
    (folder / "bad.lst").write_text("127.0.0.9\n")
    (folder / "global.cfg").write_text("description of a file\n")
    shutil.copytree(TEMPLATES, folder / "templates")
    variables = {
        "PYTHONPATH": str(folder),
        "DNS_FILE": str(folder / "dns"),
        "RSYSLOG_DESTINATION": "logs.invalid:514",
        "EXTRA_DEFAULT_SETTINGS": "log more.invalid:514 local0",
        "ADDITIONAL_BACKEND_legacy": "server one legacy.invalid:80 check",
        "EXTRA_FRONTEND_SETTINGS_80": f"errorfile 503 {folder}/503.http,"
        f"http-request deny if {{ req.hdr_ip(from-ip) -f {folder}/bad.lst }}",
        "EXTRA_GLOBAL_SETTINGS_FILE": str(folder / "global.cfg"),
        "PROXY_TEMPLATES": str(folder / "templates"),
    }
    program.write_services(web=(product.backend("first"), {"VIRTUAL_HOST": HOST}))

    def look() -> tuple[str, str, int]:
        port = 80 + program.offset
        denied = ask(port, headers={"From-IP": "127.0.0.9"}).status
        return ask(port).server, ask(port, host="unknown.example").body, denied

    with program.running(**variables) as process:
        eventually(lambda: ask(80 + program.offset).server)
        seen = [look()]
        for name in ("dns", "503.http", "bad.lst", "global.cfg", "services.yml"):
            (folder / name).unlink()
        shutil.rmtree(folder / "templates")
        reloads = [program.run("reload", **variables)]
        seen.append(look())
        process.terminate()
        process.wait(timeout=30)

    with program.running(**variables):
        eventually(lambda: ask(80 + program.offset).server)
        seen.append(look())
        eventually(lambda: "was compared with the containers" in program.log.read_text())
        reloads.append(program.run("reload", **variables))
        log = program.log.read_text()

    assert [("first", "our page", 403)] * 3 == seen
    assert [(0, "")] * 2 == [(ended.returncode, ended.stderr) for ended in reloads]
    for told in (
        "logs.invalid",
        "more.invalid",
        "legacy.invalid",
        "503.http",
        "bad.lst",
        "global.cfg",
        "services.yml",
        ".j2",
    ):
        assert 1 == len([line for line in log.splitlines() if "problem: " in line and told in line]), told
    assert "Traceback" not in log


SECRETS = {
    "HTTP_BASIC_AUTH": "alice:pw-of-alice",
    "STATS_AUTH": "ops:pw-of-ops",
    "DEFAULT_SSL_CERT": one_line(make_pem("default.example")),
    "CA_CERT": one_line(make_pem("ca.example")),
}


@pytest.mark.parametrize("command", ["render", "check", "routes"])
def test_no_command_shows_a_secret(program: Program, product: Product, command: str) -> None:
    good, bad = product.backend(), product.backend("bad-1")
    pem = make_pem(HOST)
    program.write_services(
        web=(good, {"VIRTUAL_HOST": f"https://{HOST}", "SSL_CERT": one_line(pem)}),
        bad=(bad, {"VIRTUAL_HOST": "https://bad.example", "SSL_CERT": one_line(pem)[:400]}),
    )

    said = program.run(command, **SECRETS)

    told = said.stdout + said.stderr
    keys = [line for text in (pem, make_pem("default.example")) for line in text.splitlines()[1:4]]
    assert "bad" in told
    assert [] == [secret for secret in ("pw-of-alice", "pw-of-ops", *keys) if secret in told]


def test_password_that_haproxy_refuses_is_not_shown(program: Program) -> None:
    program.write_services()

    said = program.run("check", HTTP_BASIC_AUTH_SECURE="alice:no-hash-at-all")

    assert "no-hash-at-all" not in said.stdout + said.stderr
