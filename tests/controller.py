"""A reconciler among fakes, with a clock that a test moves: all that decides, and little that is real."""

from __future__ import annotations

from pathlib import Path

from proxy.adapters.state_files import StateLayout
from proxy.admission import Admission
from proxy.core.certificate_set import ProxyCertificates
from proxy.core.containers import Container
from proxy.core.plans import Plan
from proxy.core.schedule import DuePass
from proxy.desired import Desired
from proxy.disk_writer import DiskWriter
from proxy.ports import ContainerSource, StateStore
from proxy.reconciler import Outcome, Reconciler
from proxy.running import Running
from proxy.world import World
from tests.builders import make_renderer, make_settings
from tests.fakes import FakeHaproxy, FakeProber, FakeRuntime, FakeSource, FakeStore


class Controller:
    """What runs is `haproxy` and `runtime`, what is kept is `disk`; containers come from `source`."""

    def __init__(
        self,
        folder: Path,
        *,
        source: ContainerSource | None = None,
        disk: StateStore | None = None,
        has_backends: bool = True,
        **variables: str,
    ) -> None:
        self.now = 0.0
        self.haproxy, self.runtime = FakeHaproxy(has_backends=has_backends), FakeRuntime()
        self.fake_source, self.fake_disk = FakeSource(), FakeStore(folder)
        settings = make_settings(ADDITIONAL_SERVICES="*", **variables)
        renderer = make_renderer(settings, StateLayout(folder=folder).folder)
        self.store = DiskWriter(disk or self.fake_disk, self.haproxy)
        desired = Desired(
            world=World([source or self.fake_source]),
            read_certificates=ProxyCertificates,
            admission=Admission(renderer, self.store, self.haproxy),
            prober=FakeProber(),
            settings=settings,
            clock=lambda: self.now,
        )
        running = Running(renderer=renderer, store=self.store, haproxy=self.haproxy, runtime=self.runtime, port_offset=0)
        self.reconciler = Reconciler(
            desired=desired,
            running=running,
            renderer=renderer,
            store=self.store,
            haproxy=self.haproxy,
            clock=lambda: self.now,
        )

    def run(self, *containers: Container, seconds: float = 0.1) -> Outcome:
        """One pass in which exactly these run."""
        self.fake_source.set(containers)
        self.now += seconds
        return self.look()

    def look(self, *, is_resync: bool = False) -> Outcome:
        """One pass at this moment, for whatever the source tells."""
        return self.reconciler.run_pass(DuePass(reasons=("test",), is_resync=is_resync))

    def plan(self, *containers: Container) -> Plan:
        """What a pass decides in which exactly these run."""
        return self.run(*containers).plan
