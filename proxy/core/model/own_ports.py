"""The ports that the proxy uses for itself, besides those of services: the statistics page, and the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPort:
    """What a port is used for, the variable that sets it, and what is missing while another program has the port."""

    user: str
    setting: str
    loss: str


STATISTICS = OwnPort(user="the statistics page uses", setting="STATS_PORT", loss="there is no statistics page")
OF_CLUSTER = OwnPort(
    user="the other proxies of the cluster use",
    setting="PROXY_CLUSTER_PORT",
    loss="the other proxies of the cluster do not learn of this node's containers",
)


def own_ports(settings: Settings) -> Mapping[int, OwnPort]:
    """Return the proxy's own ports, before the offset."""
    ports: dict[int, OwnPort] = {}
    if settings.haproxy.stats_port is not None:
        ports[settings.haproxy.stats_port] = STATISTICS
    if settings.cluster.peers:
        ports[settings.cluster.port] = OF_CLUSTER
    return ports
