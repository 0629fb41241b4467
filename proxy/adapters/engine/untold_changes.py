"""Finds out that a stream of events has fallen silent: a full look has found changes that no event has named.

In: the containers before and after a full look, and the ids that events name. Out: the changes that no event has told. A
stream can be silent for ever while its connection looks open: a NAT or a firewall has forgotten it, or the engine's machine
was suspended. An engine may also change something without an event. So each time, the stream is opened again only after a
longer pause.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

from proxy.core.containers.containers import Container, State

GRACE_SECONDS = 2.0
"""How long before or after a full look an event may come that tells of the same change: the engine's list and its events are
not in step."""
KEEP_SECONDS = 20.0
"""How long it is remembered whom an event has named: longer than a list call may take, and `GRACE_SECONDS` on both sides."""
FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 3600.0
"""How long after the stream was opened again for an untold change it is left open whatever is found; doubled each time."""


def find_changes(before: Mapping[str, Container], after: Mapping[str, Container]) -> Mapping[str, str]:
    """Return in words, by id, which containers differ, of those whose events are passed on."""
    changes: dict[str, str] = {}
    for container_id in before.keys() | after.keys():
        was, now = before.get(container_id), after.get(container_id)
        if was == now:
            continue
        old, new = _as_told(was), _as_told(now)
        if old != new and (known := new or old):
            what = "runs" if old is None else "is gone" if new is None else "has changed"
            changes[container_id] = f"container {known.name} {what}"
    return changes


def _as_told(container: Container | None) -> Container | None:
    """Return the container as events would tell of it; None for one that has ended, or has nothing to do with the proxy.

    A container that the engine restarts again and again is listed between its runs, and has been told as dead.
    """
    if container is None or container.state is State.STOPPED or not container.may_want_route:
        return None
    return replace(container, state=State.RUNNING) if container.state is State.STOPPING else container


class UntoldChanges:
    """Whom events have named in the last seconds, and when the stream may be opened again. All times are monotonic.

    `note_event` is called by the thread that watches, the others by one other thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._named: dict[str, float] = {}  # in the order of the times
        self._reopened_at: float | None = None
        self._pause_seconds = FIRST_PAUSE_SECONDS

    def note_event(self, container_id: str, now: float) -> None:
        """Remember for a while that an event has named this container."""
        with self._lock:
            self._named.pop(container_id, None)
            self._named[container_id] = now
            while (oldest := next(iter(self._named))) and self._named[oldest] < now - KEEP_SECONDS:
                del self._named[oldest]

    def find_untold(self, changes: Mapping[str, str], since: float) -> list[str]:
        """Return those changes, in words, whose container no event has named from `since` on."""
        with self._lock:
            return [text for key, text in changes.items() if self._named.get(key, since - 1) < since]

    def may_reopen(self, now: float) -> bool:
        """Say whether the stream may be opened again now, and remember that it was."""
        if self._reopened_at is not None:
            quiet_seconds = now - self._reopened_at
            if quiet_seconds < self._pause_seconds:
                return False
            is_long_ago = quiet_seconds > 2 * LONGEST_PAUSE_SECONDS
            grown = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
            self._pause_seconds = FIRST_PAUSE_SECONDS if is_long_ago else grown
        self._reopened_at = now
        return True
