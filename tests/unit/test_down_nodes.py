"""Containers of a node that cannot be reached and that a manager of its Swarm calls down are forgotten at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.adapters.cluster.cluster_source import ClusterSource
from proxy.adapters.cluster.member import Member
from proxy.adapters.cluster.peer import Address, CredentialFiles, PeerContext, Told
from proxy.core.containers.containers import Container, Node, Snapshot
from proxy.core.containers.node_state import NodeState
from tests.builders import make_container
from tests.eventually import eventually

FILES = CredentialFiles(certificate=Path("/nonexistent/node.pem"), ca=Path("/nonexistent/ca.pem"))
PLACE = Address("10.0.0.2", 7376)


class ToldMember(Member):
    """A member that a test speaks for."""

    def start(self) -> None:
        """Ask nobody."""

    def note_connection(self) -> None:
        """Do nothing: there is no connection."""

    def tell(self, *containers: Container) -> None:
        """Answer that these containers run."""
        node = Node(id="n2", name="second")
        self.told = Told(state=NodeState(instance="i2", node=node, is_manager=True), clock_offset=0.0)
        self._take_in(Snapshot(containers=containers))
        self._note_found()

    def lose(self) -> None:
        """Answer nothing any more."""
        self._note_lost("the proxy at 10.0.0.2 does not answer")


class Cluster:
    """The source, with one member that is always in the DNS."""

    def __init__(self) -> None:
        self.down: frozenset[str] = frozenset()
        self.member = ToldMember(PLACE, PeerContext(FILES), frozenset(), lambda instance: False, lambda trigger: None)
        own: Any = SimpleNamespace(instance="i1", learn=lambda: None, state=lambda: None, problems=lambda members: [])
        addresses: Any = SimpleNamespace(look=lambda: {PLACE}, is_complete=True, problems=list, stop=lambda: None)
        offer: Any = SimpleNamespace(
            section=lambda: None, maintain=lambda now: False, publish=lambda state: None, problems=list
        )
        self.source = ClusterSource(addresses, own, offer, lambda address, put: self.member, down_nodes=lambda: self.down)

    def read(self) -> tuple[set[str], set[str]]:
        """Return the names of containers that have come, and the ids of those that have gone."""
        snapshot = self.source.read_changes()
        return {container.name for container in snapshot.containers}, set(snapshot.gone)

    def problems(self) -> str:
        return " ".join(str(problem) for problem in self.source.read_changes().problems)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    cluster.member.tell(make_container("web-1"))
    triggers: list[Any] = []
    thread = threading.Thread(target=cluster.source.watch, args=(triggers.append,))
    thread.start()
    eventually(lambda: cluster.source.managers() and cluster.read() == ({"web-1"}, set()))
    yield cluster
    cluster.source.stop()
    thread.join()


WEB = make_container("web-1").id


def test_containers_of_a_node_that_is_down_and_lost_are_gone_until_it_answers_again(cluster: Cluster) -> None:
    cluster.member.lose()
    assert (set(), set()) == cluster.read()
    cluster.down = frozenset({"n2"})

    assert (set(), {WEB}) == cluster.read()
    eventually(lambda: "a manager says that the node is down" in cluster.problems())
    cluster.member.tell(make_container("web-1"))

    assert ({"web-1"}, set()) == cluster.read()


def test_node_that_answers_is_believed_whatever_a_manager_says(cluster: Cluster) -> None:
    cluster.down = frozenset({"n2"})

    assert (set(), set()) == cluster.read()


def test_node_that_a_manager_does_not_call_down_keeps_its_containers(cluster: Cluster) -> None:
    cluster.member.lose()
    cluster.down = frozenset({"n3"})

    assert (set(), set()) == cluster.read()


def test_managers_are_members_that_can_be_asked(cluster: Cluster) -> None:
    assert [cluster.member.engine] == cluster.source.managers()

    cluster.member.lose()

    assert [] == cluster.source.managers()
