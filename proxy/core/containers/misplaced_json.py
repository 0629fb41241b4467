"""Settings for the proxy in places of an engine's documents where it does not look: variables, labels of Swarm services.

In: documents of `GET /containers/{id}/json` and `GET /services/{id}`. Out: names, and variables with their values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.core.containers.docker_json import parse_environment
from proxy.grammar.spelling import may_be_ours

SWARM_SERVICE_ID = "com.docker.swarm.service.id"


def parse_misplaced(document: Mapping[str, Any]) -> tuple[Mapping[str, str], str]:
    """Return the variables of an inspected container that look as if they were meant for the proxy, and the id of its
    Swarm service, or an empty text."""
    config = document.get("Config") or {}
    variables = parse_environment(config.get("Env") or ())
    labels = config.get("Labels") or {}
    return {name: value for name, value in variables.items() if may_be_ours(name)}, labels.get(SWARM_SERVICE_ID, "")


def parse_service_labels(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels of ours that a Swarm service (`GET /services/{id}`) has itself, which its containers do not get."""
    return tuple(sorted(filter(may_be_ours, (document.get("Spec") or {}).get("Labels") or {})))
