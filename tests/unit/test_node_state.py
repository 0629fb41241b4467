"""What a proxy tells of its node: written and read back, and read from anybody."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.containers.containers import Node
from proxy.core.containers.node_state import (
    LATEST_STAMP,
    MAX_LENGTH,
    NodeState,
    SharedWeight,
    format_state,
    parse_node,
    parse_state,
)
from proxy.core.haproxy.runtime_commands import escape
from proxy.grammar.values import MAX_WEIGHT

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ADDRESSES = st.just("") | st.ip_addresses().map(str)
WEIGHTS = st.builds(SharedWeight, weight=st.none() | st.integers(0, MAX_WEIGHT), stamp=st.integers(0, LATEST_STAMP))
STATES = st.builds(
    NodeState,
    instance=TEXTS,
    node=st.builds(Node, id=TEXTS, name=TEXTS, address=ADDRESSES),
    version=TEXTS,
    weights=st.dictionaries(TEXTS, WEIGHTS, max_size=5),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["node", "id", "weights", "x"]), inner),
    max_leaves=12,
)


@given(STATES)
def test_state_that_is_read_back_is_the_same(state: NodeState) -> None:
    assert state == parse_state(format_state(state))


@given(STATES)
def test_state_is_one_line_of_ascii(state: NodeState) -> None:
    text = format_state(state)

    assert text.isascii()
    assert text.isprintable()


def test_oldest_weights_are_left_out_where_there_are_too_many() -> None:
    weights = {f"shop:service-{number}": SharedWeight(weight=1, stamp=number) for number in range(2000)}
    state = NodeState(instance="x", node=Node(id="n", name="n"), weights=weights)

    text = format_state(state)

    kept = parse_state(text).weights
    assert len(text) <= MAX_LENGTH
    assert {f"shop:service-{number}" for number in range(2000 - len(kept), 2000)} == kept.keys()
    assert len(kept) > 200


def test_state_of_many_signs_fits_into_a_command_of_haproxy() -> None:
    weights = {f"{number}" + "\"'; <\\" * 20: SharedWeight(weight=1, stamp=number) for number in range(200)}

    text = format_state(NodeState(instance="x", node=Node(id="n", name="n"), weights=weights))

    assert len(escape(text)) <= MAX_LENGTH
    assert parse_state(text).weights


@given(st.text() | ANYTHING.map(json.dumps))
def test_text_of_anybody_is_a_state_or_a_value_error(text: str) -> None:
    try:
        state = parse_state(text)
    except ValueError:
        return

    assert state == parse_state(format_state(state))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '{"node": 5}', "[" * 100_000, '{"a":' * 100_000, "9" * 5000])
def test_text_that_is_no_state(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_state(text)


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1\n  server evil 10.0.0.2",
        "10.0.0.1 check",
        "fe80::1%eth0",
        "fe80::1%a b",
        "localhost",
        "10.0.0.1:80",
        7,
        None,
    ],
    ids=repr,
)
def test_address_that_is_none_is_left_out(address: object) -> None:
    """It would stand in the configuration."""
    assert "" == parse_state(json.dumps({"instance": "x", "node": {"address": address}})).node.address


def test_text_that_is_too_long_or_has_no_characters_is_made_fit() -> None:
    node = parse_state(json.dumps({"node": {"id": "x" * 10_000, "name": "\ud800"}})).node

    assert ("x" * 255, "?") == (node.id, node.name)


@pytest.mark.parametrize(
    "pair", [None, 5, [], [1], [1, 2, 3], ["1", 2], [1, -1], [1, 1.5], [True, 1], [1, True], [1, 2**53], {"a": 1}], ids=repr
)
def test_weight_that_is_none_is_left_out(pair: object) -> None:
    document = {"node": {}, "weights": {"bad": pair, "good": [3, 4]}}

    assert {"good": SharedWeight(weight=3, stamp=4)} == parse_state(json.dumps(document)).weights


@pytest.mark.parametrize(("weight", "kept"), [(-5, 0), (10**9, MAX_WEIGHT), (None, None)])
def test_weight_stays_in_its_limits(weight: int | None, kept: int | None) -> None:
    state = parse_state(json.dumps({"node": {}, "weights": {"a": [weight, 1]}}))

    assert kept == state.weights["a"].weight


FALLBACK = Node(id="own", name="host", address="")


@pytest.mark.parametrize(
    ("document", "node"),
    [
        ({}, FALLBACK),
        ({"ID": "engine", "Name": "a"}, Node(id="engine", name="a")),
        (
            {"ID": "engine", "Name": "a", "Swarm": {"NodeID": "n1", "NodeAddr": "10.0.0.1"}},
            Node(id="n1", name="a", address="10.0.0.1"),
        ),
        ({"ID": "engine", "Swarm": {"NodeID": "", "NodeAddr": ""}}, Node(id="engine", name="host")),
        ({"Swarm": None}, FALLBACK),
    ],
    ids=["nothing", "engine", "swarm", "no swarm", "null"],
)
def test_node_is_the_swarm_s_or_the_engine_s(document: dict[str, object], node: Node) -> None:
    assert node == parse_node(document, FALLBACK)
