"""What a source knows about a container, as frozen values. Sources build them, and all later stages only read them.

In: nothing (types). Out: `Snapshot`, all containers as the proxy sees them in one pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from proxy.errors import Problem


class Health(StrEnum):
    """The result of the engine's HEALTHCHECK; `NONE` if the container has none."""

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class State(StrEnum):
    """A container's state, in the engine's words. Only `STOPPING` is ours: a stop signal was sent, and it still runs."""

    RUNNING = "running"
    STOPPING = "stopping"
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A container's addresses in one network. `address` is empty until the engine has assigned one."""

    network: str
    address: str = ""
    gateway: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ContainerPort:
    """A TCP port that a container exposes. `published` says that it is also bound on the host (`ports` in Compose)."""

    number: int
    published: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of any source that may become a server.

    `project` and `service` are those of Compose or of the stack. A container outside Compose has an empty project, and its
    own name as its service. `environment` is known only for linked containers. `alias` is the name under which the proxy's
    container links to it or to its service, or empty. `address` is set when the source knows the only correct address (links
    without a socket, files). Otherwise the address is chosen among `networks`. `created` is in seconds since the epoch.
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
    """The container that this program runs in. It decides which project is in scope and which networks are shared."""

    id: str
    project: str = ""
    service: str = ""
    networks: tuple[Attachment, ...] = ()
    network_mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a source knows: its containers, sorted by id, and the proxy's own container.

    `proxy` is None when the proxy runs outside of any container. When `is_complete` is false, the snapshot holds only what
    has changed since the last one, and `gone` are the ids of containers that no longer exist. `problems` are faults in the
    source's own input (a file). Problems of a container's labels are not in here.
    """

    containers: tuple[Container, ...] = ()
    proxy: ProxyContainer | None = None
    is_complete: bool = True
    gone: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
