"""Replaces an HAProxy that runs but cannot be reached, by one that can, without losing a request that it has accepted.

In: the wish for it, the time. Out: processes. Rules: both HAProxies listen on the same ports for a moment (SO_REUSEPORT).
The old one stays until the new one answers, and stays for good if the new one never does. Then the old one finishes its
requests and ends. Nothing waits here.
"""

from __future__ import annotations

import logging
import math

from proxy.adapters.haproxy.haproxy_process import START_TIMEOUT_SECONDS
from proxy.supervision.endings import HARD_STEPS, Ending, soft_steps
from proxy.supervision.haproxy_starts import HaproxyStarts
from proxy.supervision.process_keeper import Backoff, Process, ProcessKeeper, describe_exit

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.02
_FILES_POLL_SECONDS = 0.2


class Replacement:
    """At most one HAProxy that is to take over, and those that have been replaced and finish their requests."""

    def __init__(self, keeper: ProcessKeeper, starts: HaproxyStarts, stop_seconds: float) -> None:
        self._keeper = keeper
        self._starts = starts
        self._stop_seconds = stop_seconds
        self._backoff = Backoff(good_after_seconds=math.inf)
        self._is_wanted = False
        self._next_start = 0.0
        self._deadline = 0.0
        self._successor: Process | None = None
        self._endings: list[Ending] = []

    def ask(self, now: float) -> None:
        """Replace the HAProxy that runs, as soon as there are files to start another one from, unless it answers.

        One that is still reading its configuration is left alone. Its master answers before its worker does.
        """
        running = self._keeper.process
        if running is None or self._successor or self._is_wanted:
            return
        if self._starts.is_reachable(running):
            logger.info("HAProxy process %d answers on its sockets, so it is not replaced", running.pid)
        elif self._keeper.uptime(now) < START_TIMEOUT_SECONDS and self._starts.is_starting(running):
            logger.debug("HAProxy process %d is still starting", running.pid)
        else:
            logger.warning("HAProxy process %d runs but does not answer on its sockets; it is replaced", running.pid)
            self._is_wanted = True

    def retire(self, process: Process) -> None:
        """Let a process that is not needed any more finish its requests, and end it."""
        logger.info("HAProxy process %d finishes its requests and ends", process.pid)
        self._endings.append(Ending(process, soft_steps(self._stop_seconds)))

    def advance(self, now: float) -> bool:
        """Do what is due; return whether another HAProxy has taken over. Comes before ends are noticed."""
        for ending in self._endings:
            ending.advance(now)
        self._endings = [ending for ending in self._endings if not ending.is_over]
        running = self._keeper.process
        if running is None:
            # The next one is started anyway.
            self._is_wanted = False
            return False
        if self._is_wanted and now >= self._next_start:
            self._start_successor(running, now)
        return self._successor is not None and self._has_taken_over(self._successor, running, now)

    def wake_time(self, now: float) -> float:
        """Return when to look again even if no child ends."""
        own = math.inf
        if self._successor:
            own = now + _POLL_SECONDS
        elif self._is_wanted:
            own = self._next_start
        return min([own, *(ending.wake_time(now) for ending in self._endings)])

    def stop(self) -> list[Ending]:
        """Give up what was wanted, and return the processes that have to be ended besides the one that is kept."""
        endings = [*self._endings, *([Ending(self._successor, soft_steps(self._stop_seconds))] if self._successor else [])]
        self._is_wanted, self._successor, self._endings = False, None, []
        return endings

    def is_known(self, pid: int) -> bool:
        """Return whether this process is being ended already."""
        return any(ending.process.pid == pid for ending in self._endings)

    def _start_successor(self, running: Process, now: float) -> None:
        try:
            if not self._starts.can_start():
                self._next_start = now + _FILES_POLL_SECONDS
                return
            self._is_wanted = False
            self._successor = self._starts.start_beside(running)
        except OSError as error:
            self._fail(running, now, error)
            return
        self._deadline = now + START_TIMEOUT_SECONDS
        logger.info("HAProxy process %d replaces process %d as soon as it answers", self._successor.pid, running.pid)

    def _has_taken_over(self, successor: Process, running: Process, now: float) -> bool:
        code = successor.poll()
        if code is not None:
            self._successor = None
            self._fail(running, now, describe_exit(code))
        elif running.poll() is not None:
            logger.warning("HAProxy process %d ended before process %d took over", running.pid, successor.pid)
            self._take_over(successor, now)
        elif self._starts.is_reachable(successor):
            self._take_over(successor, now)
            self.retire(running)
        elif now > self._deadline:
            self._successor = None
            self._endings.append(Ending(successor, HARD_STEPS))
            self._fail(running, now, f"it has not answered for {START_TIMEOUT_SECONDS:g} s")
        return self._keeper.process is successor

    def _take_over(self, successor: Process, now: float) -> None:
        self._successor = None
        self._backoff = Backoff(good_after_seconds=math.inf)
        self._next_start = 0.0
        self._starts.mark(successor)
        self._keeper.keep(successor, now)

    def _fail(self, running: Process, now: float, reason: object) -> None:
        """The controller asks again as long as it cannot reach HAProxy."""
        delay = self._backoff.delay_after(0.0)
        self._next_start = now + delay
        logger.error(
            "the new HAProxy did not come up (%s); process %d keeps running, but cannot be reached; "
            "another attempt is made after %.1f s at the earliest",
            reason,
            running.pid,
            delay,
        )
