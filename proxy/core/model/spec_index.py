"""What every container asks for, by service label. The cost of an update follows the size of the change.

In: containers that changed, and those that are gone. Out: the labels of the services that this affects. A service whose
last container has gone keeps its route for `keep_seconds`. A visitor of a service that is being recreated then gets a 503
and not another service's page. Times are in seconds of one monotonic clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from proxy.core.containers.containers import Container, State
from proxy.core.labels.specs import ContainerSpec
from proxy.errors import Problem

Key = tuple[str, str]
"""(source, id): the identity of a container."""

Parsed = tuple[tuple[ContainerSpec, ...], tuple[Problem, ...]]


class SpecIndex:
    """The specs of all containers. `parse` is the label grammar; a route outlives its containers by `keep_seconds`."""

    def __init__(self, parse: Callable[[Container], Parsed], *, keep_seconds: float) -> None:
        self._parse = parse
        self._keep_seconds = keep_seconds
        self._parsed: dict[Key, tuple[ContainerSpec, ...]] = {}
        self._problems: dict[Key, tuple[Container, tuple[Problem, ...]]] = {}
        self._by_label: dict[str, dict[Key, ContainerSpec]] = {}
        self._kept: dict[str, tuple[ContainerSpec, float]] = {}

    def update(self, changed: Mapping[Key, Container | None], now: float) -> set[str]:
        """Set changed containers (None removes one) and return the labels that this affects."""
        touched: set[str] = set()
        last: dict[str, ContainerSpec] = {}
        for key, container in changed.items():
            self._problems.pop(key, None)
            for spec in self._parsed.pop(key, ()):
                last[spec.label] = self._by_label[spec.label].pop(key)
                touched.add(spec.label)
            if container is None:
                continue
            self._parsed[key], problems = self._parse(container)
            if problems:
                self._problems[key] = container, problems
            for spec in self._parsed[key]:
                self._by_label.setdefault(spec.label, {})[key] = spec
                touched.add(spec.label)
        for label in touched:
            self._keep_or_forget(label, last.get(label), now)
        return touched

    def expire(self, now: float) -> set[str]:
        """Forget the routes whose `keep_seconds` are over, and return their labels."""
        expired = {label for label, (_, until) in self._kept.items() if now >= until}
        for label in expired:
            del self._kept[label]
        return expired

    def next_expiry(self) -> float | None:
        """Return the time at which `expire` next has something to do; None while nothing is kept."""
        return min((until for _, until in self._kept.values()), default=None)

    def specs(self, label: str) -> tuple[ContainerSpec, ...]:
        """Return the specs of a service, sorted by their keys. A kept route is the spec of a stopped container."""
        if label in self._kept:
            return (self._kept[label][0],)
        specs = self._by_label.get(label, {})
        return tuple(specs[key] for key in sorted(specs))

    def labels_of(self, keys: Iterable[Key]) -> set[str]:
        """Return the labels of the services that these containers belong to."""
        return {spec.label for key in keys for spec in self._parsed.get(key, ())}

    def labels(self) -> Iterable[str]:
        """Return the labels of all services."""
        return {*self._by_label, *self._kept}

    def problems(self) -> Sequence[tuple[Container, tuple[Problem, ...]]]:
        """Return the containers with problems, and notes, of their labels."""
        return [*self._problems.values()]

    def _keep_or_forget(self, label: str, last: ContainerSpec | None, now: float) -> None:
        if self._by_label.get(label):
            self._kept.pop(label, None)
            return
        self._by_label.pop(label, None)
        if last and last.virtual_hosts and self._keep_seconds > 0:
            container = dataclasses.replace(last.container, state=State.STOPPED)
            self._kept[label] = dataclasses.replace(last, container=container), now + self._keep_seconds
