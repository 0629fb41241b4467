"""Which containers were told to stop, and how long to wait until one that still runs gets traffic again.

In: `kill` events with the time they came, and what inspections say of a container's stop. Out: who is stopping. It belongs
to the thread that reads. All times are of the monotonic clock.

An event names the signal that was sent, and nothing else. Whether that signal stops the container is in its inspection,
which is asked for in advance. The time that `docker stop --time` was given cannot be seen anywhere. So the wait for a
container that was told to stop is much longer than the engine's usual wait.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Container as Ids
from collections.abc import Iterator

from proxy.core.containers.docker_json import EngineEvent, StopRule
from proxy.core.containers.event_effects import NEW_RUNS

LONGEST_STOP_SECONDS = 300.0
"""How long a container that was told to stop gets no traffic while it runs, unless its own stop takes longer."""
STOP_GRACE_SECONDS = 2.0
"""How much longer than its own `StopTimeout` a container may take."""
ANSWER_SECONDS = 0.05
"""How long to wait for an unknown stop signal. An engine that does not answer by then is busy with that container's end: it
holds the container's lock for 200 ms and more [measured: 20.10]."""
OFTEN_STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGQUIT})
"""What stops many containers whose stop signal is not the usual SIGTERM."""
REAL_TIME_SIGNALS = {"RTMIN": 34, "RTMAX": 64}
"""Their numbers for the engine; the C library of this program may keep some for itself."""


class StoppingContainers:
    """By container id, the signals that were sent to it in its present run, and what is known of its stop."""

    def __init__(self) -> None:
        self._signals: dict[str, dict[int, float]] = {}
        self._rules: dict[str, StopRule] = {}

    def note_event(self, event: EngineEvent, at_seconds: float) -> None:
        """Take in an event. To take in the same events again in the same order changes nothing."""
        if event.action in NEW_RUNS:
            self._signals.pop(event.container_id, None)
        elif event.action == "kill":
            self._signals.setdefault(event.container_id, {})[_number(event.signal)] = at_seconds

    def note_rule(self, container_id: str, rule: StopRule) -> bool:
        """Remember how a container is stopped, which never changes. Return whether that changes if it is stopping."""
        was_stopping = self.is_stopping(container_id)
        self._rules[container_id] = rule
        return was_stopping != self.is_stopping(container_id)

    def knows_rule(self, container_id: str) -> bool:
        """Say whether it is known how a container is stopped."""
        return container_id in self._rules

    def keep(self, container_ids: Ids[str]) -> None:
        """Forget all containers but these."""
        self._signals = {key: value for key, value in self._signals.items() if key in container_ids}
        self._rules = {key: value for key, value in self._rules.items() if key in container_ids}

    def is_stopping(self, container_id: str) -> bool:
        """Say whether a container that runs was told to stop, not too long ago."""
        now = time.monotonic()
        return any(begin <= now < end for begin, end in self._times(container_id))

    def next_change(self, container_id: str) -> float | None:
        """Return when `is_stopping` may change its answer, if nothing is heard of the container until then."""
        now = time.monotonic()
        return min((at for times in self._times(container_id) for at in times if at > now), default=None)

    def _times(self, container_id: str) -> Iterator[tuple[float, float]]:
        """Yield from when until when the container counts as stopping, for each signal that may stop it."""
        rule = self._rules.get(container_id)
        for number, at_seconds in self._signals.get(container_id, {}).items():
            own = rule.seconds + STOP_GRACE_SECONDS if rule else 0.0
            end = at_seconds + max(own, LONGEST_STOP_SECONDS)
            stop_signal = _number(rule.signal) if rule else signal.SIGTERM
            if number in (stop_signal, signal.SIGKILL):
                yield at_seconds, end
            elif rule is None and number in OFTEN_STOP_SIGNALS:
                yield at_seconds + ANSWER_SECONDS, end


def _number(name: str) -> int:
    """Return the number of a signal, written as the engine does: "15", "SIGTERM", "term", "SIGRTMIN+3"; else 0."""
    if name.isdigit():
        return int(name)
    base, sign, offset = name.upper().removeprefix("SIG").partition("+" if "+" in name else "-")
    number: int = REAL_TIME_SIGNALS[base] if base in REAL_TIME_SIGNALS else getattr(signal, f"SIG{base}", 0)
    return number + int(f"{sign}{offset}" if offset.isdigit() else 0)
