"""Calls to make later: what a source of containers has to look at again after a while.

In: calls with the time they are due (monotonic clock). Out: each is made once, by one thread for all of them. A thread for
each call would be a thousand threads when a thousand containers are stopped. The thread ends after a while without calls,
and with it its connections: in a cluster, each engine has one.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable

IDLE_SECONDS = 10.0
"""How long the thread waits for another call until it ends."""


class DelayedCalls:
    """At most one call for each key. Its methods may be called from any thread; the thread runs while there are calls."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._changed = threading.Condition()
        self._calls: dict[str, tuple[float, Callable[[], object]]] = {}
        # The times and keys of all calls, and of those that were cancelled or replaced until their time has come.
        self._order: list[tuple[float, str]] = []
        self._thread: threading.Thread | None = None
        self._is_stopped = False

    def set(self, key: str, at_seconds: float, call: Callable[[], object]) -> None:
        """Make this call at that time, in place of one that `key` had before; do nothing after `stop`."""
        with self._changed:
            if self._is_stopped:
                return
            self._calls[key] = at_seconds, call
            heapq.heappush(self._order, (at_seconds, key))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="delayed calls", daemon=True)
                self._thread.start()
            self._changed.notify()

    def cancel(self, key: str) -> None:
        """Do not make the call of `key`, if it has one."""
        with self._changed:
            self._calls.pop(key, None)

    def stop(self) -> None:
        """Make no more calls, and end the thread."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()

    def _run(self) -> None:
        while call := self._wait_for_call():
            call()

    def _wait_for_call(self) -> Callable[[], object] | None:
        """Wait until a call is due and return it; None after `stop`, and after a while without calls."""
        with self._changed:
            while not self._is_stopped:
                if not self._order:
                    if not self._changed.wait_for(self._is_needed, self._idle_seconds):
                        break
                    continue
                remaining = self._order[0][0] - time.monotonic()
                if remaining > 0:
                    self._changed.wait(remaining)
                    continue
                at_seconds, key = heapq.heappop(self._order)
                if key in self._calls and self._calls[key][0] == at_seconds:
                    return self._calls.pop(key)[1]
            self._thread = None
            return None

    def _is_needed(self) -> bool:
        return bool(self._order) or self._is_stopped
