"""Keeps one process running: starts it, notices its end, and starts it again, at once or after a growing delay.

In: the time, and a function that starts the process. Out: a running process. The supervisor has two of these. It tells
each when to look, and each says when it wants to look again.
"""

from __future__ import annotations

import logging
import math
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

logger = logging.getLogger(__name__)

EXIT_UNKNOWN = 256
"""The exit code of a process that is not our child: nobody tells us how it ended. No program can have this code."""

_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""The exit codes of a process that was killed, and of a master of HAProxy whose worker was killed."""
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


def announces_end(process: Process) -> bool:
    """Return whether a SIGCHLD comes when the process ends: always for a child, which does not have the attribute."""
    return getattr(process, "announces_end", True)


@dataclass(slots=True)
class Backoff:
    """How long to wait before a process that ended is started again.

    The first start after an end is at once. Each further end that comes within `good_after_seconds` of its start makes
    the wait longer, unless it is known that the process had started well.
    """

    good_after_seconds: float
    """A process that has run for longer than this was started well; earlier ends do not count any more."""
    _failures: int = 0

    def delay_after(self, uptime_seconds: float) -> float:
        """Return the delay, in seconds, after an end that came `uptime_seconds` after the start."""
        if uptime_seconds > self.good_after_seconds:
            self._failures = 0
        self._failures += 1
        if self._failures == 1:
            return 0.0
        # The exponent is bounded so that it never grows too large for a float.
        delay: float = _FIRST_DELAY_SECONDS * 2.0 ** min(self._failures - 2, 30)
        return min(delay, _LONGEST_DELAY_SECONDS)

    def clear(self) -> None:
        """Forget the ends so far: the process has done its work."""
        self._failures = 0


class ProcessKeeper:
    """One process that is started again whenever it ends. `start` returns None while it cannot be started yet.

    `explain_kill` tells why a process was killed.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], Process | None],
        good_after_seconds: float,
        explain_kill: Callable[[], str],
        final_code: int | None = None,
    ) -> None:
        self._explain_kill = explain_kill
        self._final_code = final_code
        self._name = name
        self._start = start
        self._backoff = Backoff(good_after_seconds)
        self._started_at = 0.0
        self._next_start = 0.0
        self._waiting_since: float | None = None
        self.process: Process | None = None
        self.first_exit_code: int | None = None

    def notice_end(self, now: float) -> None:
        """Notice that the process has ended, if it has, and decide when it is started again."""
        code = self.process.poll() if self.process else None
        if code is None:
            return
        if self.first_exit_code is None:
            self.first_exit_code = code
        self.process = None
        if code == self.first_exit_code == self._final_code:
            logger.error(
                "%s ended: %s; it is not started again, because that would not help", self._name, describe_exit(code)
            )
        else:
            self._wait_before_next(now, self._explain_kill() if code in _KILLED else describe_exit(code))

    def start_if_due(self, now: float) -> bool:
        """Start the process unless it runs or has to wait; return whether it was started."""
        if self.process is not None or now < self._next_start:
            return False
        self._started_at = now
        try:
            process = self._start()
        except OSError as error:
            self._wait_before_next(now, error)
            return False
        if process is None:
            self._next_start = now + self._pause_after(now)
            return False
        self.keep(process, now)
        return True

    def keep(self, process: Process, now: float) -> None:
        """Keep this process from now on, instead of the one before."""
        self.process = process
        self._started_at = now
        self._waiting_since = None
        logger.info("%s runs as process %d", self._name, process.pid)

    def note_good_start(self, now: float) -> None:
        """Take it that the process had started well, however early it ends. It is not waited for any longer.

        Whoever kills it again and again, such as the system's memory killer, is no reason to let it stay away for longer.
        """
        self._backoff.clear()
        self._next_start = min(self._next_start, now)

    def uptime(self, now: float) -> float:
        """Return how long ago, in seconds, the process was started or taken over."""
        return now - self._started_at

    def wake_time(self, now: float) -> float:
        """Return when to look again even if no child ends."""
        if self.process is None:
            return self._next_start
        return math.inf if announces_end(self.process) else now + _FOREIGN_POLL_SECONDS

    def _pause_after(self, now: float) -> float:
        """Return the pause before the next try to start the process: a fiftieth of the wait so far, at most 1 s.

        So an engine that is unreachable for a day uses no processor time, and one that comes soon is noticed soon.
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
    if code == EXIT_UNKNOWN:
        return "exit code not known, because an earlier supervisor had started it"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
