"""Settings for the proxy in a place of an engine's documents where it does not look: variables of unlinked containers.

In: documents of `GET /containers/{id}/json`. Out: variables with their values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.core.containers.docker_json import parse_environment
from proxy.grammar.spelling import may_be_ours


def parse_misplaced(document: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the variables of an inspected container that look as if they were meant for the proxy."""
    variables = parse_environment((document.get("Config") or {}).get("Env") or ())
    return {name: value for name, value in variables.items() if may_be_ours(name)}
