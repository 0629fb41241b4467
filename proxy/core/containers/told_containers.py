"""Checks what another proxy tells of a container. Its engine would tell nothing else, but somebody else might.

In: a container or an event, as it was parsed. Out: the same one. What is wrong raises ValueError. Labels may still ask for
anything: `labels` judges them, as it does for those of the own engine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from proxy.core.containers.containers import Container, ContainerPort
from proxy.core.containers.docker_json import EngineEvent

LONGEST_ID = 128
LATEST = 1 << 40
"""Seconds since the epoch: in 30,000 years."""
_LARGEST_PORT = 65535


def check_container(container: Container) -> Container:
    """Return the container. Raises ValueError if a value in it has another type or form than it can have."""
    for text in _texts(container):
        if not isinstance(text, str):
            raise ValueError(f"{text!r:.40} is not a text")
        text.encode()  # raises UnicodeEncodeError for what is no character
    if not 0 < len(container.id) <= LONGEST_ID:
        raise ValueError(f"the id {container.id[:LONGEST_ID]!r} is too short or too long")
    if not 0 <= container.created <= LATEST:
        raise ValueError("the time at which it was created is not possible")
    for port in container.ports:
        _check_port(port)
    for attachment in container.networks:
        for address in (attachment.address, attachment.gateway):
            check_address(address)
    return container


def check_event(event: EngineEvent) -> EngineEvent:
    """Return the event. Raises ValueError if a value in it has another type than it can have."""
    for text in (event.container_id, event.name, event.signal, event.network, event.project, event.service):
        if not isinstance(text, str):
            raise ValueError(f"{text!r:.40} is not a text")
    if len(event.container_id) > LONGEST_ID or not 0 <= event.time <= LATEST:
        raise ValueError("its container or its time is not possible")
    return event


def check_address(text: str) -> str:
    """Return an address, which may be empty. Raises ValueError if it is none that can be written into a configuration."""
    if text and ("%" in text or not ipaddress.ip_address(text)):
        raise ValueError(f"{text[:40]!r} is not an address")
    return text


def _check_port(port: ContainerPort) -> None:
    if not (0 < port.number <= _LARGEST_PORT and 0 <= port.host_port <= _LARGEST_PORT):
        raise ValueError(f"there is no port {port.number} or {port.host_port}"[:80])
    check_address(port.host_address)


def _texts(container: Container) -> Iterator[object]:
    yield from (container.id, container.name, container.project, container.service, container.network_mode)
    for values in (container.labels, container.environment):
        yield from values.keys()
        yield from values.values()
    for attachment in container.networks:
        yield from (attachment.network, attachment.address, attachment.gateway, attachment.network_id)
