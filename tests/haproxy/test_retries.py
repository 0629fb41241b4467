"""A request that is safe to repeat is sent to another server when a server hangs up, so no visitor notices."""

from __future__ import annotations

import http.server
import socket
import socketserver
import threading
from contextlib import ExitStack

import pytest

from tests.builders import make_container
from tests.haproxy.product import Product
from tests.ports import free_port

pytestmark = pytest.mark.haproxy

REQUESTS = 8
AT_ONCE, ROUNDS = 50, 20
LENGTHS = {"short": 10, "longer-than-a-small-buffer": 7000}


def status_counts(product: Product, method: str, header_length: int) -> tuple[dict[int, int], int]:
    """Return how often each status was answered, and on how many of the requests one of the servers hung up."""
    good, bad = product.backend("good-1"), product.backend("bad-1")
    bad.hangs_up = True
    serving = product.serve(*(server.container(VIRTUAL_HOST="shop.example") for server in (good, bad)))
    headers = {"Filler": "x" * header_length}
    statuses = [serving.ask(f"/{number}", method=method, headers=headers).status for number in range(REQUESTS)]
    return {status: statuses.count(status) for status in statuses}, len(bad.seen)


@pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS)
def test_request_is_sent_on_where_a_server_hangs_up(product: Product, length: int) -> None:
    counts, hung_up = status_counts(product, "GET", length)

    assert {200: REQUESTS} == counts
    assert hung_up > 0


def test_request_that_may_have_had_an_effect_is_not_sent_again(product: Product) -> None:
    counts, hung_up = status_counts(product, "POST", 10)

    assert {200: REQUESTS - hung_up, 502: hung_up} == counts
    assert hung_up > 0


class _Crowd(socketserver.ThreadingTCPServer):
    """A backend that many visitors reach at the same time."""

    request_queue_size = 512
    daemon_threads = True
    allow_reuse_address = True


class _Ok(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(http.HTTPStatus.OK)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


def test_request_finds_the_only_container_that_has_not_closed_its_port(product: Product) -> None:
    """Three of four containers have just been told to stop. HAProxy does not know it yet, and many visitors come at once."""
    with _Crowd(("127.0.0.1", 0), _Ok) as web:
        threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        ports = (web.server_address[1], free_port(), free_port(), free_port())
        containers = [
            make_container(f"web-{number}", virtual_host="shop.example", ports=(port,), address="127.0.0.1")
            for number, port in enumerate(ports)
        ]
        port = product.serve(*containers).haproxy.port(80)

        statuses = [status for _ in range(ROUNDS) for status in answers_at_once(port)]
        web.shutdown()

    assert {200} == set(statuses)


def answers_at_once(port: int) -> list[int]:
    """Return the statuses of requests that are all sent before the first answer is read."""
    request = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
    with ExitStack() as stack:
        visitors = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(AT_ONCE)]
        for visitor in visitors:
            visitor.sendall(request)
        return [int(visitor.makefile("rb").readline().split()[1]) for visitor in visitors]
