"""What one event costs the controller, in processor time and memory, with few services and with many; no I/O at all.

The peers are the same program with a hundredth of the services: the cost of an event follows what it changed.
"""

from __future__ import annotations

import json
import tempfile
import time
import tracemalloc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.table import Row
from proxy.adapters.docker_engine import parse_list
from proxy.adapters.docker_source import DockerSource
from proxy.adapters.docker_view import EventStream
from proxy.adapters.state_files import StateFiles, StateLayout
from proxy.admission import Admission
from proxy.core.certificate_set import ProxyCertificates
from proxy.core.containers import Container
from proxy.core.schedule import DuePass, Schedule, ScheduleSettings
from proxy.desired import Desired
from proxy.disk_writer import DiskWriter
from proxy.ports import ContainerSource
from proxy.reconciler import Reconciler
from proxy.running import Running
from proxy.world import World
from tests.builders import make_container, make_renderer, make_settings
from tests.fakes import FakeHaproxy, FakeProber, FakeRuntime, FakeSource
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
        reconciler = _make_reconciler(Path(folder), source)
        schedule, due = Schedule(ScheduleSettings()), DuePass(reasons=("resync",), is_resync=True)
        started = time.process_time()
        schedule.take(started)
        reconciler.run_pass(due)
        ended = time.process_time()
        schedule.record_success(ended)
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
        reconciler = _make_reconciler(Path(folder), source)
        started = time.process_time()
        _run_events(reconciler, source, range(services, services + EVENTS))
        milliseconds = (time.process_time() - started) * 1000 / (2 * EVENTS)
        tracemalloc.start()
        _run_events(reconciler, source, range(services, services + 3))
        peaks = []
        for number in range(services, services + 20):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            _run_events(reconciler, source, range(number, number + 1))
            peaks.append((tracemalloc.get_traced_memory()[1] - before) / 1000)
        tracemalloc.stop()
    return Cost(milliseconds=milliseconds, kilobytes=sorted(peaks)[len(peaks) // 2])


def _run_events(reconciler: Reconciler, source: _Delta, numbers: range) -> None:
    """Start and stop services, each in a pass of its own."""
    for number in numbers:
        container = _container(number)
        source.note_start(container)
        reconciler.run_pass(DuePass(reasons=("start",)))
        source.note_stop(container)
        reconciler.run_pass(DuePass(reasons=("stop",)))


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


def _make_reconciler(folder: Path, source: ContainerSource) -> Reconciler:
    """Return a reconciler that has taken in what `source` knows, with no I/O but the disk's."""
    settings = make_settings(ADDITIONAL_SERVICES="*", ROUTE_LINGER="0")
    haproxy, renderer = FakeHaproxy(), make_renderer(settings, folder)
    store = DiskWriter(StateFiles(StateLayout(folder=folder)), haproxy)

    def clock() -> float:
        return 0.0  # so that nothing is due but the event: files are brought up to date beside it, once a second at most

    desired = Desired(
        world=World([source]),
        read_certificates=ProxyCertificates,
        admission=Admission(renderer, store, haproxy),
        prober=FakeProber(),
        settings=settings,
        clock=clock,
    )
    running = Running(renderer=renderer, store=store, haproxy=haproxy, runtime=FakeRuntime(), port_offset=0)
    reconciler = Reconciler(desired=desired, running=running, renderer=renderer, store=store, haproxy=haproxy, clock=clock)
    reconciler.run_pass(DuePass(reasons=("start",), is_resync=True))
    return reconciler
