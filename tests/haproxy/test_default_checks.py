"""How often a running HAProxy asks servers for which nobody has set a health check.

The checks here are HTTP ones: a check that only connects ends before the server accepts it (HAProxy answers its SYN-ACK
with a reset).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proxy.core.containers.containers import Container
from proxy.core.haproxy.default_checks import added_check
from tests.builders import make_container, with_labels
from tests.eventually import eventually
from tests.haproxy.product import Product

pytestmark = pytest.mark.haproxy

SERVICES = 2_000
CHECKS = 1_000
LIMIT_PER_SECOND = 500


def checked_container(service: str, port: int) -> Container:
    labels = with_labels(VIRTUAL_HOST=f"{service}.example", HTTP_CHECK="GET /")
    return make_container(f"{service}-1", ports=(port,), labels=labels)


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        listener.settimeout(30)
        yield listener


def answer_check(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")


def test_two_thousand_servers_are_asked_fewer_than_500_times_a_second(product: Product) -> None:
    """A slow machine makes the time longer, never shorter."""
    with listening() as listener:
        product.serve(*(checked_container(f"s{number}", listener.getsockname()[1]) for number in range(SERVICES)))
        answer_check(listener)
        started = time.monotonic()

        for _ in range(CHECKS):
            answer_check(listener)

        assert time.monotonic() - started > CHECKS / LIMIT_PER_SECOND


def test_server_that_is_added_among_a_thousand_is_asked(product: Product) -> None:
    """HAProxy asks a server that is added for the first time after `downinter`."""
    with listening() as listener:
        serving = product.serve(checked_container("shop", product.backend().port))
        server = f"{serving.model.backends[0].name}/added"
        words = f"127.0.0.1:{listener.getsockname()[1]} {added_check(1_000)}"
        commands = (f"add server {server} {words}", f"enable health {server}", f"set server {server} state ready")

        replies = [serving.haproxy.runtime(command).strip() for command in commands]

        assert ["New server registered.", "", ""] == replies
        answer_check(listener)
        assert eventually(lambda: serving.stat("check_status", "added") == "L7OK")
        assert ("1", "2") == (serving.stat("check_rise", "added"), serving.stat("check_fall", "added"))
