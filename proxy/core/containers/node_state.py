"""What each proxy of a cluster tells the others of itself and of its node, as one line of JSON.

In: values, or the text that another proxy has sent. Out: the text, or `NodeState`. Another proxy may be of another version:
keys that are not known are passed over, and those that lack have defaults.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.core.containers.containers import Node
from proxy.core.containers.told_containers import check_address
from proxy.grammar.values import MAX_WEIGHT

MAX_LENGTH = 12_000
"""In characters. HAProxy sends it from one buffer of 16 KB, and learns of it through another one, with signs escaped."""
_ESCAPED = "\\ ;<'\""
_MAX_NAME = 255
LATEST_STAMP = (1 << 53) - 1
"""Every reader of JSON keeps integers up to this one as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedWeight:
    """The weight that a user has set for a service; None where he took it back. The highest `stamp` counts, everywhere."""

    weight: int | None
    stamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """`instance` is different for every start of a proxy; `node` is the machine of its engine.

    `is_manager` tells that the node is a manager of a Swarm.
    """

    instance: str
    node: Node
    version: str = ""
    is_manager: bool = False
    weights: Mapping[str, SharedWeight] = field(default_factory=dict)


def format_state(state: NodeState) -> str:
    """Return the state as one line. Weights that make it too long are left out, the oldest first."""
    weights = sorted(state.weights.items(), key=lambda item: (-item[1].stamp, item[0]))
    while True:
        text = _format(state, weights)
        if len(text) + sum(map(text.count, _ESCAPED)) <= MAX_LENGTH or not weights:
            return text
        weights = weights[: len(weights) * 3 // 4]


def _format(state: NodeState, weights: list[tuple[str, SharedWeight]]) -> str:
    node = {"id": state.node.id, "name": state.node.name, "address": state.node.address}
    shared = format_weights(dict(weights))
    role = {"manager": True} if state.is_manager else {}
    document = {"instance": state.instance, "node": node, "version": state.version, **role, "weights": shared}
    return json.dumps(document, separators=(",", ":"))


def format_weights(weights: Mapping[str, SharedWeight]) -> Mapping[str, list[int | None]]:
    """Return weights as JSON has them: by service, the weight and the stamp."""
    return {service: [one.weight, one.stamp] for service, one in sorted(weights.items())}


def parse_state(text: str) -> NodeState:
    """Return the state that another proxy has sent. Raises ValueError where it is none."""
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(document, dict) or not isinstance(document.get("node"), dict):
        raise ValueError(f"it begins {text[:40]!r}")
    node = document["node"]
    return NodeState(
        instance=_text(document.get("instance")),
        node=Node(id=_text(node.get("id")), name=_text(node.get("name")), address=_address(node.get("address"))),
        version=_text(document.get("version")),
        is_manager=document.get("manager") is True,
        weights=parse_weights(document.get("weights")),
    )


def parse_node(document: Mapping[str, Any], fallback: Node) -> Node:
    """Return the node that `GET /info` describes. Of a Swarm's node, the id and the address are those of the Swarm."""
    swarm = document.get("Swarm") or {}
    return Node(
        id=_text(swarm.get("NodeID")) or _text(document.get("ID")) or fallback.id,
        name=_text(document.get("Name")) or fallback.name,
        address=_text(swarm.get("NodeAddr")) or fallback.address,
    )


def parse_weights(value: object) -> Mapping[str, SharedWeight]:
    """Return the weights that JSON has in this form; what has another form is passed over."""
    found: dict[str, SharedWeight] = {}
    for service, pair in value.items() if isinstance(value, dict) else ():
        match pair:
            case [int() | None as weight, int() as stamp] if 0 <= stamp <= LATEST_STAMP and bool not in map(type, pair):
                kept = None if weight is None else min(max(weight, 0), MAX_WEIGHT)
                found[_text(service)] = SharedWeight(weight=kept, stamp=stamp)
    return found


def _text(value: object) -> str:
    return value[:_MAX_NAME].encode(errors="replace").decode() if isinstance(value, str) else ""


def _address(value: object) -> str:
    """Return an address that may stand in a configuration, else an empty text: it is then where the proxy itself is."""
    try:
        return check_address(_text(value))
    except ValueError:
        return ""
