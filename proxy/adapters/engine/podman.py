"""Asks a Podman for what Docker says in its list. Documents go in and out as they come; `podman_json` reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import docker
from docker.errors import APIError, NotFound

from proxy.core.containers.podman_json import LISTED_STATES, add_ports, has_labels_of_ours, image_with_ports, is_listed


def list_containers(client: docker.APIClient) -> Iterator[Mapping[str, Any]]:
    """Yield a document for each container that runs or is paused: of those with a label of ours, the inspection."""
    for entry in client.containers(filters={"status": [*LISTED_STATES]}):
        document = find_container(client, entry["Id"]) if has_labels_of_ours(entry) else cast(Mapping[str, Any], entry)
        if document is not None:
            yield document


def find_container(client: docker.APIClient, container_id: str) -> Mapping[str, Any] | None:
    """Return the inspection of a container that runs or is paused; else None."""
    try:
        document = cast(Mapping[str, Any], client.inspect_container(container_id))
    except APIError as error:
        # Of a container that is being removed, Podman says so with status 500 [seen: 4.3].
        if isinstance(error, NotFound) or "no such container" in str(error.explanation):
            return None
        raise
    if not is_listed(document):
        return None
    image = image_with_ports(document)
    return add_ports(document, _inspect_image(client, image)) if image else document


def _inspect_image(client: docker.APIClient, image: str) -> Mapping[str, Any]:
    try:
        return cast(Mapping[str, Any], client.inspect_image(image))  # type: ignore[no-untyped-call]
    except APIError:  # the image was removed, or a proxy in front of the engine refuses to show it
        return {}
