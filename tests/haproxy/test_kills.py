"""HAProxy and the controller are killed at random moments while services change; the proxy is right again by itself.

How long it takes is printed, not asserted: other work on the machine would decide on it. `make soak` runs fifty moments.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.eventually import eventually
from tests.haproxy.backend_server import BackendServer
from tests.haproxy.client import ask
from tests.haproxy.product import Product
from tests.haproxy.program import Program, read_processes

pytestmark = pytest.mark.haproxy

SERVICES = 6
SETTINGS: tuple[Mapping[str, str], ...] = ({}, {"BALANCE": "leastconn"}, {"COOKIE": "SRV insert indirect nocache"})


@dataclass
class Churn:
    """Changes one service after the other: which backend it has, which settings, and whether it is there."""

    program: Program
    backends: list[BackendServer]
    chance: random.Random
    wanted: dict[int, tuple[BackendServer, Mapping[str, str]] | None] = field(default_factory=dict)

    def change(self) -> None:
        """Change one service, and write the file."""
        number = self.chance.randrange(SERVICES)
        is_there = self.chance.random() < 0.8
        self.wanted[number] = (self.chance.choice(self.backends), self.chance.choice(SETTINGS)) if is_there else None
        services = {
            f"s{key}": (value[0], {"VIRTUAL_HOST": f"s{key}.example", **value[1]})
            for key, value in self.wanted.items()
            if value
        }
        self.program.write_services(**services)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Change something all the time, until the block ends."""
        has_ended = threading.Event()

        def run() -> None:
            while not has_ended.wait(self.chance.uniform(0.0, 0.15)):
                self.change()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            has_ended.set()
            thread.join()

    def is_right(self) -> bool:
        """Whether every service that is there answers, by its own backend, and no other does."""
        for number in range(SERVICES):
            value = self.wanted.get(number)
            answer = ask(80 + self.program.offset, host=f"s{number}.example")
            if (answer.status, answer.server) != ((200, value[0].name) if value else (503, "")):
                return False
        return True


def kill(program: Program, victim: str) -> None:
    """Kill master and worker, or the controller, as the system's memory killer does."""
    if victim == "controller":
        os.kill(program.controller_pid(), signal.SIGKILL)
        return
    found = read_processes(program)
    for pid in (found.master_pid, found.serving_pid):
        os.kill(pid, signal.SIGKILL)


def run_moments(program: Program, product: Product, moments: int, seed: int) -> list[tuple[str, float]]:
    """Kill at so many random moments; return who was killed, and after how many seconds everything was right."""
    chance = random.Random(seed)
    backends = [product.backend(f"web-{number}") for number in range(3)]
    churn = Churn(program, backends, chance)
    times = []
    for _ in range(SERVICES):
        churn.change()
    with program.running(ROUTE_LINGER="0"):
        eventually(churn.is_right)
        for number in range(moments):
            victim = "HAProxy" if number % 2 else "controller"
            with churn.running():
                pause = time.monotonic() + chance.uniform(0.2, 1.2)
                eventually(lambda pause=pause: time.monotonic() > pause)  # type: ignore[misc]
                kill(program, victim)
            started = time.monotonic()
            eventually(churn.is_right)
            times.append((victim, time.monotonic() - started))
    return times


def test_proxy_is_right_again_after_each_kill(program: Program, product: Product) -> None:
    times = run_moments(program, product, 6, seed=1)

    print(times)
    assert 6 == len(times)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_proxy_is_right_again_after_each_of_fifty_kills(program: Program, product: Product) -> None:
    times = run_moments(program, product, 50, seed=int(os.environ.get("SOAK_SEED", "1")))

    for victim in ("controller", "HAProxy"):
        seconds = sorted(took for killed, took in times if killed == victim)
        print(f"{victim}: {len(seconds)} kills, median {seconds[len(seconds) // 2]:.2f} s, longest {seconds[-1]:.2f} s")
    assert 50 == len(times)
