"""Who this node is, and whether another one says that it is the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.adapters.cluster.member import Member
from proxy.adapters.cluster.own_node import OwnNode
from proxy.adapters.cluster.peer import Address, CredentialFiles, PeerContext, Told
from proxy.core.containers.containers import Node
from proxy.core.containers.node_state import NodeState
from proxy.errors import SourceError


def make_member(node_id: str, name: str) -> Member:
    files = CredentialFiles(certificate=Path("none"), ca=Path("none"))
    member = Member(Address("192.0.2.1", 1), PeerContext(files), frozenset(), lambda _: False, lambda _: None)
    member.told = Told(state=NodeState(instance=name, node=Node(id=node_id, name=name)), clock_offset=0.0)
    return member


def own_node(**info: Any) -> OwnNode:
    node = OwnNode(lambda: info, "")
    node.learn()
    return node


def test_engine_says_who_the_node_is() -> None:
    assert Node(id="n1", name="a") == own_node(ID="n1", Name="a").state().node


def test_engine_that_does_not_say_leaves_another_id_to_each_start() -> None:
    def refuse() -> Mapping[str, Any]:
        raise SourceError("403")

    first, second = OwnNode(refuse, ""), OwnNode(refuse, "")
    first.learn()

    assert first.state().node.id != second.state().node.id
    assert first.state().node.name == second.state().node.name


@pytest.mark.parametrize(
    ("others", "names"),
    [
        ([("n2", "b"), ("n3", "c")], []),
        ([("n1", "a")], []),
        ([("n1", "b")], ["a and b"]),
        ([("n2", "b"), ("n2", "c")], ["b and c"]),
    ],
    ids=["different", "the same node", "a copy of this one", "copies of another one"],
)
def test_nodes_with_one_id_are_a_problem(others: list[tuple[str, str]], names: list[str]) -> None:
    problems = [*own_node(ID="n1", Name="a").problems(make_member(*other) for other in others)]

    assert names == [problem.reason.split("the nodes ")[1].split(" have the same id")[0] for problem in problems]
