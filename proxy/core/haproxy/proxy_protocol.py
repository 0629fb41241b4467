"""Who must say in the PROXY protocol for whom a connection is: rules of every section that listens, and what they expect.

In: the settings. Out: lines, and where the visitor's address is known. HAProxy reads the PROXY protocol before anything else
of a connection, also before TLS. `tcp-request connection` rules see only the address of the peer. All later rules, the log
and the servers get the address that the peer has told (manual, `expect-proxy`).

The statistics page expects nothing. Balancers whose health checks do not speak the protocol can ask there (MONITOR_PORT).
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.settings import Settings

BALANCER = "from_balancer"
"""The ACL of PROXY_ACCEPT_PROXY_FROM. In `tcp-request connection` rules it means the peer, later the visitor."""

_NETWORKS_PER_LINE = 50
"""HAProxy takes at most 64 words in a line."""
_EXPECTING = ("accept-proxy", "accept-netscaler-cip", "expect-proxy", "expect-netscaler-cip")


def expecting_lines(settings: Settings, port: int) -> Sequence[str]:
    """Return the rules that expect the PROXY protocol of the balancers. They must stand before all others."""
    if not expects_of_balancers(settings, port):
        return []
    networks = settings.routing.accept_proxy_from
    return [*acl_lines(BALANCER, networks), f"tcp-request connection expect-proxy layer4 if {BALANCER}"]


def expects_of_balancers(settings: Settings, port: int) -> bool:
    """Return whether the balancers must speak the PROXY protocol on this port."""
    return bool(settings.routing.accept_proxy_from) and port != settings.haproxy.stats_port


def expects_by_own_lines(settings: Settings, port: int) -> bool:
    """Return whether the operator's own lines expect such a protocol on this port, perhaps of all visitors."""
    lines = (
        *settings.haproxy.extra_bind_settings.get(port, ()),
        *settings.routing.extra_frontend_settings.get(port, ()),
    )
    return any(word in _EXPECTING for line in lines for word in line.split())


def acl_lines(name: str, networks: Sequence[str]) -> Sequence[str]:
    """Return the lines of an ACL that holds for sources in these networks."""
    starts = range(0, len(networks), _NETWORKS_PER_LINE)
    return [f"acl {name} src {' '.join(networks[start : start + _NETWORKS_PER_LINE])}" for start in starts]
