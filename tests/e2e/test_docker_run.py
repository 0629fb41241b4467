"""The scenarios of examples/docker-run.md, with links alone and with the engine's socket as well."""

from __future__ import annotations

import contextlib
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import EXAMPLES
from tests.e2e.engine import gateway, remove_containers, run
from tests.e2e.scenarios import HaproxyState, read_scenarios, run_scenario
from tests.e2e.visitor import basic_auth, fetch, fetch_tls, server_name
from tests.eventually import eventually

pytestmark = pytest.mark.docker

DOCUMENT = EXAMPLES / "docker-run.md"
CERTIFICATE = "A certificate for tests"
RunScenario = Callable[..., HaproxyState]


@pytest.fixture(params=[False, True], ids=["links alone", "with socket"])
def run_title(request: pytest.FixtureRequest, prefix: str, proxy_image: None, tmp_path: Path) -> Iterator[RunScenario]:
    """Run the section of this title in a folder of the test. `replacements` are made in its commands first."""
    own = f"{prefix}{uuid.uuid4().hex[:4]}-"

    def start(title: str, **replacements: str) -> HaproxyState:
        commands = read_scenarios(DOCUMENT)[title]
        for placeholder, text in replacements.items():
            commands = commands.replace(f"<{placeholder}>", text)
        return run_scenario(commands, prefix=own, with_socket=request.param, folder=tmp_path)

    yield start
    remove_containers(own)


def make_certificate(folder: Path, name: str = "*") -> None:
    """Run the document's own commands, for a name that the test chooses."""
    commands = read_scenarios(DOCUMENT)[CERTIFICATE].replace("CN=*", f"CN={name}")
    made = run("sh", "-e", "-c", commands, folder=folder)
    assert made.code == 0, made.errors


def answering(running: HaproxyState, host: str = "", path: str = "/", visits: int = 1) -> set[str]:
    """Return the host names of the containers that answer. Fails if a request is not answered."""
    return {server_name(fetch(running.port, path, host=host)) for _ in range(visits)}


def status(running: HaproxyState, host: str = "", path: str = "/") -> int:
    return fetch(running.port, path, host=host).status


def expect_answer_from(running: HaproxyState, name: str, host: str = "", path: str = "/") -> None:
    expected = {running.hostname(name)}
    eventually(lambda: answering(running, host, path) == expected)


def test_application_answers_on_port_80(run_title: RunScenario) -> None:
    running = run_title("A web application behind port 80")

    expect_answer_from(running, "webapp")
    expect_answer_from(running, "webapp", host="any.example.com")


def test_other_port_of_the_host(run_title: RunScenario) -> None:
    running = run_title("Another port of the host")

    eventually(lambda: server_name(fetch(running.ports[8080])) == running.hostname("webapp"))


def test_excluded_ports_get_no_server(run_title: RunScenario) -> None:
    running = run_title("Ports that are not routed")

    expect_answer_from(running, "webapp")
    routes = running.proxy.call("proxy", "routes")
    assert [port in routes for port in (":80", ":8083", ":8086")] == [True, False, False]


def test_certificate_of_the_application_is_served(run_title: RunScenario, tmp_path: Path) -> None:
    make_certificate(tmp_path, "application.example.com")

    running = run_title("TLS with the certificate in the application's container")

    answer = eventually(lambda: fetch_tls(running.ports[443], host="any.example.com"))
    assert (server_name(answer), answer.certificate) == (running.hostname("webapp"), "application.example.com")
    expect_answer_from(running, "webapp")


def test_certificate_of_the_proxy_is_served(run_title: RunScenario, tmp_path: Path) -> None:
    make_certificate(tmp_path, "proxy.example.com")

    running = run_title("TLS with the certificate in the proxy's container")

    answer = eventually(lambda: fetch_tls(running.ports[443]))
    assert (server_name(answer), answer.certificate) == (running.hostname("webapp"), "proxy.example.com")
    expect_answer_from(running, "webapp")


def test_http_is_redirected_to_https(run_title: RunScenario, tmp_path: Path) -> None:
    make_certificate(tmp_path)

    running = run_title("Redirect http to https")

    eventually(lambda: status(running, "www.example.com") == 301)
    answer = fetch(running.port, "/page?a=b", host="www.example.com")
    assert answer.headers["location"] == "https://www.example.com/page?a=b"
    assert server_name(fetch_tls(running.ports[443], host="www.example.com")) == running.hostname("webapp")


