"""A reconciler among fakes, with a clock that a test moves: all that decides, and little that is real."""

from __future__ import annotations

from pathlib import Path

from proxy.adapters.haproxy.state_files import StateLayout
from proxy.controller.desired_model import DesiredModel
from proxy.controller.disk_writer import DiskWriter
from proxy.controller.haproxy_state import HaproxyState
from proxy.controller.observation import Observation
from proxy.controller.ports import ContainerSource, StateStore
from proxy.controller.reconciler import Outcome, Reconciler
from proxy.controller.schedule import DuePass
from proxy.controller.service_checks import ServiceChecks
from proxy.core.containers.containers import Container
from proxy.core.haproxy.plans import Plan
from proxy.core.model.certificate_set import ProxyCertificates
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
        desired = DesiredModel(
            observation=Observation([source or self.fake_source]),
            read_certificates=ProxyCertificates,
            admission=ServiceChecks(renderer, self.store, self.haproxy),
            prober=FakeProber(),
            settings=settings,
            clock=lambda: self.now,
        )
        running = HaproxyState(
            renderer=renderer, store=self.store, haproxy=self.haproxy, runtime=self.runtime, port_offset=0
        )
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
