"""Labels of Swarm services (`deploy: labels:`), laid over the containers of the service, as if these had them.

In: containers with the id of their Swarm service, and what managers say of services. Out: containers with the labels of
both; a container's own label overrides the service's. The containers of a service that was removed keep its labels until
they are gone: they are being stopped. A change touches only the containers of its service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from proxy.adapters.engine.swarm_managers import SwarmManagers
from proxy.core.containers.containers import Container, ProxyContainer
from proxy.core.containers.swarm_json import Labels, add_service_labels
from proxy.core.model.spec_index import Key
from proxy.errors import THE_PROXY, Problem, SourceError

_UNKNOWN = (
    "labels under `deploy: labels:` of Swarm services have no effect, because no manager of the Swarm tells them; put the "
    "labels under the `labels:` of the service itself, or run a proxy on a manager, too (PROXY_CLUSTER)"
)


class ServiceLabels:
    """An overlay. While `is_patient`, it lets nothing pass at a start before the managers' first answer."""

    def __init__(self, managers: SwarmManagers, is_patient: Callable[[], bool] = lambda: False) -> None:
        self._managers = managers
        self._is_patient = is_patient
        self._labels: dict[str, Labels] = {}
        self._removed: set[str] = set()
        self._asked: set[str] = set()
        self._keys: dict[str, set[Key]] = {}
        self._services: dict[Key, str] = {}
        self._without_labels: set[Key] = set()
        self._touched: set[Key] = set()

    def changed(self) -> set[Key]:
        """Return the containers whose services have other labels than before."""
        self._take_news()
        touched, self._touched = self._touched, set()
        return touched

    def lay_over(
        self, containers: Mapping[Key, Container | None], proxy: ProxyContainer | None, new_sources: frozenset[str]
    ) -> Mapping[Key, Container | None]:
        """Return the containers with the labels of their services.

        Raises SourceError where the first answer of the managers is worth waiting for.
        """
        del proxy, new_sources
        tasks = {key: container for key, container in containers.items() if container and container.swarm_service}
        self._ask_for({container.swarm_service for container in tasks.values()})
        if tasks and not self._managers.is_settled and self._is_patient():
            raise SourceError("the managers of the Swarm have not told the labels of services yet")
        for key in containers.keys() & self._services.keys() - tasks.keys():
            self._forget(key)
        return {**containers, **{key: self._lay_over_one(key, container) for key, container in tasks.items()}}

    def notes(self) -> Sequence[Problem]:
        """Return that services' own labels are not known, where that may matter to somebody."""
        may_matter = self._without_labels and self._managers.is_silent
        return [Problem(service=THE_PROXY, reason=_UNKNOWN, is_note=True)] if may_matter else []

    def _ask_for(self, service_ids: set[str]) -> None:
        unknown = service_ids - self._labels.keys() - self._asked
        if unknown:
            self._asked |= unknown
            self._managers.want(sorted(unknown))
            self._take_news()

    def _take_news(self) -> None:
        for service_id, labels in self._managers.take_news().items():
            if labels is None:
                self._remove(service_id)
            elif self._labels.get(service_id, {}) != labels:
                self._touched |= self._keys.get(service_id, set())
            if labels is not None:
                self._labels[service_id] = labels
                self._asked.discard(service_id)
                self._removed.discard(service_id)

    def _remove(self, service_id: str) -> None:
        if self._keys.get(service_id):
            self._removed.add(service_id)
        else:
            self._labels.pop(service_id, None)
            self._asked.discard(service_id)

    def _lay_over_one(self, key: Key, container: Container) -> Container:
        service_id = container.swarm_service
        self._services[key] = service_id
        self._keys.setdefault(service_id, set()).add(key)
        if container.labels:
            self._without_labels.discard(key)
        else:
            self._without_labels.add(key)
        return add_service_labels(container, self._labels.get(service_id, {}))

    def _forget(self, key: Key) -> None:
        service_id = self._services.pop(key)
        self._without_labels.discard(key)
        self._keys[service_id].discard(key)
        if not self._keys[service_id]:
            del self._keys[service_id]
            self._asked.discard(service_id)
            if service_id in self._removed:
                self._removed.discard(service_id)
                self._labels.pop(service_id, None)
