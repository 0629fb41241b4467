"""Visitors who send requests all the time, on lasting and on new connections, and record each request that failed."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.e2e.visitor import ADDRESS, TIMEOUT_SECONDS, exchange, fetch
from tests.eventually import eventually

MOST_REQUESTS = 20_000
"""The limit per visitor. It ends the load even if the test does not."""


class Load:
    """What the visitors have seen so far. Lists are only appended to, so no lock is needed."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.failures_began: list[float] = []
        """When each failed request was sent, by the monotonic clock."""
        self.statuses: list[int] = []
        self._is_over = threading.Event()

    def visit_on_new_connections(self, port: int, host: str, address: str = ADDRESS) -> None:
        self._repeat("new connection", lambda: fetch(port, host=host, address=address).status)

    def visit_on_one_connection(self, port: int, host: str, address: str = ADDRESS) -> None:
        """Keep the connection as long as the proxy does. Open another one when an answer says `Connection: close`."""
        connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_SECONDS)

        def visit() -> int:
            try:
                return exchange(connection, "/", host=host).status
            except (OSError, http.client.HTTPException):
                connection.close()
                raise

        try:
            self._repeat("kept connection", visit)
        finally:
            connection.close()

    def wait_for(self, answers: int) -> None:
        """Wait until this many more requests have been answered."""
        wanted = len(self.statuses) + answers
        eventually(lambda: len(self.statuses) >= wanted)

    def end(self) -> None:
        self._is_over.set()

    def _repeat(self, kind: str, visit: Callable[[], int]) -> None:
        for number in range(MOST_REQUESTS):
            if self._is_over.is_set():
                return
            began = time.monotonic()
            try:
                self.statuses.append(visit())
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"request {number}, {kind}: {error!r}")
                self.failures_began.append(began)


@contextmanager
def under_load(
    port: int, *, host: str = "", visitors_of_each_kind: int = 2, addresses: Sequence[str] = (ADDRESS,)
) -> Iterator[Load]:
    """Let visitors of both kinds ask each address for `/` while the block runs. All of them have ended after it."""
    load = Load()
    kinds = (load.visit_on_new_connections, load.visit_on_one_connection)
    visits = [(kind, address) for kind in kinds * visitors_of_each_kind for address in addresses]
    threads = [threading.Thread(target=kind, args=(port, host, address)) for kind, address in visits]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.end()
        for thread in threads:
            thread.join()


@contextmanager
def watched(port: int, host: str) -> Iterator[list[str]]:
    """Send requests for a host while the block runs. The list gets the backend's NAME, else the status or error."""
    seen: list[str] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            try:
                answer = fetch(port, host=host)
                name = re.search(r'"name": "(\w+)"', answer.body)
                seen.append(name[1] if name else str(answer.status))
            except (OSError, http.client.HTTPException) as error:
                seen.append(repr(error))

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield seen
        finally:
            is_over.set()
        watching.result()
