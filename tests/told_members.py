"""A cluster whose members a test speaks for: the real source and real members, without threads, network and waiting.

`Peer` is another proxy with its engine; `World` has them by address, the clock, and what the DNS says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from proxy.adapters.cluster import member as member_module
from proxy.adapters.cluster.cluster_source import ClusterSource
from proxy.adapters.cluster.member import Member
from proxy.adapters.cluster.offer import NodeOffer
from proxy.adapters.cluster.own_node import OwnNode
from proxy.adapters.cluster.peer import Address, CredentialFiles, PeerContext, Told
from proxy.adapters.cluster.peer_addresses import PeerAddresses
from proxy.core.containers.containers import Container, Node, Snapshot
from proxy.core.containers.node_state import NodeState, SharedWeight
from proxy.core.trigger import Trigger
from proxy.errors import SourceError

OWN = "this proxy"
NO_FILES = CredentialFiles(certificate=Path("/nonexistent"), ca=Path("/nonexistent"))


@dataclass(slots=True)
class Peer:
    """Another proxy: its node, what its engine runs, and how far its clock is ahead."""

    node: Node
    instance: str = ""
    containers: list[Container] = field(default_factory=list)
    clock_offset: float = 0.0
    is_away: bool = False
    weights: Mapping[str, SharedWeight] = field(default_factory=dict)

    def tell(self) -> Told:
        """Answer who it is."""
        if self.is_away:
            raise SourceError("no answer")
        state = NodeState(instance=self.instance or self.node.id, node=self.node, weights=self.weights)
        return Told(state=state, clock_offset=self.clock_offset)

    def run(self) -> Snapshot:
        """Answer what its engine runs, in the engine's words: with ages by its own clock, and without a node."""
        if self.is_away:
            raise SourceError("no answer")
        return Snapshot(containers=tuple(self.containers))


def make_peer(name: str, *containers: Container, **keys: Any) -> Peer:
    """Return a proxy on the node of this name."""
    node = Node(id=f"id of {name}", name=name, address=keys.pop("address", f"10.9.0.{len(name)}"))
    return Peer(node=node, containers=[*containers], **keys)


class World:
    """Members at `peers`, in the DNS as long as they are in `known`. A second goes by with each `step`."""

    def __init__(self, patch: pytest.MonkeyPatch, **peers: Peer) -> None:
        self.now = 1000.0
        self.peers = {Address(f"10.0.0.{name[-1]}", 7376): peer for name, peer in peers.items()}
        self.known = set(self.peers)
        self.triggers: list[Trigger] = []
        self.members: dict[Address, StillMember] = {}
        self.containers: dict[str, Container] = {}
        """What the source has told by now, by id."""
        patch.setattr(member_module, "PeerClient", lambda address, _: _Client(self, address))
        patch.setattr(member_module, "make_engine", lambda address, _: address)
        patch.setattr(member_module, "DockerSource", lambda address, *_, **__: _Source(self, address))
        self.source = ClusterSource(
            cast(PeerAddresses, _Addresses(self)),
            OwnNode(_know_nothing, OWN),
            cast(NodeOffer, _NoOffer()),
            self._make,
            clock=lambda: self.now,
        )

    def at(self, number: int) -> Address:
        return Address(f"10.0.0.{number}", 7376)

    def peer(self, number: int) -> Peer:
        return self.peers[self.at(number)]

    def step(self, seconds: float = 1.0) -> Mapping[str, Container]:
        """Let time go by, and everybody say what there is to say; return all containers that are told by now."""
        self.now += seconds
        self.source.maintain(self.triggers.append)
        for member in self.members.values():
            member.look_once()
        self.source.maintain(self.triggers.append)
        return self.read()

    def read(self) -> Mapping[str, Container]:
        """Return all containers that are told by now."""
        snapshot = self.source.read_changes()
        self.containers |= {container.id: container for container in snapshot.containers}
        for container_id in snapshot.gone:
            del self.containers[container_id]
        return self.containers

    def nodes(self) -> Mapping[str, str]:
        """Return the node that each container is told to be on, by the container's name."""
        return {container.name: container.node.name if container.node else "" for container in self.containers.values()}

    def _make(self, address: Address, put: Callable[[Trigger], None]) -> Member:
        made = StillMember(address, PeerContext(NO_FILES), frozenset(), OWN.__eq__, put, clock=lambda: self.now)
        self.members[address] = made
        return made


class StillMember(Member):
    """A member without threads: it is asked when the test says so."""

    is_stopped = False

    def start(self) -> None:
        """Wait for `look_once`."""

    def stop(self) -> None:
        self.is_stopped = True

    def look_once(self) -> None:
        if not self.is_stopped:
            super().look_once()


class _Client:
    def __init__(self, world: World, address: Address) -> None:
        self._world, self._address = world, address

    def read_state(self) -> Told:
        return self._world.peers[self._address].tell()


class _Source:
    """Stands for the source of a member's engine; it is connected as long as the engine answers."""

    def __init__(self, world: World, address: Address) -> None:
        self._world, self._address = world, address

    @property
    def is_connected(self) -> bool:
        return not self._world.peers[self._address].is_away

    def read(self) -> Snapshot:
        return self._world.peers[self._address].run()

    def invalidate(self) -> None:
        """Do nothing: everything is read each time."""


class _Addresses:
    is_complete = True

    def __init__(self, world: World) -> None:
        self._world = world

    def look(self) -> set[Address]:
        return set(self._world.known)

    def problems(self) -> tuple[()]:
        return ()


class _NoOffer:
    def section(self) -> None:
        """Offer nothing."""

    def maintain(self, _now: object) -> bool:
        return False

    def publish(self, _state: object) -> None:
        """Tell nobody."""

    def problems(self) -> tuple[()]:
        return ()


def _know_nothing() -> Mapping[str, Any]:
    raise SourceError("there is no engine")
