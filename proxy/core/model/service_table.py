"""Services, kept up to date as containers come and go. The cost follows the size of the change.

In: the specs of the service labels that changed. Out: the services that are gone and those that are new. Only services that
share something with the changed ones (in custom routing: equal virtual hosts) are grouped again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.services import Service

Specs = tuple[ContainerSpec, ...]


class ServiceTable:
    """`group` makes services from specs. `join_keys` returns what a label's specs may share with another label's."""

    def __init__(
        self,
        group: Callable[[Iterable[ContainerSpec]], tuple[Service, ...]],
        join_keys: Callable[[Sequence[ContainerSpec]], frozenset[Hashable]],
    ) -> None:
        self._group = group
        self._join_keys = join_keys
        self._specs: dict[str, Specs] = {}
        # Tuples, because a set or a dict for each of ten thousand labels takes megabytes.
        self._keys: dict[str, tuple[Hashable, ...]] = {}
        self._labels: dict[Hashable, tuple[str, ...]] = {}
        self._services: dict[str, tuple[Service, ...]] = {}

    def specs_of(self, label: str) -> Specs:
        """Return the specs of one label; an empty tuple if it has none."""
        return self._specs.get(label, ())

    def specs(self) -> tuple[ContainerSpec, ...]:
        """Return all specs in the table."""
        return tuple(spec for label in sorted(self._specs) for spec in self._specs[label])

    def services(self) -> tuple[Service, ...]:
        """Return all services, sorted by name."""
        every = {service.name: service for services in self._services.values() for service in services}
        return tuple(every[name] for name in sorted(every))

    def apply(self, changes: Mapping[str, Specs]) -> tuple[list[Service], list[Service]]:
        """Set the specs of each label (an empty tuple removes it). Return the services that went, and the new ones."""
        component = self._reach(changes)
        for label, specs in changes.items():
            self._set(label, specs)
        component |= self._reach(component)
        removed: dict[str, Service] = {}
        for label in component:
            removed |= {service.name: service for service in self._services.pop(label, ())}
        added = self._group(spec for label in sorted(component) for spec in self._specs.get(label, ()))
        for service in added:
            for label in service.labels:
                self._services[label] = (*self._services.get(label, ()), service)
        unchanged = {service.name for service in added if removed.get(service.name) == service}
        return (
            [service for name, service in removed.items() if name not in unchanged],
            [service for service in added if service.name not in unchanged],
        )

    def _set(self, label: str, specs: Specs) -> None:
        for key in self._keys.pop(label, ()):
            others = tuple(other for other in self._labels.pop(key) if other != label)
            if others:
                self._labels[key] = others
        self._specs.pop(label, None)
        if specs:
            self._specs[label] = specs
            self._keys[label] = tuple(self._join_keys(specs))
            for key in self._keys[label]:
                self._labels[key] = (*self._labels.get(key, ()), label)

    def _reach(self, labels: Iterable[str]) -> set[str]:
        """Return `labels` and all labels that they share a key with, directly or through others."""
        reached = set(labels)
        waiting = list(reached)
        while waiting:
            for key in self._keys.get(waiting.pop(), ()):
                new = [label for label in self._labels[key] if label not in reached]
                reached.update(new)
                waiting += new
        return reached


def label_specs(specs: Iterable[ContainerSpec]) -> dict[str, Specs]:
    """Group specs by the label of their service, in the form that `ServiceTable.apply` takes."""
    groups: dict[str, list[ContainerSpec]] = {}
    for spec in specs:
        groups.setdefault(spec.label, []).append(spec)
    return {label: tuple(group) for label, group in groups.items()}
