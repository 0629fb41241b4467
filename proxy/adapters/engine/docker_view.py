"""The containers of one engine as they were last seen: listed as a whole, or inspected one by one.

In: Docker's documents, parsed by `docker_json`. Out: `Snapshot`. It belongs to the thread that reads. A method that other
threads may call says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from typing import Any, Protocol

from proxy.adapters.engine.stopping_containers import StoppingContainers
from proxy.core.containers.containers import Container, ProxyContainer, Snapshot, State
from proxy.core.containers.docker_json import (
    EngineEvent,
    has_foreign_network,
    network_owner,
    parse_container,
    parse_inspected,
    parse_links,
    parse_proxy,
)
from proxy.core.containers.link_table import LinkTable, ServiceKey, follow_links
from proxy.core.labels.labels import asks_for_route, needs_exposed_ports
from proxy.errors import SourceError


class EventStream(Protocol):
    """An open stream of Docker's event documents; `close` ends a read that blocks in another thread."""

    def __iter__(self) -> Iterator[Mapping[str, Any]]: ...
    def close(self) -> None: ...


class Engine(Protocol):
    """What this source asks of an engine. Each call raises `SourceError` when the engine cannot be asked."""

    address: str

    def list_containers(self) -> Iterable[Mapping[str, Any]]: ...
    def find_container(self, container_id: str) -> Mapping[str, Any] | None: ...
    def inspect_container(self, container: str) -> Mapping[str, Any] | None: ...
    def open_events(self, since: int | None) -> EventStream: ...


