"""The address at which the proxy reaches a container."""

from typing import Any

import pytest

from proxy.core.containers.addresses import choose_address
from proxy.core.containers.containers import Attachment, Container, ProxyContainer
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
    assert expected == choose_address(container, proxy, preferred)


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
        choose_address(container, proxy)
