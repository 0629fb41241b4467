"""When to try again what has failed: after pauses that grow. It is told the time, and looks at no clock."""

from __future__ import annotations

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


class Retry:
    """Counts failures in a row. All times are in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._failures = 0
        self._not_before: float | None = None

    def is_due(self, now: float) -> bool:
        """Whether it may be tried now."""
        return self._not_before is None or now >= self._not_before

    def wait(self, now: float) -> float | None:
        """Return in how many seconds it may be tried again; None when nothing has failed."""
        return None if self._not_before is None else max(self._not_before - now, 0.0)

    def fail(self, now: float) -> None:
        """Note a failure."""
        pause: float = FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures, 30)
        self._not_before = now + min(pause, LONGEST_PAUSE_SECONDS)
        self._failures += 1

    def succeed(self) -> None:
        """Note that it has worked."""
        self._failures, self._not_before = 0, None
