"""Which servers may get traffic at once, and which must first accept a connection.

A server gets traffic only when it can answer, so a new one waits for its first accepted connection. Containers that already
ran when the proxy started are trusted without a test, so that a cold start serves at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from proxy.core.containers.containers import Container, Health, State
from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.model import STARTING, UNHEALTHY, WAITING, Server, ServerState
from proxy.core.model.spec_index import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server that must accept a connection first. `name` is the name of its container, `container_port` the port in it."""

    source: str
    container_id: str
    name: str
    address: str
    port: int
    container_port: int


class Readiness:
    """Remembers which ports of which containers have answered since the container started."""

    def __init__(self) -> None:
        self._ready: dict[str, tuple[int, ...]] = {}
        self._takes_word = True

    def end_start(self) -> None:
        """End the start phase: containers that come from now on are new, and are not trusted without a test."""
        self._takes_word = False

    def mark(self, spec: ContainerSpec) -> ContainerSpec:
        """Return the spec with those of its ports that have not answered yet. Forgets a container that does not run."""
        container = spec.container
        ports = ports_of(spec)
        if container.state is State.STOPPED:
            self._ready.pop(container.id, None)
            return spec
        if self._takes_word:
            self._note(container.id, ports)
        waiting = ports.difference(self._ready.get(container.id, ()))
        return dataclasses.replace(spec, waiting_ports=frozenset(waiting)) if waiting else spec

    def accept(self, answers: Iterable[Target]) -> set[Key]:
        """Note which targets have answered, and return the keys of their containers."""
        keys: set[Key] = set()
        for target in answers:
            self._note(target.container_id, {target.container_port})
            keys.add((target.source, target.container_id))
        return keys

    def forget(self, container_id: str) -> None:
        """Forget a container that has gone. If it comes back, it has started again."""
        self._ready.pop(container_id, None)

    def _note(self, container_id: str, ports: set[int]) -> None:
        self._ready[container_id] = tuple(ports.union(self._ready.get(container_id, ())))


def targets_of(servers: Iterable[Server]) -> frozenset[Target]:
    """Return a target for each of `servers` that must accept a connection first."""
    return frozenset(
        Target(
            source=server.source,
            container_id=server.container_id,
            name=server.container,
            address=server.address,
            port=server.port,
            container_port=server.container_port,
        )
        for server in servers
        if server.reason == WAITING
    )


def ports_of(spec: ContainerSpec) -> set[int]:
    """Return every port of a container that becomes a server."""
    return {*spec.ports, *(port.number for port in spec.tcp_ports)}


def server_state(container: Container, *, is_waited_for: bool, is_last_resort: bool = False) -> tuple[ServerState, str]:
    """Return the state of a container's servers, and the reason why they should not get traffic (else an empty text)."""
    if container.state is State.STOPPING:
        # Not `drain`: it would still send visitors whose cookie names the server, which may have closed its port by now.
        return ServerState.MAINT, "is stopping"
    if container.state is not State.RUNNING:
        return ServerState.MAINT, f"is {container.state}"
    if container.health is Health.UNHEALTHY:
        return ServerState.MAINT, UNHEALTHY
    if container.health is Health.STARTING:
        return ServerState.MAINT, STARTING
    if is_waited_for:
        return (ServerState.READY if is_last_resort else ServerState.MAINT), WAITING
    return ServerState.READY, ""


def is_ready(spec: ContainerSpec) -> bool:
    """Say whether at least one server of the container is known to answer."""
    states = (server_state(spec.container, is_waited_for=port in spec.waiting_ports)[0] for port in ports_of(spec))
    return ServerState.READY in states


def as_if_ready(spec: ContainerSpec) -> ContainerSpec:
    """Return the spec as it will be when its container, unless it has stopped, gets traffic."""
    if spec.container.state is State.STOPPED:
        return spec
    container = dataclasses.replace(spec.container, state=State.RUNNING, health=Health.NONE)
    return dataclasses.replace(spec, container=container, waiting_ports=frozenset())
