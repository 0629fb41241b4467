"""A reconciler with fakes around it and a clock that the test moves. It tests decisions without real parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from proxy.controller.assembly import Ports, assemble
from proxy.controller.background import AtOnce
from proxy.controller.observation import Observation
from proxy.controller.ports import ContainerSource, StateStore
from proxy.controller.reconciler import Outcome
from proxy.controller.schedule import DuePass
from proxy.core.containers.containers import Container
from proxy.core.haproxy.plans import Plan
from proxy.core.model.own_files import OwnFiles
from tests.builders import make_renderer, make_settings
from tests.fakes import FakeProber, FakeSource, FakeStore
from tests.simulated_haproxy import SimulatedHaproxy


class Controller:
    """The running HAProxy is `haproxy`, the files are in `fake_disk`, and containers come from `source`."""

    def __init__(
        self,
        folder: Path,
        *,
        source: ContainerSource | None = None,
        disk: StateStore | None = None,
        has_backends: bool = True,
        haproxy: type[SimulatedHaproxy] = SimulatedHaproxy,
        own_files: Callable[[], OwnFiles] = OwnFiles,
        **variables: str,
    ) -> None:
        self.now = 0.0
        self.fake_source, self.fake_disk, self.prober = FakeSource(), FakeStore(folder), FakeProber()
        self.haproxy = haproxy(files=lambda: self.fake_disk.current, has_backends=has_backends)
        settings = make_settings(ADDITIONAL_SERVICES="*", **variables)
        ports = Ports(
            control=self.haproxy,
            runtime=self.haproxy,
            store=disk or self.fake_disk,
            prober=self.prober,
            files=AtOnce(),
            checks=AtOnce(),
            make_renderer=partial(make_renderer, settings, folder),
            read_own_files=own_files,
            clock=lambda: self.now,
            wall_clock=lambda: self.now,
        )
        self.assembled = assemble(settings, Observation([source or self.fake_source]), ports)
        self.reconciler, self.pending = self.assembled.reconciler, self.assembled.pending

    def run(self, *containers: Container, seconds: float = 0.1) -> Outcome:
        """Run one pass in which exactly these containers run. HAProxy is started if it does not run and has files."""
        self.fake_source.set(containers)
        self.now += seconds
        outcome = self.look()
        if not self.haproxy.running and self.haproxy.files():
            self.haproxy.start()
            self.look(is_about_haproxy=True)
        return outcome

    def look(self, *, is_resync: bool = False, is_about_haproxy: bool = False) -> Outcome:
        """Run one pass at this moment, with whatever the source reports."""
        return self.reconciler.run_pass(DuePass(reasons=("test",), is_resync=is_resync, is_about_haproxy=is_about_haproxy))

    def plan(self, *containers: Container) -> Plan:
        """Return the plan of a pass in which exactly these containers run."""
        return self.run(*containers).plan
