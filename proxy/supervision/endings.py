"""Ends processes step by step: a soft signal first, a hard one when the time for the soft one is over.

In: processes, signals with the time each may take, the clock. Out: signals. Rules: nothing waits here but `end_all`, so
that one HAProxy can finish its requests while another one is watched.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from proxy.supervision.process_keeper import Process, announces_end
from proxy.supervision.watched_signals import wait_for_signal

logger = logging.getLogger(__name__)

Steps = Sequence[tuple[signal.Signals, float]]
"""Signals, and how many seconds each may take."""

_HARD_SECONDS = 1.0
_REPEAT_SECONDS = 1.0
_FOREIGN_POLL_SECONDS = 0.02

HARD_STEPS: Steps = ((signal.SIGTERM, _HARD_SECONDS), (signal.SIGKILL, _HARD_SECONDS))
"""For a process that has nothing to finish."""


def soft_steps(stop_seconds: float) -> Steps:
    """Return the steps for HAProxy: requests in flight may finish for `stop_seconds` (management guide, section 4)."""
    return ((signal.SIGUSR1, stop_seconds), *HARD_STEPS)


class Ending:
    """One process on its way to its end. The first signal is sent at the first `advance`."""

    def __init__(self, process: Process, steps: Steps) -> None:
        self.process = process
        self._steps = list(steps)
        self._current: signal.Signals | None = None
        self._step_end = -math.inf
        self._next_send = -math.inf
        self.is_over = False

    def advance(self, now: float) -> None:
        """Send the signal that is due. A signal is sent again each second: a master that starts loses some [tried]."""
        self.is_over = self.is_over or self.process.poll() is not None
        while not self.is_over and now >= self._step_end:
            self._begin_next_step(now)
        if not self.is_over and self._current and now >= self._next_send:
            self.process.send_signal(self._current)
            self._next_send = now + _REPEAT_SECONDS

    def hurry(self) -> None:
        """Do not wait for a soft end any longer."""
        if self._current == signal.SIGUSR1:
            self._step_end = -math.inf

    def wake_time(self, now: float) -> float:
        """Return when to look again even if no child ends."""
        if self.is_over:
            return math.inf
        due = min(self._step_end, self._next_send)
        return due if announces_end(self.process) else min(due, now + _FOREIGN_POLL_SECONDS)

    def _begin_next_step(self, now: float) -> None:
        if self._current:
            logger.warning("process %d still runs after %s", self.process.pid, self._current.name)
        if not self._steps:
            self.is_over = True
            return
        self._current, seconds = self._steps.pop(0)
        children = _find_children(self.process.pid) if self._current == signal.SIGKILL else ()
        self.process.send_signal(self._current)
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._step_end, self._next_send = now + seconds, now + _REPEAT_SECONDS


def _find_children(pid: int) -> Sequence[int]:
    """Return the children of a process that is to be killed: workers of HAProxy, which would not end if they are frozen.

    Such a worker would keep its listeners, and the kernel would hand it a part of all new connections.
    """
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def end_all(endings: Sequence[Ending]) -> None:
    """Wait until all processes have ended. A further SIGINT from the user cuts the soft end short."""
    while True:
        now = time.monotonic()
        for ending in endings:
            ending.advance(now)
        if all(ending.is_over for ending in endings):
            return
        wake_time = min(ending.wake_time(now) for ending in endings)
        if wait_for_signal({signal.SIGCHLD, signal.SIGINT}, wake_time - now) == signal.SIGINT:
            for ending in endings:
                ending.hurry()