def test_replaced_certificate_file_is_served_without_restart(run_title: RunScenario, tmp_path: Path) -> None:
    make_certificate(tmp_path, "first.example.com")
    running = run_title("A folder of certificates")
    eventually(lambda: fetch_tls(running.ports[443]).certificate == "first.example.com")
    started_at = running.proxy.inspect("{{.State.StartedAt}}")

    make_certificate(tmp_path, "second.example.com")
    (tmp_path / "cert.pem").replace(tmp_path / "certs" / "cert1.pem")

    eventually(lambda: fetch_tls(running.ports[443]).certificate == "second.example.com")
    assert server_name(fetch_tls(running.ports[443])) == running.hostname("webapp")
    assert running.proxy.inspect("{{.State.StartedAt}}") == started_at


def test_virtual_hosts_lead_to_their_applications(run_title: RunScenario) -> None:
    running = run_title("Several virtual hosts")

    expect_answer_from(running, "webapp1", "www.webapp1.com")
    expect_answer_from(running, "webapp1", "www.webapp1.org")
    expect_answer_from(running, "webapp2", "www.webapp2.com")
    assert status(running) == 503


def test_two_containers_share_a_virtual_host(run_title: RunScenario) -> None:
    running = run_title("Two containers behind one virtual host")
    both = {running.hostname("webapp2-1"), running.hostname("webapp2-2")}

    expect_answer_from(running, "webapp1", "www.webapp1.com")
    eventually(lambda: answering(running, "www.webapp2.com", visits=8) == both)


def test_every_name_below_a_domain(run_title: RunScenario) -> None:
    running = run_title("Every name below a domain")

    expect_answer_from(running, "webapp", "www.node.io")
    expect_answer_from(running, "webapp", "a.b.node.io")
    assert [status(running, name) for name in ("node.io", "www.node.org")] == [503, 503]


def test_narrow_host_wins_by_weight(run_title: RunScenario) -> None:
    running = run_title("One name here, all others there")

    expect_answer_from(running, "webapp", "web.domain.com")
    expect_answer_from(running, "app", "www.domain.com")


def test_path(run_title: RunScenario) -> None:
    running = run_title("A path")

    expect_answer_from(running, "webapp", path="/path")
    expect_answer_from(running, "webapp", path="/path/below?a=b")
    assert [status(running, path=path) for path in ("/", "/paths", "/other/path")] == [503, 503, 503]


def test_static_pages_by_extension(run_title: RunScenario) -> None:
    running = run_title("Static pages")

    expect_answer_from(running, "webapp", path="/index.html")
    expect_answer_from(running, "webapp", path="/a/b.htm")
    assert [status(running, path=path) for path in ("/", "/index.php", "/html")] == [503, 503, 503]


def test_statistics_page(run_title: RunScenario) -> None:
    running = run_title("The statistics page")

    expect_answer_from(running, "webapp")
    answer = fetch(running.ports[1936], headers=basic_auth("auth", "auth"))
    assert (answer.status, "Statistics Report" in answer.body) == (200, True)
    assert fetch(running.ports[1936]).status == 401


def test_logs_reach_a_syslog_server(run_title: RunScenario) -> None:
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind((gateway(), 0))
        server.settimeout(1.0)
        host, port = server.getsockname()
        running = run_title("Logs to a syslog server", host=host, port=str(port))
        eventually(lambda: len(answering(running, visits=4)) == 2)

        fetch(running.port, "/find-me-in-the-log")

        eventually(lambda: b"/find-me-in-the-log" in server.recv(65536))


def test_reload_by_hand(run_title: RunScenario) -> None:
    running = run_title("A web application behind port 80")
    expect_answer_from(running, "webapp")

    command = read_scenarios(DOCUMENT)["Reload by hand"].replace("<container>", running.proxy.name)
    reloaded = run("sh", "-e", "-c", command)

    assert (reloaded.code, reloaded.output) == (0, "reload: signal SIGUSR1\n")
    assert answering(running) == {running.hostname("webapp")}
