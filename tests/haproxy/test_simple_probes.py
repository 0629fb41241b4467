"""HAProxy's checks for `aliyun.probe.url`: how many probes it takes to lose traffic and to get it back.

Intervals are counted by the probes that the backend received, or that HAProxy counts, not by the clock.
"""

from __future__ import annotations

import csv
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proxy.core.containers.containers import Container
from proxy.core.labels.probing import DEFAULT_TIMEOUT_SECONDS
from tests.builders import make_container
from tests.eventually import eventually
from tests.haproxy.places import Where, everywhere
from tests.haproxy.probed_server import PROBE_PATH, run_probed_server
from tests.haproxy.product import Serving
from tests.haproxy.simple_site import SimpleSite, played_by
from tests.ports import free_port

pytestmark = pytest.mark.haproxy

HOST = "www.example.com"
NOT_STICKY = {"routing__session_sticky": "false"}
PATIENCE_SECONDS = 20.0


def stat(serving: Serving, column: str, server: str) -> str:
    """Return a column of the statistics of a server in its service's own backend, where it is probed."""
    header, *rows = csv.reader(serving.haproxy.runtime("show stat").lstrip("# ").splitlines())
    row = next(row for row in rows if row and row[0].startswith("shop:") and row[1].startswith(server))
    return row[header.index(column)]


def status(serving: Serving, server: str) -> str:
    return stat(serving, "status", server).partition(" ")[0]


def ask_until(serving: Serving, server: str, wanted: str) -> set[int]:
    """Send requests until the server is in this state. Return the status codes of all answers."""
    codes: set[int] = set()

    def has_come() -> bool:
        codes.add(serving.ask(host=HOST).status)
        return status(serving, server) == wanted

    eventually(has_come, timeout=PATIENCE_SECONDS)
    return codes


@everywhere(Where.PUBLISHED)
def test_http_probe_takes_traffic_away_and_gives_it_back(site: SimpleSite) -> None:
    probed, port = site.stack.enter_context(run_probed_server("web-2"))
    container = make_container(
        "web-2",
        ports=(port,),
        labels={
            f"aliyun.routing.port_{port}": HOST,
            "aliyun.routing.session_sticky": "false",
            "aliyun.probe.url": f"http://container:{port}{PROBE_PATH}",
        },
    )
    serving = site.serve(container, played_by(site.backend("other-1"), HOST, **NOT_STICKY))
    eventually(lambda: probed.probes)

    probed.set_health(is_healthy=False)
    codes = ask_until(serving, "web-2", "DOWN")
    until_lost = probed.probes
    assert {"other-1"} == set(serving.servers(10, host=HOST))
    probed.set_health(is_healthy=True)
    codes |= ask_until(serving, "web-2", "UP")

    assert until_lost <= 3
    assert probed.probes <= 2
    assert {"other-1", "web-2"} == set(serving.servers(10, host=HOST))
    assert {200} == codes


@contextmanager
def listening(port: int) -> Iterator[None]:
    """Run a server that accepts connections and answers each request with 200."""
    answer = b"HTTP/1.1 200 OK\r\nServer-Name: web-2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    listener = socket.create_server(("127.0.0.1", port), reuse_port=True)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                if connection.recv(65536):
                    connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_tcp_probe_takes_traffic_away_and_gives_it_back(site: SimpleSite) -> None:
    port = free_port()
    container = make_container(
        "web-2",
        labels={
            f"aliyun.routing.port_{port}": HOST,
            "aliyun.routing.session_sticky": "false",
            "aliyun.probe.url": f"tcp://container:{port}",
        },
    )
    with listening(port):
        serving = site.serve(container, played_by(site.backend("other-1"), HOST, **NOT_STICKY))
        eventually(lambda: "web-2" in serving.servers(4, host=HOST))
        failed_before = int(stat(serving, "chkfail", "web-2"))

    codes = ask_until(serving, "web-2", "DOWN")

    assert int(stat(serving, "chkfail", "web-2")) - failed_before <= 3
    assert {200} == codes
    with listening(port):
        codes = ask_until(serving, "web-2", "UP")
        assert {200} == codes
        assert {"other-1", "web-2"} == set(serving.servers(10, host=HOST))


def test_container_behind_a_shared_address_is_probed_once(site: SimpleSite) -> None:
    """The shared backend takes its health from the service's own backend, so a failing probe affects both at once."""
    probed, port = site.stack.enter_context(run_probed_server("blue-1"))
    blue = make_container(
        "blue-1",
        labels={
            f"aliyun.routing.port_{port}": f"{HOST};blue.example.com",
            "aliyun.probe.url": f"http://container:{port}{PROBE_PATH}",
        },
    )
    serving = site.serve(blue, played_by(site.backend("green-1"), HOST))
    probed.set_health(is_healthy=False)

    eventually(lambda: serving.ask(host="blue.example.com").status == 503, timeout=PATIENCE_SECONDS)

    assert probed.probes <= 3
    assert {"green-1"} == set(serving.servers(10, host=HOST))


def test_answers_of_3xx_are_healthy(site: SimpleSite) -> None:
    serving = site.serve(played_by(site.backend(), HOST, probe__url="http://container:PORT/anything"))

    eventually(lambda: stat(serving, "check_status", "web-1") == "L7OK", timeout=PATIENCE_SECONDS)


def test_timeout_of_the_label_is_the_timeout_of_the_check(site: SimpleSite) -> None:
    backend = site.backend()
    container: Container = played_by(backend, HOST, probe__url="http://container:PORT/slow", probe__timeout_seconds="0.2")
    serving = site.serve(container)

    eventually(lambda: stat(serving, "check_status", "web-1") == "L7TOUT", timeout=PATIENCE_SECONDS)
    # HAProxy's own measure of the check. It is rounded, and a busy machine makes it longer.
    assert 190 <= int(stat(serving, "check_duration", "web-1")) < DEFAULT_TIMEOUT_SECONDS * 1000
