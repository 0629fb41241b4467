"""A controller among fakes with everything that happens to it: the world of the state machine in `unit/test_transaction.py`.

Everything outlives the controller, which may be restarted at any moment. Passes are due when the real `Schedule` says so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment

from proxy.controller.assembly import Controller, Ports, assemble
from proxy.controller.background import AtOnce
from proxy.controller.observation import Observation
from proxy.controller.reconciler import Outcome
from proxy.controller.schedule import Schedule, ScheduleSettings
from proxy.core.haproxy.rendering import Paths, Renderer
from proxy.core.model.model import RoutingModel
from proxy.core.model.own_files import OwnFiles
from proxy.core.trigger import Trigger, TriggerKind
from proxy.errors import ProxyError
from tests.builders import make_environment, make_settings
from tests.fakes import FakeOverlay, FakeProber, FakeSource, FakeStore
from tests.later import Later
from tests.simulated_haproxy import SimulatedHaproxy


class ControllerKilledError(BaseException):
    """The controller ends in the middle of what it does; nothing may catch it."""


@dataclass(slots=True)
class Fault:
    """What happens at the next use of `place` but `skip`; once, or from then on."""

    place: str
    happen: Callable[[], None]
    skip: int = 0
    is_lasting: bool = False


class Controlled:
    """The world; `controller` is the one that runs now. `is_later`: jobs run when a test says so."""

    def __init__(self, folder: Path, *, has_backends: bool = True, is_later: bool = False, **variables: str) -> None:
        self.now = 1000.0
        self.is_later = is_later
        self.settings = make_settings(ADDITIONAL_SERVICES="*", **variables)
        self.source, self.disk = FakeSource(), FakeStore(folder)
        self.prober, self.overlay = FakeProber(), FakeOverlay()
        self.haproxy = SimulatedHaproxy(files=lambda: self.disk.current, has_backends=has_backends, clock=lambda: self.now)
        self.own_files = OwnFiles(templates="1")
        self.faults: list[Fault] = []
        self.raised: list[BaseException] = []
        self.is_in_pass = False
        self._folder = folder
        for port in (self.source, self.disk, self.prober, self.overlay, self.haproxy):
            port.fault = self.meet
        self.start_controller()

    def start_controller(self) -> None:
        """Start another controller; what the one before was doing is lost."""
        self.source.invalidate()
        self.files: Later | AtOnce = Later() if self.is_later else AtOnce()
        self.checks: Later | AtOnce = Later() if self.is_later else AtOnce()
        self.schedule = Schedule(ScheduleSettings())
        ports = Ports(
            control=self.haproxy,
            runtime=self.haproxy,
            store=self.disk,
            prober=self.prober,
            files=self.files,
            checks=self.checks,
            make_renderer=self.make_renderer,
            read_own_files=self._read_own_files,
            clock=lambda: self.now,
            wall_clock=lambda: self.now,
        )
        self.controller: Controller = assemble(self.settings, Observation([self.source], [self.overlay]), ports)

    def make_renderer(self) -> Renderer:
        """A renderer with the templates that all share: they take far longer to read than to print."""
        paths = Paths(runtime_socket=self._folder / "haproxy.sock", server_state=self._folder / "server-state")
        return Renderer(_environment(), self.settings, paths)

    def meet(self, place: str) -> None:
        """Let happen what is to happen at a place."""
        for fault in [fault for fault in self.faults if fault.place == place]:
            if fault.skip:
                fault.skip -= 1
                continue
            if not fault.is_lasting:
                self.faults.remove(fault)
            fault.happen()

    def fail(self, place: str, error: BaseException, *, skip: int = 0, is_lasting: bool = False) -> None:
        """Have `error` raised at the next use of a place."""

        def happen() -> None:
            self.raised.append(error)
            raise error

        self.faults.append(Fault(place=place, happen=happen, skip=skip, is_lasting=is_lasting))

    def put(self, kind: TriggerKind) -> None:
        """Hint at something."""
        self.schedule.add(Trigger(reason=f"test {kind}", kind=kind), self.now)

    def start_haproxy(self) -> None:
        """What the supervisor does where HAProxy has ended."""
        if self.haproxy.running is None:
            self.haproxy.start()
            if self.haproxy.running is not None:
                self.put(TriggerKind.HAPROXY)

    def kill_haproxy(self) -> None:
        self.haproxy.kill()

    def run_pass(self) -> Outcome | None:
        """Run a pass as the daemon does; None where it has failed. Raises what nobody has injected."""
        due = self.schedule.take(self.now)
        self.is_in_pass = True
        try:
            outcome = self.controller.reconciler.run_pass(due)
        except ControllerKilledError:
            self.start_controller()
            return None
        except Exception as error:
            if not isinstance(error, ProxyError) and not any(error is raised for raised in self.raised):
                raise
            self.schedule.record_failure(self.now)
            return None
        finally:
            self.is_in_pass = False
        assert outcome.again_in is not None
        assert outcome.again_in > 0, f"the next pass is due at once, and comes to the same: {outcome}"
        if outcome.is_success:
            self.schedule.record_success(self.now, outcome.again_in, outcome.look_seconds)
        else:
            self.schedule.record_failure(self.now)
        return outcome

    def run_job(self, thread: Later | AtOnce) -> bool:
        """Let the thread do one job; return whether there was one."""
        if not isinstance(thread, Later):
            return False
        try:
            has_run = thread.run_next()
        except ControllerKilledError:
            self.start_controller()
            return True
        if has_run:
            self.put(TriggerKind.URGENT)
        return has_run

    @property
    def is_idle(self) -> bool:
        """Whether no job waits, and everything is done that was taken in."""
        threads = [thread for thread in (self.files, self.checks) if isinstance(thread, Later)]
        return self.controller.pending.is_done and all(thread.is_idle for thread in threads)

    @property
    def is_synchronised(self) -> bool:
        """Whether the controller takes it that HAProxy has what it has confirmed."""
        return self.controller.reconciler._haproxy.is_synchronised

    def model(self) -> RoutingModel:
        return self.controller.desired.model()

    def start_fresh(self) -> SimulatedHaproxy:
        """Return an HAProxy that has just been started from the present model."""
        files = self.make_renderer().render(self.model()).files
        fresh = SimulatedHaproxy(files=lambda: files, has_backends=self.haproxy.has_backends)
        fresh.start()
        return fresh

    def _read_own_files(self) -> OwnFiles:
        self.meet("own files")
        return self.own_files


@functools.cache
def _environment() -> Environment:
    return make_environment()
