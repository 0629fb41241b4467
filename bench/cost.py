"""What one event costs the controller, in processor time and memory, with few services and with many; no I/O at all.

The peers are the same program with a hundredth of the services: the cost of an event follows what it changed.
"""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

from bench.table import Row
from proxy.adapters.state_files import StateFiles, StateLayout
from proxy.admission import Admission
from proxy.core.certificate_set import ProxyCertificates
from proxy.core.containers import Container
from proxy.core.schedule import DuePass
from proxy.desired import Desired
from proxy.disk_writer import DiskWriter
from proxy.reconciler import Reconciler
from proxy.running import Running
from proxy.world import World
from tests.builders import make_container, make_renderer, make_settings
from tests.fakes import FakeHaproxy, FakeProber, FakeRuntime, FakeSource

FEW, MANY = 100, 10_000
EVENTS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one pass: processor time in ms, and how many KB it has allocated at its peak."""

    milliseconds: float
    kilobytes: float


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
        reconciler, source = _make_reconciler(Path(folder), services)
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
        source.start(container)
        reconciler.run_pass(DuePass(reasons=("start",)))
        source.stop(container)
        reconciler.run_pass(DuePass(reasons=("stop",)))


class _Delta(FakeSource):
    """Tells of single containers, as the engine's events do."""

    def start(self, container: Container) -> None:
        self.tell(changed=(container,))

    def stop(self, container: Container) -> None:
        self.tell(gone=(container.id,))


def _container(number: int) -> Container:
    return make_container(f"service{number}-1", ports=(80,), virtual_host=f"service-{number}.example")


def _make_reconciler(folder: Path, services: int) -> tuple[Reconciler, _Delta]:
    settings, source = make_settings(ADDITIONAL_SERVICES="*", ROUTE_LINGER="0"), _Delta()
    source.set(map(_container, range(services)))
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
    return reconciler, source
