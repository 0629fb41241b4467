"""The routing model: what HAProxy has to do, in HAProxy's terms but without its syntax.

`model_index` builds it, `rendering` prints it, `runtime_plan` compares it. All collections are sorted or have a meaningful
order, so equal containers give equal models, in whatever order they came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from proxy.core.model.matching import Route, RouteTables
from proxy.errors import Problem
from proxy.grammar.certificates import Certificate
from proxy.grammar.syntax import BackendName, ServerName
from proxy.secret import Secret
from proxy.settings import ProxyMode


class ServerState(StrEnum):
    """The administrative state that HAProxy is given for a server (manual, `set server ... state`)."""

    READY = "ready"
    DRAIN = "drain"
    MAINT = "maint"


WAITING = "does not accept connections yet"
"""The reason of a server that has not accepted a connection yet (see `readiness`)."""
UNHEALTHY = "its health check says unhealthy"
STARTING = "its health check has not passed yet"
UNSERVED = frozenset({WAITING, UNHEALTHY, STARTING})
"""Reasons for which a server gets no requests though somebody expects that it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One port of one container, at the address where the proxy reaches it. Plans compare servers by `name`.

    `options` is what follows on the server line: health check and free-form settings. With `has_default_check` nobody has
    set a health check; the one that stands before the options depends on how many such servers there are when it is printed.
    `reason` tells why the server is not ready, for people.
    """

    name: ServerName
    address: str
    port: int
    cookie: str = ""
    weight: int | None = None
    service_weight: int | None = field(default=None, compare=False)
    """The weight of its service as the user set it, for people. `weight` is the value that HAProxy gets."""
    options: str = ""
    has_default_check: bool = False
    is_backup: bool = False
    state: ServerState = ServerState.READY
    reason: str = ""
    container: str = ""
    container_id: str = ""
    container_port: int = field(default=0, compare=False)
    """The port inside the container; `port` is another one where its node publishes it."""
    source: str = ""
    node: str = ""
    """The name of the node that runs it; empty for that of the proxy's own engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Settings that backends share, as a named `defaults` section. The name follows from the lines."""

    name: str
    mode: ProxyMode
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Servers that give the same answers. `lines` are those that a `defaults` section cannot hold. `services` are the
    services that use it, so that a fault can be blamed on them."""

    name: BackendName
    mode: ProxyMode
    profile: Profile
    lines: tuple[str, ...] = ()
    servers: tuple[Server, ...] = ()
    services: tuple[str, ...] = ()

    def count_default_checks(self) -> int:
        """Return how many servers have the default health check."""
        return sum(server.has_default_check for server in self.servers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontend:
    """One listening port for virtual hosts. `routes` are in order of precedence; `tables` are built from them."""

    port: int
    mode: ProxyMode
    is_tls: bool = False
    routes: tuple[Route, ...] = ()
    tables: RouteTables = field(default_factory=RouteTables)
    default_backend: BackendName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpListener:
    """One port of TCP_PORTS, balanced over every service that names it."""

    port: int
    is_tls: bool
    backend: Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCertificate:
    """A certificate and the file name under which HAProxy knows it. `services` brought it; empty for the proxy's own."""

    name: str
    certificate: Certificate
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingModel:
    """Everything that HAProxy has to do. The first certificate is served when no SNI matches.

    `plain_profile` is present even if no backend uses it yet, so that the next new backend can. `problems` are faults that
    keep a service or a route from being served; `notes` are about containers that are left out on purpose.
    """

    frontends: tuple[Frontend, ...] = ()
    listeners: tuple[TcpListener, ...] = ()
    backends: tuple[Backend, ...] = ()
    certificates: tuple[StoredCertificate, ...] = ()
    plain_profile: Profile | None = None
    client_ca: Secret | None = None
    """The CA that signs visitors' certificates, as PEM; None if visitors need no certificate."""
    taken_ports: frozenset[int] = frozenset()
    """Ports that are left out because other processes listen on them. The statistics port can be one of them."""
    ipv4_only_ports: frozenset[int] = frozenset()
    """Ports that HAProxy cannot have over IPv6: all of them, where the machine has no IPv6."""
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()

    def count_default_checks(self) -> int:
        """Return how many servers of all backends and listeners have the default health check."""
        backends = (*self.backends, *(listener.backend for listener in self.listeners))
        return sum(backend.count_default_checks() for backend in backends)
