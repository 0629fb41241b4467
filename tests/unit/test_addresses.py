"""The address at which the proxy reaches a container."""

import dataclasses
from typing import Any

import pytest

from proxy.core.containers.addresses import Endpoint, Reach, choose_endpoint
from proxy.core.containers.containers import Attachment, Container, ContainerPort, Node, ProxyContainer
from tests.builders import make_container

FRONT, BACK = Attachment(network="front", address="10.0.1.2"), Attachment(network="back", address="10.0.2.2")
SHOP_BACK = Attachment(network="shop_back", address="10.0.3.2")


def container_on(*networks: Attachment, **overrides: Any) -> Container:
    return make_container(networks=networks, address="", **overrides)


def proxy_on(*names: str, gateway: str = "", network_mode: str = "") -> ProxyContainer:
    networks = tuple(Attachment(network=name, address="10.0.9.9", gateway=gateway) for name in names)
    return ProxyContainer(id="0" * 64, networks=networks, network_mode=network_mode)


ADDRESSES = {
    "shared-network": (container_on(BACK, FRONT), proxy_on("front"), "", "10.0.1.2"),
    "first-by-name": (container_on(FRONT, BACK), proxy_on("front", "back"), "", "10.0.2.2"),
    "preferred": (container_on(FRONT, BACK), proxy_on("front", "back"), "front", "10.0.1.2"),
    "preferred-of-the-project": (container_on(FRONT, SHOP_BACK), proxy_on("front", "shop_back"), "back", "10.0.3.2"),
    "preferred-is-not-there": (container_on(FRONT, BACK), proxy_on("front", "back"), "none", "10.0.2.2"),
    "proxy-outside-of-docker": (container_on(FRONT), None, "", "10.0.1.2"),
    "proxy-on-the-host-s-network": (container_on(FRONT), proxy_on(network_mode="host"), "", "10.0.1.2"),
    "both-on-the-host": (container_on(network_mode="host"), proxy_on(network_mode="host"), "", "127.0.0.1"),
    "container-on-the-host": (container_on(network_mode="host"), proxy_on("front", gateway="10.0.1.1"), "", "10.0.1.1"),
    "told-by-the-source": (make_container(address="192.0.2.1", networks=(FRONT,)), proxy_on("front"), "", "192.0.2.1"),
}


@pytest.mark.parametrize(("container", "proxy", "preferred", "expected"), ADDRESSES.values(), ids=ADDRESSES)
def test_address(container: Container, proxy: ProxyContainer | None, preferred: str, expected: str) -> None:
    assert Endpoint(expected, 8080) == choose_endpoint(container, 8080, Reach(proxy=proxy, network=preferred))


UNREACHABLE = {
    "no-network-shared": (container_on(BACK), proxy_on("front"), "it is on back, the proxy on front"),
    "no-network-at-all": (container_on(), proxy_on("front"), "it is on no network, the proxy on front"),
    "no-address-yet": (container_on(Attachment(network="front")), proxy_on("front"), "it is on front, the proxy on front"),
    "owner-of-the-network-is-gone": (
        container_on(network_mode=f"container:{'f' * 64}"),
        proxy_on("front"),
        "uses the network of container ffffffffffff, which does not run",
    ),
    "from-the-host": (container_on(), None, "has no address that the proxy's host can reach"),
    "host-without-gateway": (container_on(network_mode="host"), proxy_on("front"), "attach the proxy to a bridge network"),
}


@pytest.mark.parametrize(("container", "proxy", "reason"), UNREACHABLE.values(), ids=UNREACHABLE)
def test_container_out_of_reach_is_told_with_both_sides_networks(
    container: Container, proxy: ProxyContainer | None, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        choose_endpoint(container, 80, Reach(proxy=proxy))


NODE = Node(id="n2", name="worker-2", address="192.0.2.7")
MESH = Attachment(network="mesh", address="10.5.0.9", network_id="mesh-id")
LOCAL = Attachment(network="shop_default", address="172.18.0.3", network_id="of node 2")
INGRESS = Attachment(network="ingress", address="10.0.0.9", network_id="ingress-id")
ON_MESH = ProxyContainer(
    id="0" * 64,
    networks=(
        Attachment(network="ingress", address="10.0.0.2", network_id="ingress-id"),
        Attachment(network="mesh", address="10.5.0.2", network_id="mesh-id"),
        Attachment(network="shop_default", address="172.18.0.3", network_id="of node 1"),
    ),
)
PUBLISHED = (ContainerPort(number=80, published=True, host_port=8080),)
AT_ONE_ADDRESS = (ContainerPort(number=80, published=True, host_port=8080, host_address="198.51.100.4"),)


def remote(
    *networks: Attachment, node: Node = NODE, ports: tuple[ContainerPort, ...] = (), network_mode: str = ""
) -> Container:
    container = container_on(*networks, node=node, source="cluster", network_mode=network_mode)
    return dataclasses.replace(container, ports=ports)


REMOTE = {
    "network that spans nodes": (remote(LOCAL, MESH), Reach(proxy=ON_MESH), Endpoint("10.5.0.9", 80)),
    "better than ingress": (remote(INGRESS, MESH), Reach(proxy=ON_MESH), Endpoint("10.5.0.9", 80)),
    "ingress rather than nothing": (remote(INGRESS), Reach(proxy=ON_MESH), Endpoint("10.0.0.9", 80)),
    "name that the operator gives": (
        remote(LOCAL),
        Reach(proxy=ON_MESH, network="shop_default"),
        Endpoint("172.18.0.3", 80),
    ),
    "network that the hosts route": (
        remote(LOCAL, ports=PUBLISHED),
        Reach(proxy=ON_MESH, routed_networks=("172.18.0.0/16",)),
        Endpoint("172.18.0.3", 80),
    ),
    "published port": (remote(LOCAL, ports=PUBLISHED), Reach(proxy=ON_MESH), Endpoint("192.0.2.7", 8080)),
    "published at one address": (remote(LOCAL, ports=AT_ONE_ADDRESS), Reach(), Endpoint("198.51.100.4", 8080)),
    "its host's network": (remote(network_mode="host"), Reach(proxy=ON_MESH), Endpoint("192.0.2.7", 80)),
}


@pytest.mark.parametrize(("container", "reach", "expected"), REMOTE.values(), ids=REMOTE)
def test_address_of_a_container_of_another_node(container: Container, reach: Reach, expected: Endpoint) -> None:
    assert expected == choose_endpoint(container, 80, reach)


FAR = {
    "network of the same name on its own node": (remote(LOCAL), Reach(proxy=ON_MESH)),
    "bridge, even if the operator names it": (
        remote(Attachment(network="bridge", address="172.17.0.2", network_id="b2")),
        Reach(proxy=ON_MESH, network="bridge"),
    ),
    "published on the loopback of its node": (
        remote(LOCAL, ports=(ContainerPort(number=80, published=True),)),
        Reach(proxy=ON_MESH),
    ),
    "address of the node unknown": (
        remote(LOCAL, ports=PUBLISHED, node=Node(id="n2", name="worker-2")),
        Reach(proxy=ON_MESH),
    ),
}


@pytest.mark.parametrize(("container", "reach"), FAR.values(), ids=FAR)
def test_container_of_another_node_out_of_reach_is_told_with_both_sides(container: Container, reach: Reach) -> None:
    with pytest.raises(ValueError, match=r"of node worker-2, the proxy on ingress, mesh, shop_default.*overlay network"):
        choose_endpoint(container, 80, reach)
