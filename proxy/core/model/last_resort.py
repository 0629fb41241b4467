"""What a service does without any server that is known to answer: it uses those that are expected to answer soon.

In: the specs of a service, the time. Out: the same specs, some of them marked. When the last server of a service that has
answered goes away, a new one may be listening already, or will be in a moment: only the proof is missing. HAProxy tries it,
and tries it again after a second where it refuses, so that a visitor waits instead of getting a 503. After `seconds` this
ends, because requests that wait for a server that never listens would take connections from others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from proxy.core.containers.containers import Health, State
from proxy.core.labels.specs import ContainerSpec

SECONDS = 10.0


class LastResort:
    """Remembers which services had a server that answers, and until when they use others. `now` is monotonic."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._answering: set[str] = set()
        self._until: dict[str, float] = {}

    def mark(self, label: str, specs: Sequence[ContainerSpec], now: float) -> list[ContainerSpec]:
        """Return the specs of a service; those that wait are used if no other can be, and one could until a moment ago."""
        if any(_is_usable(spec) and not spec.waiting_ports for spec in specs):
            self._answering.add(label)
            self._until.pop(label, None)
        elif label in self._answering:
            self._answering.discard(label)
            self._until[label] = now + self._seconds
        if now >= self._until.get(label, now):
            return [*specs]
        return [dataclasses.replace(spec, is_last_resort=True) if spec.waiting_ports else spec for spec in specs]

    def expire(self, now: float) -> set[str]:
        """Forget the services whose time is over, and return their labels."""
        expired = {label for label, until in self._until.items() if now >= until}
        for label in expired:
            del self._until[label]
        return expired

    def next_expiry(self) -> float | None:
        """Return the time at which `expire` next has something to do; None while there is nothing."""
        return min(self._until.values(), default=None)


def _is_usable(spec: ContainerSpec) -> bool:
    container = spec.container
    return container.state is State.RUNNING and container.health not in (Health.UNHEALTHY, Health.STARTING)
