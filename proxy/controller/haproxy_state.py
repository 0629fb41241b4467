"""The HAProxy that runs, as far as this program has brought it: plans against it, changes it, keeps the disk equal to it.

In: changes of the model. Out: HAProxy's new state, and files that a restart would start from. After every change the files
on disk are brought up to date, a little later, so that a storm of changes is written once, and beside the thread that
decides, so that no event waits for it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from proxy.controller.disk_writer import DiskWriter
from proxy.controller.ports import HaproxyControl, Runtime
from proxy.core.haproxy.plans import Plan, RuntimeUpdate
from proxy.core.haproxy.removals import Removals
from proxy.core.haproxy.rendering import DesiredState, Renderer
from proxy.core.haproxy.runtime_plan import Loaded, make_runtime_plan, profiles_of
from proxy.core.model.model import RoutingModel
from proxy.core.model.model_change import ModelChange
from proxy.errors import ReloadError, RuntimeApiError

logger = logging.getLogger(__name__)

DISK_LAG_SECONDS = 1.0
"""How long files may lag behind what runs."""
BUSY_DISK_SECONDS = 0.05
"""How soon to look again whether the write before has ended."""
START_POLL_SECONDS = 0.1
"""How soon to look again for an HAProxy that is being started."""
REMOVAL_LIMIT_SECONDS = 300.0
"""How long connections may keep alive a server whose container has gone; what they still say nobody answers."""


class HaproxyState:
    """What runs. While not `is_synchronised`, what HAProxy has is not known well enough to change it piece by piece."""

    def __init__(
        self,
        *,
        renderer: Renderer,
        store: DiskWriter,
        haproxy: HaproxyControl,
        runtime: Runtime,
        port_offset: int,
    ) -> None:
        self._port_offset = port_offset
        self._renderer = renderer
        self._store = store
        self._haproxy = haproxy
        self._runtime = runtime
        self._loaded = Loaded()
        self._removals = Removals(REMOVAL_LIMIT_SECONDS)
        self._reweighed: set[tuple[str, str]] = set()
        self._ports: frozenset[int] = frozenset()
        self._dirty_since: float | None = None
        self._is_untouched = True
        self._has_runtime_backends: bool | None = None
        self.is_synchronised = False
        self.why_not_synchronised = "first configuration"

    def plan(self, change: ModelChange) -> Plan:
        """Return how to bring HAProxy from the model before `change` to the one after it."""
        return make_runtime_plan(
            change,
            self._loaded,
            leaving=self._removals.servers(),
            leaving_backends=self._removals.backends(),
        )

    def adopt(self, desired: DesiredState) -> bool:
        """Take over an HAProxy that runs from exactly the desired files; return whether it does.

        Only one that has not been changed since it started can be known by its files.
        """
        if not self._is_untouched or self._store.read_current() != desired.files:
            return False
        if self._haproxy.is_running():
            self._note_loaded(desired.model)
        return True

    def update(self, plan: RuntimeUpdate, now: float) -> None:
        """Carry out a plan; raises RuntimeApiError at the first command that is refused, and a reload is due then."""
        self.is_synchronised = self._is_untouched = False
        self.why_not_synchronised = "the last update at runtime was not completed"
        self._runtime.execute(plan.stages)
        self._reweighed.update(plan.servers_reweighed)
        self._removals.take_back(plan.servers_returning, plan.backends_returning)
        self._removals.add(plan.servers_leaving, plan.backends_leaving, now)
        self.is_synchronised = True
        if self._dirty_since is None:
            self._dirty_since = now

    def reload(self, desired: DesiredState, folder: Path) -> None:
        """Have HAProxy take over a checked candidate; raises ReloadError, and what ran before goes on."""
        self.is_synchronised = False
        self._refuse_taken_ports(desired, folder)
        # Asked before there is anything to start from: a master that starts now reads the new files by itself.
        was_running = self._haproxy.is_running()
        self._store.promote(folder)
        if was_running:
            self._is_untouched = False
            self.why_not_synchronised = "the last reload failed"
            try:
                self._haproxy.reload(self._reweighed)
            except ReloadError:
                self._go_back()
                raise
        self._dirty_since = None
        self._note_loaded(desired.model)

    def tend(self, freeze: Callable[[], Callable[[], RoutingModel]], now: float) -> float | None:
        """Delete what can be deleted, bring the disk up to date when that is due; return in how many seconds to come back.

        `freeze` returns what builds the model of this moment, at any later one and in another thread.
        """
        if self._removals and self.is_synchronised:
            self._try_removals(now)
        if self._dirty_since is None and self._store.take_failure():
            self._dirty_since = now
        if self._dirty_since is not None and now >= self._dirty_since + DISK_LAG_SECONDS and not self._store.is_busy():
            self._dirty_since = None
            build_model = freeze()
            self._store.begin(lambda: self._renderer.render(build_model()))
        pause = self._removals.pause_seconds(now)
        waits = [] if pause is None else [pause]
        if not self.is_synchronised:
            waits.append(START_POLL_SECONDS)
        if self._dirty_since is not None:
            waits.append(max(self._dirty_since + DISK_LAG_SECONDS - now, BUSY_DISK_SECONDS))
        return min(waits, default=None)

    def _go_back(self) -> None:
        """Load the files from before the failed reload: until one succeeds, 3.4's runtime socket is dead [tried]."""
        self._store.rollback()
        with contextlib.suppress(ReloadError):
            self._haproxy.reload(self._reweighed)

    def _note_loaded(self, model: RoutingModel) -> None:
        """A worker has started from the files of `model`: it has these profiles, and nothing that is being removed."""
        self._removals.clear()
        self._reweighed.clear()
        self._ports = _ports_of(model)
        self._loaded = Loaded(profiles=profiles_of(model))
        with contextlib.suppress(RuntimeApiError):  # right after a reload a master may be too busy to answer
            self._has_runtime_backends = self._haproxy.has_runtime_backends()
        if self._has_runtime_backends is None:
            return  # it is still starting; until it answers nothing can be changed at runtime
        self._loaded = Loaded(profiles=profiles_of(model), has_runtime_backends=self._has_runtime_backends)
        self.is_synchronised = True

    def _refuse_taken_ports(self, desired: DesiredState, folder: Path) -> None:
        """A port that another process has makes a reload fail only after it has hurt all others for seconds."""
        new = _ports_of(desired.model) - self._ports if self._ports else frozenset()
        taken = self._haproxy.find_taken_ports(port + self._port_offset for port in sorted(new))
        if taken:
            self._store.discard(folder)
            phrase = "'{0}': another process listens on port {1}"
            names = [(kind + str(port - self._port_offset), port) for port in taken for kind in ("port_", "tcp_")]
            raise ReloadError("\n".join("proxy " + phrase.format(*name) for name in names))

    def _try_removals(self, now: float) -> None:
        """Delete what can be; with its last server gone, a backend is due in the same call."""
        try:
            while removals := self._removals.due(now):
                answers = iter(self._runtime.attempt([command for removal in removals for command in removal.commands]))
                for removal in removals:
                    *_, is_done = [next(answers) for _ in removal.commands]
                    if is_done:
                        self._removals.done(removal)
                    else:
                        self._removals.put_off(removal, now)
        except RuntimeApiError as error:
            logger.debug("removals are put off: %s", error)


def _ports_of(model: RoutingModel) -> frozenset[int]:
    return frozenset({frontend.port for frontend in model.frontends} | {entry.port for entry in model.listeners})
