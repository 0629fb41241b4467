"""What differs in Podman's documents (https://docs.podman.io/en/latest/_static/api.html, "compat"), beside `docker_json`.

In: what Podman answers. Out: documents as Docker would write them. Podman's list leaves out the ports that are not
published, the health and the network mode. Its inspection leaves out the exposed ports of a container that uses the network
of the host or of another container [tried: 4.3].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.core.containers.docker_json import has_foreign_network, parse_inspected
from proxy.grammar.spelling import may_be_ours

LISTED_STATES = ("running", "paused")
"""What Docker lists by default. Podman leaves out paused containers unless they are asked for, and refuses other words."""


def is_podman(headers: Mapping[str, str]) -> bool:
    """Say whether an answer with these headers is Podman's."""
    return "Libpod-Api-Version" in headers or headers.get("Server", "").startswith("Libpod/")


def has_labels_of_ours(entry: Mapping[str, Any]) -> bool:
    """Say whether the container of an entry of the list has a label that routes are made of."""
    return any(map(may_be_ours, entry.get("Labels") or ()))


def is_listed(document: Mapping[str, Any]) -> bool:
    """Say whether Docker would list the inspected container."""
    return (document.get("State") or {}).get("Status") in LISTED_STATES


def image_with_ports(document: Mapping[str, Any]) -> str:
    """Return the image whose ports the inspection leaves out; nothing where it has all that there are."""
    is_left_out = has_foreign_network(parse_inspected(document)) and not (document.get("Config") or {}).get("ExposedPorts")
    return str(document.get("Image") or "") if is_left_out else ""


def add_ports(document: Mapping[str, Any], image: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the inspection with the ports that the inspected image exposes."""
    exposed = (image.get("Config") or {}).get("ExposedPorts")
    return {**document, "Config": {**(document.get("Config") or {}), "ExposedPorts": exposed}}
