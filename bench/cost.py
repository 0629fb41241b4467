"""What one event costs the controller, in processor time and memory, with few services and with many; no I/O at all.

The peers are the same program with a hundredth of the services: the cost of an event follows what it changed.
"""

from __future__ import annotations

import json
import tempfile
import time
import tracemalloc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.table import Row
from proxy.adapters.engine.docker_engine import parse_list
from proxy.adapters.engine.docker_source import DockerSource
from proxy.adapters.engine.docker_view import EventStream
from proxy.controller.ports import ContainerSource
from proxy.controller.schedule import Schedule, ScheduleSettings
from proxy.core.containers.containers import Container
from proxy.core.haproxy.reported import Worker
from proxy.core.haproxy.runtime_commands import Action, Command
from tests.builders import make_container
from tests.controller import Controller
from tests.fakes import FakeSource
from tests.simulated_haproxy import SimulatedHaproxy
from tests.stub_engine import StubContainer

FEW, MANY = 100, 10_000
EVENTS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one pass: processor time in ms, and how many KB it has allocated at its peak."""

    milliseconds: float
    kilobytes: float


def measure_resync() -> list[Row]:
    """Return what a full look at many containers costs, as a share of the time until the schedule lets the next one come."""
    with tempfile.TemporaryDirectory() as folder:
        source = DockerSource(_ListingEngine(), None)
        controller = _make_controller(Path(folder), source)
        schedule = Schedule(ScheduleSettings())
        started = time.process_time()
        schedule.take(started)
        controller.look(is_resync=True)
        ended = time.process_time()
        schedule.record_success(ended, look_seconds=ended - started)
    seconds, pause = ended - started, schedule.due_time() - ended
    return [
        Row(
            what=f"controller's processor time when idle: full looks at {MANY:,} containers that have not changed",
            budget="< 0.1 %",
            measured=f"{seconds / pause:.2%} ({seconds * 1000:.0f} ms every {pause:.0f} s)",
            holds=seconds / pause < 0.001,
        )
    ]


def measure_cost() -> list[Row]:
    """Return what an event costs with few and with many services, and the ratio."""
    few, many = _cost(FEW), _cost(MANY)
    time_ratio, memory_ratio = many.milliseconds / few.milliseconds, many.kilobytes / few.kilobytes
    return [
        Row(
            what=f"processor time of the decision per event, {MANY:,} services against {FEW}",
            budget="<= 2",
            measured=f"{time_ratio:.2f} ({many.milliseconds:.2f} ms / {few.milliseconds:.2f} ms)",
            holds=time_ratio <= 2,
        ),
        Row(
            what=f"memory allocated per event, {MANY:,} services against {FEW}",
            budget="<= 2",
            measured=f"{memory_ratio:.2f} ({many.kilobytes:.1f} KB / {few.kilobytes:.1f} KB)",
            holds=memory_ratio <= 2,
        ),
    ]


def _cost(services: int) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        source = _Delta()
        source.set(map(_container, range(services)))
        controller = _make_controller(Path(folder), source)
        started = time.process_time()
        _run_events(controller, source, range(services, services + EVENTS))
        milliseconds = (time.process_time() - started) * 1000 / (2 * EVENTS)
        tracemalloc.start()
        _run_events(controller, source, range(services, services + 3))
        peaks = []
        for number in range(services, services + 20):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            _run_events(controller, source, range(number, number + 1))
            peaks.append((tracemalloc.get_traced_memory()[1] - before) / 1000)
        tracemalloc.stop()
    return Cost(milliseconds=milliseconds, kilobytes=sorted(peaks)[len(peaks) // 2])


def _run_events(controller: Controller, source: _Delta, numbers: range) -> None:
    """Start and stop services, each in a pass of its own."""
    for number in numbers:
        container = _container(number)
        source.note_start(container)
        controller.look()
        source.note_stop(container)
        controller.look()


class _Delta(FakeSource):
    """Tells of single containers, as the engine's events do."""

    def note_start(self, container: Container) -> None:
        self.tell(changed=(container,))

    def note_stop(self, container: Container) -> None:
        self.tell(gone=(container.id,))


class _ListingEngine:
    """An engine that lists many containers, as text that has to be parsed, and does nothing else."""

    address = "stub"

    def __init__(self) -> None:
        entries = [
            StubContainer(name=f"service{number}-1", service=f"service{number}", labels=_labels(number), port=80).listed()
            for number in range(MANY)
        ]
        self._text = json.dumps(entries)

    def list_containers(self) -> Iterable[Mapping[str, Any]]:
        return parse_list(self._text)

    def find_container(self, container_id: str) -> Mapping[str, Any] | None:
        raise NotImplementedError(container_id)

    def inspect_container(self, container: str) -> Mapping[str, Any] | None:
        raise NotImplementedError(container)

    def open_events(self, since: int | None) -> EventStream:
        raise NotImplementedError(since)


def _labels(number: int) -> Mapping[str, str]:
    return {"aliyun.proxy.VIRTUAL_HOST": f"service-{number}.example"}


def _container(number: int) -> Container:
    return make_container(f"service{number}-1", ports=(80,), virtual_host=f"service-{number}.example")


def _make_controller(folder: Path, source: ContainerSource) -> Controller:
    """Return a controller that has taken in what `source` knows. Its clock stands still: files are brought up to date beside
    an event, once a second at most, and are none of its cost."""
    controller = Controller(folder, source=source, haproxy=_AcceptingHaproxy, ROUTE_LINGER="0")
    controller.look(is_resync=True)
    controller.haproxy.start()
    controller.look(is_about_haproxy=True)
    return controller


class _AcceptingHaproxy(SimulatedHaproxy):
    """Does nothing of what it is told, which is none of the controller's cost."""

    def execute(self, stages: Iterable[Sequence[Action]], worker: Worker) -> None:
        """Accept every command."""

    def attempt(self, commands: Sequence[Command], worker: Worker) -> Sequence[bool]:
        """Say that everything is done."""
        return [True] * len(commands)
