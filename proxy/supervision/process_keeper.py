"""Keeps one process running: starts it, notices its end, starts it again, at once or after a growing delay.

In: the time, and a function that starts the process. Out: a running process. The supervisor has two of these; each is
told when to look, and says when it wants to look again.
"""

from __future__ import annotations

import logging
import math
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

logger = logging.getLogger(__name__)

_STABLE_SECONDS = 10.0
_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 1.0
_FOREIGN_POLL_SECONDS = 1.0


class Process(Protocol):
    """What is needed of a process that is kept; `subprocess.Popen` has it."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit code, None while the process runs."""

    def send_signal(self, sig: int) -> None:
        """Send a signal; do nothing when the process has ended."""


@dataclass(slots=True)
class Backoff:
    """How long to wait before a process that ended is started again: not at all after it had stayed up, then longer."""

    _failures: int = 0

    def delay_after(self, uptime_seconds: float) -> float:
        """Return the delay, in seconds, after an end that came `uptime_seconds` after the start."""
        if uptime_seconds > _STABLE_SECONDS:
            self._failures = 0
        self._failures += 1
        if self._failures == 1:
            return 0.0
        # The exponent is bounded so that it never grows too large for a float.
        delay: float = _FIRST_DELAY_SECONDS * 2.0 ** min(self._failures - 2, 30)
        return min(delay, _LONGEST_DELAY_SECONDS)


class ProcessKeeper:
    """One process that is started again whenever it ends. `start` returns None while it cannot be started yet."""

    def __init__(self, name: str, start: Callable[[], Process | None], final_code: int | None = None) -> None:
        self._final_code = final_code
        self._name = name
        self._start = start
        self._backoff = Backoff()
        self._started_at = 0.0
        self._next_start = 0.0
        self._waiting_since: float | None = None
        self.process: Process | None = None
        self.first_exit_code: int | None = None

    def notice_end(self, now: float) -> None:
        """Notice that the process has ended, if it has, and settle when it is started again."""
        code = self.process.poll() if self.process else None
        if code is None:
            return
        if self.first_exit_code is None:
            self.first_exit_code = code
        self.process = None
        if code == self.first_exit_code == self._final_code:
            logger.error("%s ended: %s; starting it again is no use", self._name, describe_exit(code))
        else:
            self._wait_before_next(now, describe_exit(code))

    def start_if_due(self, now: float) -> None:
        """Start the process unless it runs, or has to wait."""
        if self.process is not None or now < self._next_start:
            return
        self._started_at = now
        try:
            self.process = self._start()
        except OSError as error:
            self._wait_before_next(now, error)
            return
        if self.process is None:
            self._next_start = now + self._pause_after(now)
        else:
            self._waiting_since = None
            logger.info("%s runs as process %d", self._name, self.process.pid)

    def wake_time(self, now: float) -> float:
        """Return when to look again even if no child ends."""
        if self.process is None:
            return self._next_start
        return math.inf if isinstance(self.process, subprocess.Popen) else now + _FOREIGN_POLL_SECONDS

    def _pause_after(self, now: float) -> float:
        """Return when to look again whether the process can be started: a fiftieth of the wait so far.

        So an engine that is away for a day costs no processor time, and one that comes soon is not waited for.
        """
        if self._waiting_since is None:
            self._waiting_since = now
        return min(max((now - self._waiting_since) / 50, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)

    def _wait_before_next(self, now: float, reason: object) -> None:
        delay = self._backoff.delay_after(now - self._started_at)
        self._next_start = now + delay
        logger.warning("%s ended: %s; it is started again in %.1f s", self._name, reason, delay)


def describe_exit(code: int) -> str:
    """Return how a process ended, for people; negative codes are signals, as `subprocess` has it."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
