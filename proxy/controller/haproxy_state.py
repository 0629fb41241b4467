"""The HAProxy that runs, as it has confirmed it: who it is, what it has loaded, what is still being removed from it.

In: the model, changes of it. Out: commands carried out, and comparisons with what HAProxy itself says. Nothing about HAProxy
is believed that it can be asked: another worker, or an update that was not completed, means that it is asked for everything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from proxy.controller.ports import Runtime, StateStore
from proxy.core.haproxy.comparison import Comparison, Known, compare
from proxy.core.haproxy.file_names import CA_FILE, CONFIG_FILE
from proxy.core.haproxy.loaded import Loaded, fixed_backends, load_sections, port_uses, reload_reasons
from proxy.core.haproxy.plans import RuntimeUpdate, Step
from proxy.core.haproxy.removals import Removals
from proxy.core.haproxy.rendering import DesiredState, Renderer
from proxy.core.haproxy.reported import Worker
from proxy.core.haproxy.runtime_commands import publish_backend
from proxy.core.haproxy.runtime_plan import make_step
from proxy.core.model.model import RoutingModel
from proxy.core.model.model_change import ModelChange
from proxy.core.model.port_uses import PortUse
from proxy.errors import RuntimeApiError, TemplateError

logger = logging.getLogger(__name__)

REMOVAL_LIMIT_SECONDS = 300.0
"""How long connections may keep alive a server whose container has gone; nobody answers on them any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What asking HAProxy has come to: how it differs from the model, and what of that takes a reload."""

    comparison: Comparison
    reload_reasons: tuple[str, ...] = ()


class HaproxyState:
    """What runs. While not `is_synchronised`, HAProxy has to be asked before it can be changed.

    `wall_clock` tells seconds since the epoch.
    """

    def __init__(self, *, renderer: Renderer, store: StateStore, runtime: Runtime, wall_clock: Callable[[], float]) -> None:
        self._renderer = renderer
        self._store = store
        self._runtime = runtime
        self._created_at = wall_clock()
        self._loaded = Loaded()
        self._fixed: frozenset[str] = frozenset()
        self._removals = Removals(REMOVAL_LIMIT_SECONDS)
        self._worker: Worker | None = None
        self._is_interrupted = False
        self.is_synchronised = False
        self.doubt_reason = "the controller has started"

    @property
    def worker(self) -> Worker | None:
        """The worker that was spoken to last."""
        return self._worker

    def doubt(self, reason: str, *, is_interrupted: bool = False) -> None:
        """Note that HAProxy may have something else than what it has confirmed.

        `is_interrupted` where an update has ended in the middle.
        """
        self.is_synchronised = False
        self.doubt_reason = reason
        self._is_interrupted |= is_interrupted

    def recognise(self) -> None:
        """Ask who answers, and doubt everything where that is another one than before."""
        try:
            found = self._runtime.identify()
        except RuntimeApiError:
            self.doubt("it did not answer")
            return
        if found != self._worker:
            self.doubt("it was started again" if self._worker else "it was started")

    def read_port_uses(self) -> dict[int, PortUse]:
        """Return what HAProxy uses its ports for, as far as it tells. Raises RuntimeApiError when it does not answer."""
        files = self._store.pin(self._runtime.identify().config_digest)
        return port_uses(files[CONFIG_FILE]) if files else {}

    def synchronise(self, model: RoutingModel) -> Found:
        """Ask HAProxy for everything, and return how it differs from `model`.

        Raises RuntimeApiError when it does not answer.
        """
        worker = self._runtime.identify()
        files = self._store.pin(worker.config_digest)
        if files is None:
            reason = "the files of HAProxy's configuration are gone"
            return Found(comparison=Comparison(), reload_reasons=(reason,))
        if worker != self._worker:
            self._removals.clear()
        loaded = load_sections(files[CONFIG_FILE], has_runtime_backends=worker.has_runtime_backends)
        try:
            wanted = self._renderer.render_fixed(model)
        except TemplateError:
            wanted = files[CONFIG_FILE]  # until somebody mends the template, HAProxy keeps what it has loaded
        reasons = [*reload_reasons(loaded, wanted)]
        if files.get(CA_FILE, "") != (model.client_ca.reveal() if model.client_ca else ""):
            reasons.append("the CA of client certificates has changed")
        fixed = fixed_backends(files[CONFIG_FILE]) | fixed_backends(wanted)
        reported = self._runtime.report(worker)
        comparison = compare(reported, model, self._known(fixed, loaded))
        if worker.has_runtime_backends and (self._is_interrupted or worker.started_at < self._created_at):
            # HAProxy does not tell which backends are published.
            ours = [backend.name for backend in model.backends if backend.name in reported.servers]
            self._runtime.execute([[publish_backend(name) for name in ours]], worker)
        self._worker, self._loaded, self._fixed = worker, loaded, fixed
        self.is_synchronised, self._is_interrupted = True, False
        return Found(comparison=comparison, reload_reasons=tuple(reasons))

    def compare(self, model: RoutingModel) -> Comparison:
        """Return how HAProxy differs from `model`, which it has confirmed; raises RuntimeApiError."""
        if self._worker is None:
            return Comparison()
        return compare(self._runtime.report(self._worker), model, self._known(self._fixed, self._loaded))

    def step(self, change: ModelChange) -> Step:
        """Return how HAProxy is brought from the model before `change` to the one after it."""
        leaving, leaving_backends = self._removals.servers(), self._removals.backends()
        return make_step(change, self._loaded, leaving=leaving, leaving_backends=leaving_backends)

    def update(self, update: RuntimeUpdate, now: float) -> None:
        """Carry out commands. Raises RuntimeApiError, and everything is in doubt, where one of them is not confirmed."""
        if self._worker is None:
            raise RuntimeApiError("HAProxy has not been identified yet")
        self.doubt("the last update at runtime was not completed", is_interrupted=True)
        self._runtime.execute(update.stages, self._worker)
        self._removals.take_back(update.servers_returning, update.backends_returning)
        self._removals.add(update.servers_leaving, update.backends_leaving, now)
        self.is_synchronised, self._is_interrupted = True, False

    def note_loaded(self, worker: Worker, state: DesiredState) -> None:
        """A worker has started from the files of `state`: it has these, and nothing that is being removed."""
        config = state.files[CONFIG_FILE]
        self._removals.clear()
        self._worker = worker
        self._loaded = load_sections(config, has_runtime_backends=worker.has_runtime_backends)
        self._fixed = fixed_backends(config)
        self.is_synchronised, self._is_interrupted = True, False

    def remove(self, now: float) -> float | None:
        """Delete what can be deleted; return in how many seconds to come back."""
        if self._removals and self.is_synchronised and self._worker:
            self._try_removals(now, self._worker)
        return self._removals.pause_seconds(now)

    def _known(self, fixed: frozenset[str], loaded: Loaded) -> Known:
        return Known(
            leaving=frozenset(self._removals.servers()),
            leaving_backends=frozenset(self._removals.backends()),
            fixed_backends=fixed,
            shows_certificates=loaded.shows_certificates,
        )

    def _try_removals(self, now: float, worker: Worker) -> None:
        """Delete what can be; with its last server gone, a backend is due in the same call."""
        try:
            while removals := self._removals.due(now):
                commands = [command for removal in removals for command in removal.commands]
                answers = iter(self._runtime.attempt(commands, worker))
                for removal in removals:
                    *_, is_done = [next(answers) for _ in removal.commands]
                    if is_done:
                        self._removals.done(removal)
                    else:
                        self._removals.put_off(removal, now)
        except RuntimeApiError as error:
            self.doubt(str(error))
