"""A connection that is being made to a container that has gone never reaches the container that gets its address.

The address of a container that has gone is silent at first: the kernel repeats a SYN there after a second, and whoever has
the address by then answers it. Here a listener whose queue is full stands for the silence.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.builders import make_container, make_settings, with_labels
from tests.eventually import eventually
from tests.haproxy.backend_server import run_backend
from tests.haproxy.client import HOST, Answer, ask
from tests.haproxy.reconciled import Reconciled
from tests.ports import free_offset, free_port

pytestmark = pytest.mark.haproxy

QUEUE_IS_FULL = 3
"""Connections that fill the queue of a listener with a backlog of 0, and one more."""


class SilentAddress:
    """An address that drops every SYN, as that of a container that has gone does, until `give_to` gives it to somebody."""

    def __init__(self) -> None:
        self.port = free_port()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=0)
        self._fillers = [self._fill() for _ in range(QUEUE_IS_FULL)]
        eventually(lambda: self.waiting() > 0)
        self._fillers_waiting = self.waiting()

    def has_visitor(self) -> bool:
        """Whether somebody's SYN waits for an answer, besides those that fill the queue."""
        return self.waiting() > self._fillers_waiting

    def waiting(self) -> int:
        """Return how many connections to the address are being made (proc(5), `/proc/net/tcp`; 02 is SYN_SENT)."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(row[2].endswith(f":{self.port:04X}") and row[3] == "02" for row in rows)

    @contextmanager
    def given_to_another(self) -> Iterator[list[bytes]]:
        """Let another container listen there; yields what it is asked."""
        for filler in self._fillers:
            filler.close()
        self._listener.close()
        asked: list[bytes] = []
        with socket.create_server(("127.0.0.1", self.port)) as another:
            threading.Thread(target=self._answer, args=(another, asked), daemon=True).start()
            yield asked
            another.shutdown(socket.SHUT_RDWR)

    def _fill(self) -> socket.socket:
        filler = socket.socket()
        filler.setblocking(False)
        with suppress(BlockingIOError):
            filler.connect(("127.0.0.1", self.port))
        return filler

    @staticmethod
    def _answer(listener: socket.socket, asked: list[bytes]) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    asked.append(connection.recv(4096))
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nServer-Name: another\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    )


def test_visitor_of_a_container_that_has_gone_does_not_reach_the_next_owner_of_its_address(
    haproxy_binary: str, tmp_path: Path
) -> None:
    offset = free_offset(80, 1936)
    silent, answers = SilentAddress(), list[Answer]()
    labels = with_labels(VIRTUAL_HOST=HOST, HEALTH_CHECK="weight 1")  # without `check`, whose connections would wait too
    gone = make_container("web-1", ports=(silent.port,), address="127.0.0.1", labels=labels)
    with ExitStack() as stack:
        backend = stack.enter_context(run_backend("web-2"))
        haproxy = Reconciled(
            haproxy_binary, tmp_path / "state", make_settings(PROXY_PORT_OFFSET=str(offset), ADDITIONAL_SERVICES="*")
        )
        stack.enter_context(haproxy.run([gone]))
        visitor = threading.Thread(target=lambda: answers.append(ask(80 + offset, host=HOST)))
        visitor.start()
        eventually(silent.has_visitor)

        haproxy.apply([backend.container(VIRTUAL_HOST=HOST, HEALTH_CHECK="weight 1")])
        with silent.given_to_another() as asked:
            visitor.join()
        requests = [text for text in asked if text.startswith(b"GET")]

    assert ["web-2"] == [answer.server for answer in answers]
    assert [] == requests
