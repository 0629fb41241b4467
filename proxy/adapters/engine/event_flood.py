"""Notices an engine that tells of more events than any real one: to follow them would take all time and all memory."""

from __future__ import annotations

MOST_EVENTS, WINDOW_SECONDS = 20_000, 10.0
"""So many events in so much time are a flood. A start of 100 containers in a second is 400 events."""
MOST_WAITING = 20_000
"""How many events may wait to be looked at. The stream is opened again after more, which makes up for all of them."""


class EventFlood:
    """Counts the events of one stream."""

    def __init__(self) -> None:
        self._since = 0.0
        self._count = 0

    def is_in(self, now: float) -> bool:
        """Count an event that came at this moment (monotonic clock). Return whether there are too many."""
        if now - self._since > WINDOW_SECONDS:
            self._since, self._count = now, 0
        self._count += 1
        return self._count > MOST_EVENTS
