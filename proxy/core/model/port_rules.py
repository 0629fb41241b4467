"""Who may have a port, in the present surroundings: the proxy's own uses, other programs, virtual hosts, TCP_PORTS.

In: what services want of a port. Out: its use, and why TCP_PORTS may not name it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.core.model.backends import BuildContext
from proxy.core.model.own_ports import own_ports
from proxy.core.model.port_routes import PortRoutes
from proxy.core.model.port_uses import HTTP_PORT, HTTPS_PORT, PortUse, add_wish, choose_use
from proxy.core.model.services import Service
from proxy.core.model.tcp_listeners import taken_port, tcp_wishes, used_by_host, usual_port
from proxy.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRules:
    """`default_since` tells since when a service answers what no virtual host matches; None if there is no such service."""

    settings: Settings
    context: BuildContext
    taken_ports: frozenset[int]
    default_since: Callable[[], int] | None

    def choose(
        self, port: int, routes: PortRoutes | None, tcp_services: Sequence[Service], held: PortUse | None
    ) -> PortUse | None:
        """Return what a port is used for; None if nobody wants it. `held` is its present use."""
        wishes = self._http_wishes(port, routes)
        if not self.reserved(port, routes):
            wishes |= tcp_wishes(port, tcp_services, self.context)
        return choose_use(port, wishes, held)

    def speaks_tls(self, port: int, use: PortUse | None) -> bool:
        """Say whether a port of a frontend terminates TLS. Without any service, port 443 does."""
        return (use or self._usual_use(port)) is PortUse.HTTPS

    def reserved(self, port: int, routes: PortRoutes | None) -> str:
        """Return a sentence about why a port cannot be one of TCP_PORTS, whoever was first; empty if it can."""
        if own := own_ports(self.settings).get(port):
            return f"{own.user} port {port} ({own.setting})"
        if port == self.settings.routing.monitor_port:
            return f"the proxy's own health check uses port {port} (MONITOR_PORT)"
        if port in self.taken_ports:
            return taken_port(port, self.settings.haproxy.port_offset)
        is_used = port == HTTP_PORT and self._http_wishes(port, routes)
        if not is_used and self._usual_use(port) is not PortUse.HTTPS:
            return ""
        return used_by_host(port) if routes and routes.has_claims else usual_port(port)

    def _http_wishes(self, port: int, routes: PortRoutes | None) -> dict[PortUse, Callable[[], int]]:
        """Return for what services want a port, besides TCP_PORTS. The proxy's own health check is answered without TLS."""
        usual, routing = self._usual_use(port), self.settings.routing
        if routing.monitor_uri and routing.monitor_port == port:
            return {usual or PortUse.HTTP: int}
        wishes = routes.wishes() if routes else {}
        if usual and self.default_since:
            add_wish(wishes, usual, self.default_since)
        return wishes

    def _usual_use(self, port: int) -> PortUse | None:
        """Return what the proxy itself uses a port for, where no service says anything else."""
        if port == HTTPS_PORT and self.context.terminates_tls:
            return PortUse.HTTPS
        return PortUse.HTTP if port == HTTP_PORT else None
