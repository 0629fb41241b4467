"""What the managers of a Docker Swarm tell: services with labels of their own, nodes, and events about both.

In: documents of `GET /services`, `/nodes`, `/info` and `/events`. Out: values. A service's own labels stand under
`deploy: labels:` in a stack file; its containers do not get them. Every key may be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from proxy.core.containers.containers import Container
from proxy.grammar.spelling import is_kept

SERVICE_ID = "com.docker.swarm.service.id"
"""The label that every container of a Swarm service gets."""

Labels = Mapping[str, str]


class SwarmKind(StrEnum):
    """What a manager's event is about, in the engine's words."""

    SERVICE = "service"
    NODE = "node"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmEvent:
    """One event about a service or a node, which only managers tell."""

    kind: SwarmKind
    id: str


def parse_swarm_event(document: Mapping[str, Any]) -> SwarmEvent | None:
    """Return the event that one document of `GET /events` describes; None if it is not about a service or a node."""
    kind, id_of_actor = document.get("Type"), _mapping(document.get("Actor")).get("ID")
    if kind not in set(SwarmKind) or not isinstance(id_of_actor, str) or not id_of_actor:
        return None
    return SwarmEvent(kind=SwarmKind(kind), id=id_of_actor)


def parse_services(documents: Iterable[Mapping[str, Any]]) -> Mapping[str, Labels]:
    """Return the labels of ours that services have themselves, by the id of every service."""
    return {
        document["ID"]: _labels_of_ours(_mapping(document.get("Spec")).get("Labels"))
        for document in documents
        if isinstance(document.get("ID"), str)
    }


def parse_down_nodes(documents: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the ids of the nodes that the managers call down."""
    return frozenset(
        document["ID"]
        for document in documents
        if _mapping(document.get("Status")).get("State") == "down" and isinstance(document.get("ID"), str)
    )


def is_manager(info: Mapping[str, Any]) -> bool:
    """Say whether the node that `GET /info` describes is a manager."""
    return bool(_mapping(info.get("Swarm")).get("ControlAvailable"))


def add_service_labels(container: Container, labels: Labels) -> Container:
    """Return the container with the labels of its service. The container's own labels override them."""
    if labels.keys() <= container.labels.keys():
        return container
    return replace(container, labels={**labels, **container.labels})


def _labels_of_ours(value: object) -> Labels:
    return {key: str(text) for key, text in _mapping(value).items() if is_kept(key)}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
