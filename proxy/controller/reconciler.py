"""One pass, no loop, no sleep: look, plan, apply.

In: why a pass is due. Out: an `Outcome`. What a pass costs follows what changed; the whole model is printed only for a
reload and when the disk is brought up to date. Nothing invalid ever replaces something that works: what is new to HAProxy
is checked before it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proxy.controller.desired_model import DesiredModel
from proxy.controller.haproxy_state import HaproxyState
from proxy.controller.ports import HaproxyControl, StateStore
from proxy.controller.schedule import DuePass
from proxy.core.haproxy.plans import Plan, Reload, RuntimeUpdate, Unchanged
from proxy.core.haproxy.rendering import CONFIG_FILE, DesiredState, Renderer
from proxy.errors import ConfigCheckError, Problem, ReloadError, RuntimeApiError

MAX_ATTEMPTS = 3
"""How often one pass tries again after HAProxy could not take a configuration over, each time without the accused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a pass did: one sentence for the log, and what it leaves behind. `again_in` is in seconds."""

    sentence: str
    is_success: bool
    plan: Plan
    services: int
    problems: tuple[Problem, ...] = ()
    again_in: float | None = None
    look_seconds: float = 0.0


class Reconciler:
    """Brings HAProxy to what the sources say. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        *,
        desired: DesiredModel,
        running: HaproxyState,
        renderer: Renderer,
        store: StateStore,
        haproxy: HaproxyControl,
        clock: Callable[[], float],
    ) -> None:
        self._desired = desired
        self._running = running
        self._renderer = renderer
        self._store = store
        self._haproxy = haproxy
        self._clock = clock

    def run_pass(self, due: DuePass) -> Outcome:
        """Run one pass.

        Raises SourceError while no source has answered yet, ConfigCheckError when the proxy's own settings are refused,
        StateError when the state cannot be written. Whatever is raised, what runs goes on running.
        """
        change = self._desired.update(due)
        if due.forced_by:
            plan: Plan = Reload((due.forced_by,))
        elif not self._running.is_synchronised:
            plan = Reload((self._running.why_not_synchronised,))
        else:
            plan = self._running.plan(change)
        if isinstance(plan, RuntimeUpdate):
            try:
                self._running.update(plan, self._clock())
            except RuntimeApiError as error:
                plan = Reload((f"HAProxy refuses {error}",))
        failure = self._reload(can_adopt=not due.forced_by) if isinstance(plan, Reload) else ""
        if failure is None:
            plan, failure = Unchanged(), ""
        return self._outcome(plan, failure)

    def inspect(self) -> tuple[DesiredState, tuple[Problem, ...], tuple[Problem, ...]]:
        """Return what a pass would bring HAProxy to, every problem and note, without doing it.

        Raises what `run_pass` raises.
        """
        self._desired.update(DuePass(reasons=("inspection",), is_resync=True))
        state, folder = self._admit()
        self._store.discard(folder)
        return state, self._desired.problems(), self._desired.notes()

    def check_own_settings(self) -> None:
        """Raise ConfigCheckError when HAProxy refuses a configuration without any service."""
        folder = self._store.write_candidate(self._renderer.render(self._desired.build(())).files)
        try:
            self._haproxy.check(folder / CONFIG_FILE)
        finally:
            self._store.discard(folder)

    def _reload(self, *, can_adopt: bool) -> str | None:
        """Reload; return why it failed, nothing if it did not, None if there was no need to."""
        failure = ""
        for _ in range(MAX_ATTEMPTS):
            state, folder = self._admit()
            if can_adopt and self._running.adopt(state):
                self._store.discard(folder)
                return None
            try:
                self._running.reload(state, folder)
            except ReloadError as error:
                failure = str(error)
                if not self._desired.exclude_accused(failure.split("\n"), state):
                    break
            else:
                return ""
        return failure

    def _admit(self) -> tuple[DesiredState, Path]:
        """Return the state of the whole model without those who are at fault, checked and on disk as a candidate."""
        while True:
            state = self._renderer.render(self._desired.model())
            folder = self._store.write_candidate(state.files)
            try:
                self._haproxy.check(folder / CONFIG_FILE)
            except ConfigCheckError as error:
                self._store.discard(folder)
                self._desired.exclude_refused(error, state)
            else:
                self._desired.accept_all()
                return state, folder

    def _outcome(self, plan: Plan, failure: str) -> Outcome:
        now = self._clock()
        waits = [self._running.tend(self._desired.freeze, now)]
        expiry = self._desired.next_expiry()
        waits.append(None if expiry is None else max(expiry - now, 0.0))
        return Outcome(
            sentence=f"reload failed, the old worker still serves: {failure}" if failure else describe(plan),
            is_success=not failure,
            plan=plan,
            services=self._desired.count_services(),
            problems=self._desired.problems(),
            again_in=min((wait for wait in waits if wait is not None), default=None),
        )


MAX_CHANGES = 6
"""More changes than this are counted rather than listed in the log."""


def describe(plan: Plan) -> str:
    """Return what a plan does, in words."""
    match plan:
        case Reload(reasons):
            return f"reload: {_list(reasons)}"
        case RuntimeUpdate():
            return f"runtime update: {_list(plan.changes)}"
        case Unchanged():
            return "nothing to change"


def _list(phrases: tuple[str, ...]) -> str:
    more = len(phrases) - MAX_CHANGES
    return ", ".join(phrases[:MAX_CHANGES]) + (f" and {more} more" if more > 0 else "")
