"""Two services of the whole program, with visitors who count what they do not get while something goes wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.eventually import eventually
from tests.haproxy.client import HOST, ask
from tests.haproxy.product import Product
from tests.haproxy.program import Program
from tests.wrk import start_load

OTHER = "other.example"
LONGEST_LOAD_SECONDS = 900
VISITORS_PER_HOST = 2
PAUSE_SECONDS = 0.005
"""Between two requests of a visitor who counts failures: each stands for the same time, however fast a failure is."""


@dataclass(slots=True)
class Visits:
    """What visitors have got: the number of answers by the right service, and everything else."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)
    longest_wait: float = 0.0
    """The longest time between two good answers of one visitor, in seconds."""

    @property
    def requests(self) -> int:
        return self.answered + len(self.failures)

    @property
    def wrong(self) -> list[str]:
        """The answers that came from the wrong place. A connection that fails is not an answer."""
        return [failure for failure in self.failures if failure.startswith("answered")]


class Site:
    """The services `web` and `other`. `change` replaces the container of `web`, as a rolling update does."""

    def __init__(self, program: Program, product: Product) -> None:
        self.program = program
        self.web = [product.backend("one"), product.backend("two")]
        self.other = product.backend("other")
        self.turn = 0
        self.labels = {HOST: {"VIRTUAL_HOST": HOST}, OTHER: {"VIRTUAL_HOST": OTHER}}

    def write(self) -> None:
        self.program.write_services(web=(self.web[self.turn], self.labels[HOST]), other=(self.other, self.labels[OTHER]))

    def change(self) -> None:
        self.turn = 1 - self.turn
        self.write()

    def expect_change(self) -> None:
        """Wait until the container that came last answers, and only it."""
        eventually(lambda: {self.web[self.turn].name} == {self.server(HOST) for _ in range(3)}, timeout=40)
        eventually(lambda: self.server(OTHER) == "other")

    def server(self, host: str) -> str:
        return ask(80 + self.program.offset, host=host).server

    def hosts_by_backend(self) -> dict[str, set[str]]:
        """Return which hosts each backend was asked for."""
        backends = (*self.web, self.other)
        return {backend.name: {seen.headers.get("host", "") for seen in backend.seen} for backend in backends}

    @contextmanager
    def all_served(self, fault: str, *, scheme: str = "http", most_failed: int = 0) -> Iterator[None]:
        """Send requests for both services all the time. None may fail but `most_failed`, or reach the other service."""
        port = (443 if scheme == "https" else 80) + self.program.offset
        with ExitStack() as stack:
            loads = [
                stack.enter_context(start_load(port, host, seconds=LONGEST_LOAD_SECONDS, expects=host, scheme=scheme))
                for host in (HOST, OTHER)
            ]
            yield
        failed = sum(load.failed for load in loads)
        print(f"{fault}: {sum(load.requests for load in loads)} requests, {failed} failed")
        assert failed <= most_failed, (loads, self.program.log.read_text()[-3000:])
        assert all(load.requests for load in loads), loads
        assert [] == self.misled()

    @contextmanager
    def counted(self, fault: str) -> Iterator[Visits]:
        """Send requests for both services all the time, at a steady pace, and count those that fail."""
        visits, has_ended = Visits(), threading.Event()
        visitors = [
            threading.Thread(target=self._visit, args=(host, visits, has_ended))
            for host in (HOST, OTHER)
            for _ in range(VISITORS_PER_HOST)
        ]
        for visitor in visitors:
            visitor.start()
        try:
            yield visits
        finally:
            has_ended.set()
            for visitor in visitors:
                visitor.join()
        kinds = sorted({failure[:60] for failure in visits.failures})
        longest = f"longest wait {visits.longest_wait:.2f} s"
        print(f"{fault}: {visits.requests} requests, {len(visits.failures)} failed, {longest}; {kinds}")
        assert [] == self.misled()

    def misled(self) -> list[str]:
        """Return the backends that a visitor of another service has reached."""
        wanted = {"one": {HOST}, "two": {HOST}, "other": {OTHER}}
        return [name for name, hosts in self.hosts_by_backend().items() if hosts - wanted[name] - {""}]

    def _visit(self, host: str, visits: Visits, has_ended: threading.Event) -> None:
        last = time.monotonic()
        while not has_ended.wait(PAUSE_SECONDS):
            failure = self._ask(host)
            if failure:
                visits.failures.append(failure)
                continue
            visits.answered += 1
            now = time.monotonic()
            visits.longest_wait, last = max(visits.longest_wait, now - last), now

    def _ask(self, host: str) -> str:
        """Return what went wrong; empty if nothing did."""
        try:
            answer = ask(80 + self.program.offset, host=host)
        except OSError as error:
            return str(error)
        is_right = (answer.server == "other") == (host == OTHER)
        return "" if answer.status == 200 and is_right else f"answered {answer.status} by {answer.server or 'HAProxy'}"


def wait(seconds: float) -> None:
    """Let this time pass, while something is frozen or wrong."""
    deadline = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > deadline)


def repeat(times: int, *steps: Callable[[], object]) -> None:
    """Run the steps one after the other, so many times."""
    for _ in range(times):
        for step in steps:
            step()
