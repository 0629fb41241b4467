"""HAProxy accepts the lines that replace removed directives, and a session stays with the server that created it."""

from __future__ import annotations

import http.client
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from proxy.grammar.legacy import translate_appsession, translate_http_check, translate_line
from proxy.settings.parser import parse_settings
from tests.builders import make_container, make_model, make_settings, with_labels
from tests.haproxy.running import run_haproxy
from tests.ports import free_offset
from tests.unit.test_legacy import CHECKS, LINES, SESSIONS

pytestmark = pytest.mark.haproxy

TRANSLATED = {
    **{name: (translate_line(old),) for name, (old, _) in LINES.items()},
    **{f"check-{name}": translate_http_check(text) for name, (text, _) in CHECKS.items()},
    **{f"session-{name}": translate_appsession(case[0]) for name, case in SESSIONS.items()},
}
SECTION = """\
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen web
    bind unix@{folder}/web.sock
    server one 127.0.0.1:1 check
"""


@pytest.mark.parametrize("lines", TRANSLATED.values(), ids=TRANSLATED)
def test_translated_lines_pass_the_check_without_a_warning(
    lines: tuple[str, ...], haproxy_binary: str, tmp_path: Path
) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text(SECTION.format(folder=tmp_path) + "".join(f"    {line}\n" for line in lines))

    checked = subprocess.run([haproxy_binary, "-c", "-f", str(config)], capture_output=True, text=True, check=False)

    assert 0 == checked.returncode, checked.stderr
    assert "WARNING" not in checked.stderr


def test_default_tls_policy_and_timeouts_pass_the_check(haproxy_binary: str, tmp_path: Path) -> None:
    settings = parse_settings({}, lambda path: path.read_text())
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        f"global\n    ssl-default-bind-options {settings.tls.bind_options}\n"
        f"    ssl-default-bind-ciphers {settings.tls.bind_ciphers}\n"
        + SECTION.format(folder=tmp_path)
        + "".join(f"    timeout {timeout}\n" for timeout in settings.haproxy.timeouts)
    )

    checked = subprocess.run([haproxy_binary, "-c", "-f", str(config)], capture_output=True, text=True, check=False)

    assert 0 == checked.returncode, checked.stderr
    assert "WARNING" not in checked.stderr


class Application(BaseHTTPRequestHandler):
    """Answers with its own port; `/login` starts a session."""

    def do_GET(self) -> None:
        port = str(self.connection.getsockname()[1])
        self.send_response(200)
        if self.path == "/login":
            self.send_header("Set-Cookie", f"JSESSIONID=of-{port}; Path=/")
        self.send_header("Content-Length", str(len(port)))
        self.end_headers()
        self.wfile.write(port.encode())

    def log_message(self, *_: object) -> None:
        """Log nothing; the tests look at answers."""


@contextmanager
def run_applications(count: int) -> Iterator[list[int]]:
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Application) for _ in range(count)]
    for server in servers:
        threading.Thread(target=server.serve_forever).start()
    try:
        yield [server.server_address[1] for server in servers]
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def ask(port: int, path: str, cookie: str = "") -> tuple[str, str]:
    """Return the port of the application that answered, and the session that it started."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Host": "shop.example", **({"Cookie": cookie} if cookie else {})})
    response = connection.getresponse()
    answer = response.read().decode()
    connection.close()
    return answer, response.getheader("Set-Cookie", "").partition(";")[0]


def test_session_keeps_going_to_the_server_that_made_it(haproxy_binary: str, tmp_path: Path) -> None:
    offset = free_offset(80, 1936)
    labels = with_labels(VIRTUAL_HOST="shop.example", APPSESSION="JSESSIONID len 52 timeout 3h", HEALTH_CHECK="no-check")
    settings = make_settings(PROXY_PORT_OFFSET=str(offset))

    with run_applications(2) as ports:
        containers = [make_container(f"web-{port}", ports=(port,), labels=labels) for port in ports]
        model = make_model(*containers, settings=settings)
        with run_haproxy(haproxy_binary, tmp_path, model, settings) as haproxy:
            sessions = [ask(haproxy.port(80), "/login") for _ in range(4)]
            by_cookie = [{ask(haproxy.port(80), "/", session)[0] for _ in range(5)} for _, session in sessions]
            by_path = [{ask(haproxy.port(80), f"/;{session}?q=1")[0] for _ in range(5)} for _, session in sessions]
            without = {ask(haproxy.port(80), "/")[0] for _ in range(10)}

    owners = [{owner} for owner, _ in sessions]
    assert {str(port) for port in ports} == {owner for owner, _ in sessions} == without
    assert owners == by_cookie
    assert owners == by_path
