"""The loop: wait until a pass is due, run it, for ever. Everything that decides is beneath it.

In: a queue of triggers, which sources, watchers and signals fill. Out: passes. Rules: one thread decides; the one
catch-all of the program is here, it logs the traceback and backs off.
"""

from __future__ import annotations

import logging
import queue
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType

from proxy.controller.schedule import DuePass, Schedule
from proxy.core.trigger import Trigger, TriggerKind
from proxy.errors import ProxyError

logger = logging.getLogger(__name__)

TriggerQueue = queue.SimpleQueue[Trigger]
"""A `SimpleQueue`, because its `put` may be called from a signal handler while the loop is inside `get`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassResult:
    """Whether a pass has brought HAProxy up to date, and in how many seconds it wants to be run again.

    `look_seconds` is how long it took to read the sources.
    """

    is_success: bool
    again_in: float | None = None
    look_seconds: float = 0.0


class Daemon:
    """Runs passes when `schedule` says so; `clock` is monotonic."""

    def __init__(
        self,
        triggers: TriggerQueue,
        schedule: Schedule,
        run_pass: Callable[[DuePass], PassResult],
        clock: Callable[[], float],
    ) -> None:
        self._triggers = triggers
        self._schedule = schedule
        self._run_pass = run_pass
        self._clock = clock

    def run(self) -> None:
        """Run passes until a `STOP` trigger comes; a pass that has begun is finished first."""
        while self._wait_until_due():
            self._run_due_pass()

    def _wait_until_due(self) -> bool:
        """Take triggers in until a pass is due; return False when asked to stop."""
        while True:
            remaining = self._schedule.due_time() - self._clock()
            try:
                trigger = self._triggers.get(timeout=remaining) if remaining > 0 else self._triggers.get_nowait()
            except queue.Empty:
                if remaining > 0:
                    continue
                return True
            if trigger.kind is TriggerKind.STOP:
                logger.info("stopping: %s", trigger.reason)
                return False
            self._schedule.add(trigger, self._clock())

    def _run_due_pass(self) -> None:
        due = self._schedule.take(self._clock())
        try:
            result = self._run_pass(due)
        except ProxyError as error:
            logger.error("pass failed (%s): %s", ", ".join(due.reasons), error)
            result = PassResult(is_success=False)
        except Exception:
            logger.exception(
                "pass failed because of an error in this program (%s); it is tried again", ", ".join(due.reasons)
            )
            result = PassResult(is_success=False)
        if result.is_success:
            self._schedule.record_success(self._clock(), result.again_in, result.look_seconds)
        else:
            self._schedule.record_failure(self._clock())


def put_signals(triggers: TriggerQueue, more: Mapping[signal.Signals, TriggerKind] | None = None) -> None:
    """Turn signals into triggers: to look again (SIGUSR2), to reload (SIGUSR1, SIGHUP), to end (SIGTERM, SIGINT).

    `more` are the signals of the supervisor. It blocks some until this process can handle them, because a signal without
    a handler would end it. They are unblocked here, and those that came meanwhile become triggers now.
    """
    kinds = {
        signal.SIGUSR2: TriggerKind.LOOK,
        signal.SIGUSR1: TriggerKind.RELOAD,
        signal.SIGHUP: TriggerKind.RELOAD,
        signal.SIGTERM: TriggerKind.STOP,
        signal.SIGINT: TriggerKind.STOP,
        **(more or {}),
    }

    def put(number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number)
        kind = kinds[name]
        reason = "HAProxy was started" if kind is TriggerKind.HAPROXY else f"signal {name.name}"
        triggers.put(Trigger(reason=reason, kind=kind))

    for number in kinds:
        signal.signal(number, put)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, kinds)
