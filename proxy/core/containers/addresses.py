"""Choose where the proxy reaches a port of a container.

In: a container, the proxy's own, networks that the operator names. Out: address and port. A container of another node is
reached on a network that spans both nodes; else at its own address, where the hosts route its network; else at the port that
it publishes on its node.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from proxy.core.containers.containers import Attachment, Container, Node, ProxyContainer

HOST_MODE = "host"
LOOPBACK = "127.0.0.1"
_OF_EVERY_ENGINE = frozenset({"bridge", "docker_gwbridge", "host", "none", "podman"})
"""Networks that every engine has under the same name, each its own."""
_INGRESS = "ingress"
"""The network through which a Swarm publishes ports. It spans all nodes, but is meant for nothing else."""


class Endpoint(NamedTuple):
    """Where a port is reached."""

    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What the proxy can reach. `network` is preferred, where there are several in common (with or without the project's
    name in front). `routed_networks` are CIDRs in which it reaches containers of all nodes."""

    proxy: ProxyContainer | None = None
    network: str = ""
    routed_networks: tuple[str, ...] = ()

    @property
    def is_on_host(self) -> bool:
        """Whether the proxy uses the network of its host."""
        return self.proxy is None or self.proxy.network_mode == HOST_MODE


def choose_endpoint(container: Container, port: int, reach: Reach) -> Endpoint:
    """Return where the proxy reaches `port` of `container`.

    Raises ValueError with the networks of both sides where there is no such place.
    """
    if container.address:
        return Endpoint(container.address, port)
    if container.node:
        return _on_other_node(container, container.node, port, reach)
    if container.network_mode == HOST_MODE:
        return Endpoint(LOOPBACK if reach.is_on_host else _gateway(reach.proxy), port)
    attachments = _addressed(container)
    if reach.proxy and not reach.is_on_host:
        shared = {attachment.network for attachment in reach.proxy.networks}
        attachments = [attachment for attachment in attachments if attachment.network in shared]
    if not attachments:
        raise ValueError(_no_address(container, reach))
    return Endpoint(_choose(attachments, container.project, reach.network).address, port)


def _on_other_node(container: Container, node: Node, port: int, reach: Reach) -> Endpoint:
    if container.network_mode == HOST_MODE and node.address:
        return Endpoint(node.address, port)
    attachments = _addressed(container)
    ours = reach.proxy.networks if reach.proxy and not reach.is_on_host else ()
    if shared := [attachment for attachment in attachments if _spans_nodes(attachment, ours, container.project, reach)]:
        return Endpoint(_choose(shared, container.project, reach.network).address, port)
    if routed := [attachment for attachment in attachments if _is_in(attachment.address, reach.routed_networks)]:
        return Endpoint(_choose(routed, container.project, reach.network).address, port)
    published = next((known for known in container.ports if known.number == port and known.host_port), None)
    if published and (address := published.host_address or node.address):
        return Endpoint(address, published.host_port)
    raise ValueError(_no_address_on_node(container, node, port, reach))


def _spans_nodes(attachment: Attachment, ours: Iterable[Attachment], project: str, reach: Reach) -> bool:
    """Whether the proxy is on this very network: it has the same id, or the operator names it.

    Networks of one engine may have equal names on several nodes, and equal addresses. Podman gives the name as the id.
    """
    wanted = _names(project, reach.network) - _OF_EVERY_ENGINE if reach.network else frozenset()
    return any(
        (attachment.network_id not in ("", attachment.network) and attachment.network_id == own.network_id)
        or (attachment.network == own.network and attachment.network in wanted)
        for own in ours
    )


def _addressed(container: Container) -> list[Attachment]:
    return [attachment for attachment in container.networks if attachment.address]


def _is_in(address: str, networks: Iterable[str]) -> bool:
    parsed = ipaddress.ip_address(address)
    return any(parsed in _parse_network(network) for network in networks)


@lru_cache(maxsize=64)
def _parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return the network. All containers of other nodes are compared with the same few."""
    return ipaddress.ip_network(text)


def _names(project: str, network: str) -> frozenset[str]:
    return frozenset({network, f"{project}_{network}"})


def _choose(attachments: Sequence[Attachment], project: str, preferred: str) -> Attachment:
    wanted = _names(project, preferred)

    def rank(attachment: Attachment) -> tuple[bool, bool, str]:
        return attachment.network not in wanted, attachment.network == _INGRESS, attachment.network

    return min(attachments, key=rank)


def _gateway(proxy: ProxyContainer | None) -> str:
    for attachment in proxy.networks if proxy else ():
        if attachment.gateway:
            return attachment.gateway
    raise ValueError(
        "uses the host's network, but the proxy cannot reach the host: the proxy's networks have no gateway; "
        "attach the proxy to a bridge network"
    )


def _no_address(container: Container, reach: Reach) -> str:
    if container.network_mode.startswith("container:"):
        owner = container.network_mode.removeprefix("container:")[:12]
        return (
            f"uses the network of container {owner}, which does not run; start that one and then this one, or if it was "
            f"replaced, recreate this one"
        )
    if reach.is_on_host:
        return f"has no address that the proxy's host can reach (it is on {_list(container.networks)})"
    ours = reach.proxy.networks if reach.proxy else ()
    return (
        f"shares no network with the proxy: it is on {_list(container.networks)}, the proxy on {_list(ours)}; "
        f"attach one of them to a network of the other"
    )


def _no_address_on_node(container: Container, node: Node, port: int, reach: Reach) -> str:
    ours = "its host's network" if reach.is_on_host else _list(reach.proxy.networks if reach.proxy else ())
    unknown = "" if node.address else "; the address of that node is not known, so its published ports cannot be used"
    return (
        f"shares no network that spans nodes with the proxy: it is on {_list(container.networks)} of node {node.name}, the "
        f"proxy on {ours}{unknown}; attach both to one overlay network, publish port {port} on the node (mode: host), or "
        f"name its network in PROXY_ROUTED_NETWORKS if the hosts route it"
    )


def _list(networks: Iterable[Attachment]) -> str:
    return ", ".join(sorted(attachment.network for attachment in networks)) or "no network"
