"""When the next pass is due. A state machine that is told the time; it never looks at a clock itself.

In: triggers with the time they came, and how passes ended. Out: the time of the next pass, and why. Rules: the first
trigger after a quiet time acts at once; those that follow are coalesced, for a time that grows with each pass of a storm
but has a bound, so that a storm that never ends still gets its passes; what is urgent waits for less; a failed
pass is retried with growing delays; a resync is due `resync_seconds` after the last one, and later where one costs much.
All times are in seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.core.trigger import Trigger, TriggerKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """How eager passes are."""

    first_holdoff_seconds: float = 0.001
    """Pause after the first pass of a burst, doubled after each further one: what comes within it is one pass."""
    longest_holdoff_seconds: float = 0.05
    """Bound of that pause. A burst is over when nothing has come for twice as long."""
    urgent_holdoff_seconds: float = 0.01
    """Bound of that pause before a pass that is `URGENT`, or about an HAProxy that was started."""
    resync_seconds: float = 60.0
    """How long after the last full look everything is looked at again, which repairs what a hint missed."""
    resync_share: float = 0.0008
    """Share of the time that full looks may take: where one takes long, the next is put off, up to `longest_resync_seconds`.
    After a lost connection everything is looked at in any case."""
    longest_resync_seconds: float = 600.0
    first_retry_seconds: float = 0.5
    """Pause after a failed pass; doubled after each further one, up to `longest_retry_seconds`."""
    longest_retry_seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DuePass:
    """A pass to run now. `forced_by` is the reason of a reload that was asked for, else empty."""

    reasons: tuple[str, ...]
    forced_by: str = ""
    is_resync: bool = False
    is_about_files: bool = False
    is_about_haproxy: bool = False
    """HAProxy was started since the last pass: what it has is to be compared with the model."""


MAX_REASONS = 8
"""More reasons than this are counted rather than kept: a storm must not grow the memory or the log line."""


class Schedule:
    """Collects triggers and says when to act on them. The first pass is due at once and is a resync."""

    def __init__(self, settings: ScheduleSettings) -> None:
        self._settings = settings
        self._pending_since: float | None = None
        self._reasons: dict[str, None] = {}
        self._dropped_reasons = 0
        self._forced_by = ""
        self._last_end: float | None = None
        self._next_resync: float | None = None
        self._burst_end: float | None = None
        self._holdoff_seconds = 0.0
        self._taken_at = 0.0
        self._is_triggered = False
        self._failures = 0
        self._taken: DuePass | None = None
        self._is_about_files = False
        self._is_about_haproxy = False
        self._is_urgent = False
        self._again_at: float | None = None

    def add(self, trigger: Trigger, now: float) -> None:
        """Take a trigger into account. `STOP` is the loop's own business and counts as any other here."""
        if self._pending_since is None:
            self._pending_since = now
        if trigger.kind is TriggerKind.RELOAD:
            self._forced_by = self._forced_by or trigger.reason
        self._is_about_files |= trigger.kind is TriggerKind.FILES
        self._is_about_haproxy |= trigger.kind is TriggerKind.HAPROXY
        self._is_urgent |= trigger.kind in (TriggerKind.URGENT, TriggerKind.HAPROXY)
        self._keep_reason(trigger.reason)

    def due_time(self) -> float:
        """Return when the next pass is due; that may lie in the past. There always is a next one."""
        if self._last_end is None or self._next_resync is None:
            return self._retry_time() if self._failures else 0.0
        if self._failures:
            return self._retry_time()
        if self._pending_since is not None:
            return max(self._pending_since, self._end_of_holdoff())
        return self._next_resync if self._again_at is None else min(self._next_resync, self._again_at)

    def take(self, now: float) -> DuePass:
        """Return the pass to run at `now`; what it covers is no longer pending."""
        is_resync = self._next_resync is None or now >= self._next_resync
        reasons = [*self._reasons]
        if self._dropped_reasons:
            reasons.append(f"{self._dropped_reasons} more")
        if not reasons:
            reasons.append(self._own_reason(is_resync=is_resync))
        self._taken = DuePass(
            reasons=tuple(reasons),
            forced_by=self._forced_by,
            is_resync=is_resync or bool(self._forced_by),
            is_about_files=self._is_about_files,
            is_about_haproxy=self._is_about_haproxy,
        )
        self._taken_at = now
        self._is_triggered = self._pending_since is not None
        if self._is_triggered and self._is_new_burst():
            self._holdoff_seconds = 0.0
        self._pending_since, self._reasons, self._dropped_reasons, self._forced_by = None, {}, 0, ""
        self._is_about_files, self._is_about_haproxy, self._is_urgent, self._again_at = False, False, False, None
        return self._taken

    def record_success(self, now: float, again_in: float | None = None) -> None:
        """The pass that was taken last has brought HAProxy up to date; it asks for another `again_in` seconds from now."""
        self._again_at = None if again_in is None else now + again_in
        if self._taken and self._taken.is_resync:
            self._next_resync = now + self._resync_pause(now - self._taken_at)
        if self._is_triggered:
            settings = self._settings
            grown = max(2 * self._holdoff_seconds, settings.first_holdoff_seconds)
            self._holdoff_seconds = min(grown, settings.longest_holdoff_seconds)
            self._burst_end = now
        self._last_end, self._failures, self._taken = now, 0, None

    def record_failure(self, now: float) -> None:
        """The pass that was taken last has not; what it was asked for is still wanted."""
        if self._taken:
            self._forced_by = self._forced_by or self._taken.forced_by
            self._is_about_files |= self._taken.is_about_files
            self._is_about_haproxy |= self._taken.is_about_haproxy
        self._last_end, self._taken = now, None
        self._failures += 1

    def _resync_pause(self, took_seconds: float) -> float:
        affordable = min(took_seconds / self._settings.resync_share, self._settings.longest_resync_seconds)
        return max(self._settings.resync_seconds, affordable)

    def _is_new_burst(self) -> bool:
        """Whether what is pending came after a time without any."""
        if self._burst_end is None or self._pending_since is None:
            return True
        return self._pending_since > self._burst_end + 2 * self._settings.longest_holdoff_seconds

    def _end_of_holdoff(self) -> float:
        """When what is pending has waited long enough for more; passes that nothing triggered do not count."""
        if self._burst_end is None:
            return 0.0
        longest = self._settings.urgent_holdoff_seconds if self._is_urgent else self._settings.longest_holdoff_seconds
        return self._burst_end + min(self._holdoff_seconds, longest)

    def _own_reason(self, *, is_resync: bool) -> str:
        if self._failures:
            return "retry"
        if self._last_end is None:
            return "start"
        return "resync" if is_resync else "follow-up"

    def _retry_time(self) -> float:
        """When to try again after a failure.

        What is new since the failure may be its cure (a label put right, an engine that is back), so it waits for the
        first, short delay only; it must not wait for less, since a failure may itself cause triggers.
        """
        last_end = self._last_end or 0.0
        first = self._settings.first_retry_seconds
        if self._pending_since is not None:
            return max(self._pending_since, last_end + first)
        # The exponent is bounded so that weeks of failures do not end in a number too large for a float.
        delay: float = first * 2.0 ** min(self._failures - 1, 30)
        return last_end + min(delay, self._settings.longest_retry_seconds)

    def _keep_reason(self, reason: str) -> None:
        if reason in self._reasons:
            return
        if len(self._reasons) < MAX_REASONS:
            self._reasons[reason] = None
        else:
            self._dropped_reasons += 1
