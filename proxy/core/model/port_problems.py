"""Who gets no traffic because of a port: in MODE=tcp, where a port has one service, or where another program has it.

In: the routes of ports, and which ports are taken. Out: problems.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from proxy.core.model.port_routes import PortRoutes
from proxy.core.model.service_part import ServicePart, report
from proxy.core.model.tcp_listeners import taken_port
from proxy.errors import THE_PROXY, Problem
from proxy.grammar.syntax import BackendName, service_of_backend
from proxy.settings import HaproxySettings

MOST_LABELS = 5
"""If a port that is taken has more services than this, a single problem tells of all of them."""


def without_port(taken: AbstractSet[int], ports: Mapping[int, PortRoutes], settings: HaproxySettings) -> Iterable[Problem]:
    """Yield a problem for each service whose port another program has, and for the statistics page."""
    offset = settings.port_offset
    if settings.stats_port and settings.stats_port in taken:
        reason = f"{taken_port(settings.stats_port, offset)}; there is no statistics page until it is free"
        yield Problem(service=THE_PROXY, setting="STATS_PORT", reason=reason)
    for port in sorted(taken & ports.keys()):
        labels = ports[port].labels()
        if not labels:
            yield Problem(service=THE_PROXY, reason=taken_port(port, offset))
        for label in labels if len(labels) <= MOST_LABELS else ["all services of this port"]:
            yield Problem(service=label, setting="VIRTUAL_HOST", reason=taken_port(port, offset))


def crowded_out(routes: PortRoutes, parts: Mapping[BackendName, ServicePart]) -> Iterable[Problem]:
    """Yield a problem for each service that does not get its port. With MODE=tcp hosts cannot be told apart."""
    if not routes.has_claims:
        return
    first, *others = routes.routes()
    for route in others:
        if route.backend != first.backend:
            winner, loser = service_of_backend(first.backend), service_of_backend(route.backend)
            reason = f"{route.entry}: with MODE=tcp a port can have only one service, and {winner} has port {routes.port}"
            yield report(parts[loser].service, "VIRTUAL_HOST", reason)
