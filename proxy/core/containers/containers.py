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


OWN_ENGINE, CLUSTER = "docker", "cluster"
ENGINE_SOURCES = frozenset({OWN_ENGINE, CLUSTER})
"""Sources whose containers an engine runs: the proxy's own one, and those of the other nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A container's addresses in one network. `address` is empty until the engine has assigned one.

    `network_id` is the same on all nodes for a network that spans them, and differs for networks of one engine.
    """

    network: str
    address: str = ""
    gateway: str = ""
    network_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ContainerPort:
    """A TCP port that a container exposes. `published` says that it is also bound on the host (`ports` in Compose).

    `host_port` is where other machines reach it on its node, at `host_address` if that is not empty; 0 if they cannot.
    """

    number: int
    published: bool = False
    host_port: int = 0
    host_address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Another machine of the cluster. `address` is where its published ports are reached; empty if that is not known."""

    id: str
    name: str
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of any source that may become a server.

    `project` and `service` are those of Compose or of the stack. A container outside Compose has an empty project, and its
    own name as its service. `environment` is known for linked containers; of others, only variables that look as if they
    were meant for the proxy. `service_labels` are names of labels that stand where no container gets them
    (`deploy.labels` in a services file). `swarm_service` is the id of its service in a Swarm, which may have labels of its
    own; managers tell them. `alias` is the name under which the proxy's container links to it or to its service, or empty.
    `node` is the machine that runs it; None for that of the proxy's own engine. `address` is set when the source knows the
    only correct address (links without a socket, files). Otherwise the address is chosen among `networks`. `created` is in
    seconds since the epoch, by the clock of this machine.
    """

    id: str
    name: str
    source: str = OWN_ENGINE
    project: str = ""
    service: str = ""
    alias: str = ""
    created: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    service_labels: tuple[str, ...] = ()
    swarm_service: str = ""
    ports: tuple[ContainerPort, ...] = ()
    networks: tuple[Attachment, ...] = ()
    network_mode: str = ""
    address: str = ""
    node: Node | None = None
    state: State = State.RUNNING
    health: Health = Health.NONE

    @property
    def is_of_engine(self) -> bool:
        """Whether an engine runs it, of whichever node. Containers of links and files are named by the operator."""
        return self.source in ENGINE_SOURCES

    @property
    def may_want_route(self) -> bool:
        """Whether it may ask for a route: by labels, because the proxy links to it, or by the labels of its service."""
        return bool(self.labels or self.alias or self.swarm_service)

    @property
    def place(self) -> str:
        """Its name, for people, with the node if it runs on another one."""
        return f"{self.name} on node {self.node.name}" if self.node else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyContainer:
    """The container that this program runs in. It decides which project is in scope and which networks are shared."""

    id: str
    project: str = ""
    service: str = ""
    name: str = field(default="", compare=False)
    labels: Mapping[str, str] = field(default_factory=dict, compare=False)
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