SHAPE_ERRORS = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What comes of documents that have another shape than those of an engine."""


def take_as_it_is(container: Container) -> Container:
    """Believe the engine."""
    return container


class DockerView:
    """The containers as they were last seen. A failed read leaves it as it was.

    The `named` services (ADDITIONAL_SERVICES) count as linked, as far as no label asks for their routes. `check` raises
    ValueError for a container that it does not believe.
    """

    def __init__(
        self,
        engine: Engine,
        own_container_id: str | None,
        named: frozenset[ServiceKey] = frozenset(),
        check: Callable[[Container], Container] = take_as_it_is,
    ) -> None:
        self._engine = engine
        self._check = check
        self._named = named
        self._own_container_id = own_container_id
        self._proxy: ProxyContainer | None = None
        self._links = LinkTable()
        self._is_settled = False  # whether it is known whose events matter
        self._containers: dict[str, Container] = {}
        self._borrowers: dict[str, set[str]] = {}
        # By id alone: environment and exposed ports of a container never change.
        self._inspected: dict[str, Container] = {}
        self._dead: set[str] = set()  # who has died: the list may still show them as running for a moment
        self.stopping = StoppingContainers()

    def is_of_interest(self, event: EngineEvent) -> bool:
        """Say whether a container matters though it has no label of ours. May be called from any thread."""
        own_id = self._proxy.id if self._proxy else None
        return (
            not self._is_settled
            or event.container_id == own_id
            or event.container_id in self._borrowers
            or (event.project, event.service) in self._named
            or bool(self._links.find_alias(event.container_id, event.name, (event.project, event.service)))
        )

    def is_proxy_in(self, container_ids: Iterable[str]) -> bool:
        """Say whether the proxy's own container is among them. A change of its networks or links concerns all."""
        return self._proxy is not None and self._proxy.id in set(container_ids)

    def known(self) -> Mapping[str, Container]:
        """Return the containers by id as they were last seen; `read_all` replaces this mapping, `read_one` changes it."""
        return self._containers

    def read_all(self, told_ids: Set[str]) -> None:
        """List every container, and inspect those of which the list does not say enough.

        Events that have not been read yet tell of `told_ids`: it is no surprise if the list lacks them.
        """
        self._is_settled = False
        own = self._engine.inspect_container(self._own_container_id) if self._own_container_id else None
        proxy = parse_proxy(own) if own else None
        listed = self._list(told_ids)
        links = follow_links(parse_links(own), proxy.project, listed, self._links) if own and proxy else LinkTable()
        self._dead.clear()
        self._containers = {container.id: self._mark_stopping(self._complete(container, links)) for container in listed}
        self.stopping.keep(self._containers)
        self._borrowers = {}
        for container in listed:
            self._note_owner(container)
        self._inspected = {key: value for key, value in self._inspected.items() if key in self._containers}
        self._links = links
        self._proxy = proxy
        self._is_settled = True

    def _list(self, told_ids: Set[str]) -> list[Container]:
        """List every container. If one is gone that was running, and no event told of its end, list them once more.

        An engine's list can lack a container for a moment. Its visitors would get no answer until the next full rescan.
        """
        listed = [self._parse(parse_container, entry) for entry in self._engine.list_containers()]
        running = {key for key, container in self._containers.items() if container.state is State.RUNNING}
        if running - {container.id for container in listed} - self._dead - told_ids:
            listed = [self._parse(parse_container, entry) for entry in self._engine.list_containers()]
        return listed

    def _parse(self, parse: Callable[[Mapping[str, Any]], Container], document: Mapping[str, Any]) -> Container:
        """Return the container that a document describes. Raises SourceError where it describes none."""
        try:
            return self._check(parse(document))
        except SHAPE_ERRORS as error:
            name = f"container {str(document.get('Id'))[:12]}" if isinstance(document, Mapping) else "a container"
            text = f"the engine at {self._engine.address} describes {name} in a way that is not understood: {error!r:.200}"
            raise SourceError(text) from error

    def note_event(self, event: EngineEvent, at_seconds: float) -> None:
        """Take in what an event says by itself, without a look at that container, with which the engine may be busy.

        `at_seconds` (monotonic clock) is when the event came. To take in the same events again in the same order changes
        nothing.
        """
        if event.action == "die":
            self._dead.add(event.container_id)
        elif event.action in ("start", "destroy"):
            self._dead.discard(event.container_id)
        self.stopping.note_event(event, at_seconds)

    def read_one(self, container_id: str) -> None:
        """Look at one container again; forget it when it has ended."""
        entry = None if container_id in self._dead else self._engine.find_container(container_id)
        if entry is None:
            self._forget(container_id)
            return
        container = self._parse(parse_container, entry)
        if has_foreign_network(container):
            self._inspected.pop(container_id, None)
        self._containers[container_id] = self._mark_stopping(self._complete(container, self._links))
        self._note_owner(container)
        owner = network_owner(container.network_mode)
        if owner and owner not in self._containers:  # it need not have a label of ours, and then its start was passed over
            self.read_one(owner)

    def mark_end(self, container_id: str) -> None:
        """Apply what events have said of a container's end to what `read_all` has just listed, without asking again."""
        if container_id in self._dead:
            self._forget(container_id)
        elif container := self._containers.get(container_id):
            self._containers[container_id] = self._mark_stopping(container)

    def _forget(self, container_id: str) -> None:
        self._containers.pop(container_id, None)
        self._inspected.pop(container_id, None)

    def _mark_stopping(self, container: Container) -> Container:
        is_stopping = container.state is State.RUNNING and self.stopping.is_stopping(container.id)
        return replace(container, state=State.STOPPING) if is_stopping else container

    def make_snapshot(self) -> Snapshot:
        """Return all containers but the proxy's own, those that borrow a network with the networks of its owner."""
        return Snapshot(containers=self._containers_of(self._containers), proxy=self._make_proxy())

    def make_changes(self, touched: set[str]) -> Snapshot:
        """Return only these containers, and those that borrow the network of one of them."""
        ids = self._with_borrowers(touched)
        return Snapshot(
            containers=self._containers_of(ids & self._containers.keys()),
            gone=tuple(sorted(ids - self._containers.keys())),
            proxy=self._make_proxy(),
            is_complete=False,
        )

    def _with_borrowers(self, ids: set[str]) -> set[str]:
        """Return these containers, and those that use the network of one of them, directly or through others."""
        found, waiting = set(ids), list(ids)
        while waiting:
            new = self._borrowers.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        return found

    def _containers_of(self, ids: Iterable[str]) -> tuple[Container, ...]:
        own_id = self._proxy.id if self._proxy else None
        return tuple(self._with_networks(self._containers[key]) for key in sorted(ids) if key != own_id)

    def _make_proxy(self) -> ProxyContainer | None:
        proxy = self._proxy
        if proxy and (owner := self._owner_of(proxy.network_mode)):
            return replace(proxy, networks=owner.networks, network_mode=owner.network_mode)
        return proxy

    def _complete(self, container: Container, links: LinkTable) -> Container:
        """Add what only an inspection tells: the environment of a linked container, ports that are not in the list."""
        alias = links.alias_of(container)
        if not alias and (container.project, container.service) in self._named and not asks_for_route(container):
            alias = container.service
        lacks_ports = not container.ports and (has_foreign_network(container) or needs_exposed_ports(container))
        if not alias and not lacks_ports:
            return replace(container, environment={}) if container.environment else container
        if container.id not in self._inspected:
            document = self._engine.inspect_container(container.id)
            if document is None:  # it has ended since it was listed; the event that tells of it is on the way
                return container
            self._inspected[container.id] = self._parse(parse_inspected, document)
        inspected = self._inspected[container.id]
        ports = inspected.ports if lacks_ports else container.ports
        return replace(container, alias=alias, ports=ports, environment=inspected.environment if alias else {})

    def _with_networks(self, container: Container) -> Container:
        owner = self._owner_of(container.network_mode)
        return replace(container, networks=owner.networks, network_mode=owner.network_mode) if owner else container

    def _note_owner(self, container: Container) -> None:
        if owner := network_owner(container.network_mode):
            self._borrowers.setdefault(owner, set()).add(container.id)

    def _owner_of(self, network_mode: str) -> Container | None:
        """Return the container whose network is used in the end, since an owner may itself use the network of another."""
        owners: list[Container] = []
        while key := network_owner(network_mode):
            # The engine writes the id, even where the user gave a name.
            owner = self._containers.get(key) or next(
                (container for container in self._containers.values() if container.name == key), None
            )
            if owner is None or owner in owners:
                break
            owners.append(owner)
            network_mode = owner.network_mode
        return owners[-1] if owners else None
