"""What a source knows of a container, as frozen values. Sources build them, and all later stages read only them.

In: nothing (types). Out: `Snapshot`, all containers as the proxy sees them in one pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from proxy.errors import Problem


class Health(StrEnum):
    """What the engine's HEALTHCHECK says; `NONE` where the container has none."""

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class State(StrEnum):
    """A container's state, in the engine's words. Only `STOPPING` is ours: after a stop signal and before the end."""

    RUNNING = "running"
    STOPPING = "stopping"
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A container's addresses in one network. `address` is empty as long as the engine has not given one."""

    network: str
    address: str = ""
    gateway: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ContainerPort:
    """A TCP port that a container exposes; `published` where it is also bound on the host (`ports`)."""

    number: int
    published: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One backend candidate of any source.

    `project` and `service` are Compose's (or the stack's); a container outside Compose has an empty project and its own
    name as service. `environment` is known for linked containers only. `alias` is the name under which the proxy's
    container links to it, else empty. `address` is set where the source itself knows the one right address (links without
    a socket, files); else the address is chosen among `networks`. `created` is in seconds since the epoch.
    """

    id: str
    name: str
    source: str = "docker"
    project: str = ""
    service: str = ""
    alias: str = ""
    created: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[ContainerPort, ...] = ()
    networks: tuple[Attachment, ...] = ()
    network_mode: str = ""
    address: str = ""
    state: State = State.RUNNING
    health: Health = Health.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyContainer:
    """The container this program runs in: whose project is in scope, and which networks it shares."""

    id: str
    project: str = ""
    service: str = ""
    networks: tuple[Attachment, ...] = ()
    network_mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a source knows: its containers, sorted by id, and the proxy's own place among them.

    `proxy` is None when the proxy runs outside of any container. When not `is_complete`, it holds only what has changed
    since the reading before, and `gone` are the ids of containers that are no more. `problems` are those of the source's
    own input (a file); a container's labels have theirs elsewhere.
    """

    containers: tuple[Container, ...] = ()
    proxy: ProxyContainer | None = None
    is_complete: bool = True
    gone: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
