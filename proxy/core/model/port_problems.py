"""Who gets no traffic because of a port: another program or TCP_PORTS has it, or, in MODE=tcp, another service.

In: the routes of ports, and which ports are taken. Out: problems.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from proxy.core.model.model import TcpListener
from proxy.core.model.own_ports import own_ports
from proxy.core.model.port_routes import PortRoutes
from proxy.core.model.service_part import ServicePart, report
from proxy.core.model.tcp_listeners import taken_port
from proxy.errors import THE_PROXY, Problem
from proxy.grammar.syntax import BackendName, service_of_backend
from proxy.settings import Settings

MOST_LABELS = 5
"""If a port that is taken has more services than this, a single problem tells of all of them."""


def without_port(taken: AbstractSet[int], ports: Mapping[int, PortRoutes], settings: Settings) -> Iterable[Problem]:
    """Yield a problem for each service whose port another program has, and for each use of the proxy itself."""
    offset = settings.haproxy.port_offset
    for port, own in own_ports(settings).items():
        if port in taken:
            reason = f"{taken_port(port, offset)}; {own.loss} until it is free"
            yield Problem(service=THE_PROXY, setting=own.setting, reason=reason)
    for port in sorted(taken & ports.keys()):
        labels = ports[port].labels()
        if not labels:
            yield Problem(service=THE_PROXY, reason=taken_port(port, offset))
        for label in labels if len(labels) <= MOST_LABELS else ["all services of this port"]:
            yield Problem(service=label, setting="VIRTUAL_HOST", reason=taken_port(port, offset))


def of_ports(
    ports: Mapping[int, PortRoutes],
    listeners: Mapping[int, TcpListener],
    parts: Mapping[BackendName, ServicePart],
    *,
    is_tcp: bool,
) -> Iterable[Problem]:
    """Yield the problems of the entries of all ports; with MODE=tcp (`is_tcp`), also those of services without a port."""
    for port, routes in ports.items():
        listener = listeners.get(port)
        yield from _without_listener(listener, routes) if listener else _of_routes(routes, parts, is_tcp=is_tcp)


def _without_listener(listener: TcpListener, routes: PortRoutes) -> Iterable[Problem]:
    """Yield a problem for each service that wants a port for a virtual host while it is one of TCP_PORTS."""
    owners = " and ".join(listener.backend.services)
    reason = f"port {listener.port} is already balanced in TCP mode for {owners} (TCP_PORTS); use another port"
    for label in routes.labels():
        yield Problem(service=label, setting="VIRTUAL_HOST", reason=reason)


def _of_routes(routes: PortRoutes, parts: Mapping[BackendName, ServicePart], *, is_tcp: bool) -> Iterable[Problem]:
    """Yield the problems of the entries of a port; with MODE=tcp (`is_tcp`), also those of services that do not get it."""
    for problems in routes.problems.values():
        yield from problems
    if is_tcp:
        yield from _crowded_out(routes, parts)


def _crowded_out(routes: PortRoutes, parts: Mapping[BackendName, ServicePart]) -> Iterable[Problem]:
    """Yield a problem for each service that does not get its port. With MODE=tcp hosts cannot be told apart."""
    owner = routes.owner()
    for route in routes.routes() if owner else ():
        if owner and route.backend != owner:
            winner, loser = service_of_backend(owner), service_of_backend(route.backend)
            reason = f"{route.entry}: with MODE=tcp a port can have only one service, and {winner} has port {routes.port}"
            yield report(parts[loser].service, "VIRTUAL_HOST", reason)
