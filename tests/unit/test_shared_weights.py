"""Weights that users set on any node reach all nodes, in whatever order the nodes hear of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.adapters.cluster.shared_weights import SharedWeights
from proxy.adapters.files.weight_file import read_weights, write_weights
from proxy.core.containers.node_state import SharedWeight
from proxy.errors import StateError

_folders = itertools.count()


class Node:
    """A node's file of weights, and what its proxy has heard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.start()

    def start(self) -> None:
        """Start a proxy that knows what is on disk."""
        self.weights = SharedWeights(self.folder / "weights.json", self.folder / "cluster" / "weights.json")

    def set(self, **wanted: int | None) -> None:
        """Do what `proxy weight` does; None is `default`."""
        kept = {**read_weights(self.folder / "weights.json"), **wanted}
        write_weights(self.folder / "weights.json", {key: weight for key, weight in kept.items() if weight is not None})

    def hear(self, other: Node) -> bool:
        """Ask another node; return whether anything has changed here."""
        return self.weights.merge(other.weights.look())

    def in_force(self) -> Mapping[str, int]:
        return read_weights(self.folder / "weights.json")


@pytest.fixture
def nodes(tmp_path: Path) -> list[Node]:
    return [Node(tmp_path / name) for name in ("first", "second", "third")]


def test_weight_reaches_a_node_that_hears_of_it_from_a_third_one(nodes: list[Node]) -> None:
    first, second, third = nodes
    first.set(web=40)

    assert second.hear(first)
    assert third.hear(second)

    assert {"web": 40} == third.in_force()
    assert not third.hear(first), "it is no news any more"


def test_later_change_counts_wherever_it_is_made(nodes: list[Node]) -> None:
    first, second, _ = nodes
    first.set(web=40)
    second.hear(first)
    second.set(web=10)
    assert not second.hear(first)
    first.hear(second)

    assert {"web": 10} == first.in_force() == second.in_force()


def test_weight_that_was_taken_back_does_not_come_back(nodes: list[Node]) -> None:
    """Not from a node that has not heard of it, and not after a restart."""
    first, second, third = nodes
    first.set(web=40)
    second.hear(first)
    third.hear(first)
    first.set(web=None)
    second.hear(first)
    second.start()

    assert not second.hear(third)
    assert third.hear(second)
    assert {} == first.in_force() == second.in_force() == third.in_force()


@pytest.mark.parametrize(("one", "other", "expected"), [(40, 10, 40), (0, 10, 10), (None, 10, 10)])
def test_changes_at_the_same_time_come_to_the_same_on_both(
    nodes: list[Node], one: int | None, other: int, expected: int
) -> None:
    first, second, _ = nodes
    first.set(web=90)
    second.hear(first)
    first.set(web=one)
    second.set(web=other)
    first.weights.look(), second.weights.look()

    first.hear(second)
    second.hear(first)

    assert {"web": expected} == first.in_force() == second.in_force()


def test_weights_that_were_set_before_the_proxy_started_are_shared(nodes: list[Node]) -> None:
    first, second, _ = nodes
    first.set(web=40)
    first.start()

    assert second.hear(first)
    assert {"web": 40} == second.in_force()


def test_what_cannot_be_written_is_taken_in_later(nodes: list[Node], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = nodes
    first.set(web=40)

    def fail(path: Path, _weights: Mapping[str, int]) -> None:
        raise StateError(f"{path} cannot be written: disk full")

    with monkeypatch.context() as patch:
        patch.setattr("proxy.adapters.cluster.shared_weights.write_weights", fail)
        assert not second.hear(first)

    assert second.hear(first)
    assert {"web": 40} == second.in_force()


@pytest.mark.parametrize("text", ["{", "[]", '{"web": "much"}'])
def test_file_that_cannot_be_read_changes_nothing_elsewhere(nodes: list[Node], text: str) -> None:
    """A user's typing error is not the end of all weights."""
    first, second, _ = nodes
    first.set(web=40)
    second.hear(first)
    (first.folder / "weights.json").write_text(text)

    assert not second.hear(first)
    assert {"web": 40} == second.in_force()


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"web": [1]}), json.dumps({"web": [40, -1]})])
def test_record_that_is_damaged_is_made_anew(nodes: list[Node], text: str) -> None:
    first, second, _ = nodes
    first.set(web=40)
    first.weights.look()
    (first.folder / "cluster" / "weights.json").write_text(text)
    first.start()

    assert second.hear(first)
    assert {"web": 40} == second.in_force()


Step = tuple[str, int, int | str, int | None]
node_numbers = st.integers(0, 2)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), node_numbers, st.sampled_from(["web", "api"]), st.sampled_from([None, 0, 10, 40])),
        st.tuples(st.just("hear"), node_numbers, node_numbers, st.none()),
        st.tuples(st.just("restart"), node_numbers, st.just(""), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, order=st.permutations([(one, other) for one in range(3) for other in range(3) if one != other]))
def test_any_order_of_gossip_leads_all_nodes_to_the_same_weights(
    tmp_path: Path, steps: list[Step], order: list[tuple[int, int]]
) -> None:
    nodes = [Node(tmp_path / f"{next(_folders)}") for _ in range(3)]
    for action, number, what, weight in steps:
        if action == "set":
            nodes[number].set(**{str(what): weight})
        elif action == "hear":
            nodes[number].hear(nodes[int(what)])
        else:
            nodes[number].start()

    for one, other in [*order, *order]:  # twice: whatever one hears first, it can pass on
        nodes[one].hear(nodes[other])

    first, second, third = (node.in_force() for node in nodes)
    assert first == second == third
    assert not any(nodes[one].hear(nodes[other]) for one, other in order), "then nothing moves any more"


@given(known=st.tuples(st.sampled_from([None, 0, 10]), st.integers(0, 3)), told=st.tuples(st.none(), st.integers(0, 3)))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_a_higher_stamp_takes_a_weight_back(
    tmp_path: Path, known: tuple[int | None, int], told: tuple[None, int]
) -> None:
    node = Node(tmp_path / f"{next(_folders)}")
    node.weights.merge({"web": SharedWeight(weight=known[0], stamp=known[1])})
    node.weights.merge({"web": SharedWeight(weight=None, stamp=told[1])})

    assert (known[0] is None or told[1] > known[1]) == ("web" not in node.in_force())
