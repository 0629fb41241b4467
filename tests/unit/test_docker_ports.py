"""Where other machines reach a port, in the list and in an inspection."""

from __future__ import annotations

import pytest

from proxy.core.containers.containers import ContainerPort
from proxy.core.containers.docker_ports import parse_inspected_ports, parse_listed_ports

Bindings = list[tuple[str, int]]


@pytest.mark.parametrize(
    ("bindings", "expected"),
    [
        pytest.param([], ContainerPort(number=80), id="only exposed"),
        pytest.param([("0.0.0.0", 8080)], ContainerPort(number=80, published=True, host_port=8080), id="everywhere"),
        pytest.param(
            [("198.51.100.4", 8080)],
            ContainerPort(number=80, published=True, host_port=8080, host_address="198.51.100.4"),
            id="at one address",
        ),
        pytest.param([("127.0.0.1", 8080)], ContainerPort(number=80, published=True), id="on the loopback"),
        pytest.param([("::1", 8080)], ContainerPort(number=80, published=True), id="on the loopback of IPv6"),
        pytest.param(
            [("127.0.0.1", 8080), ("0.0.0.0", 8081)],
            ContainerPort(number=80, published=True, host_port=8081),
            id="on the loopback and everywhere",
        ),
        pytest.param([("::", 32768)], ContainerPort(number=80, published=True, host_port=32768), id="IPv6 only"),
        # An engine that chooses the ports itself takes another one for each (Docker 20.10).
        pytest.param(
            [("0.0.0.0", 32769), ("::", 32768)],
            ContainerPort(number=80, published=True, host_port=32769),
            id="another port for IPv6",
        ),
    ],
)
def test_published_port_is_where_other_machines_reach_it(bindings: Bindings, expected: ContainerPort) -> None:
    listed = [{"IP": address, "PrivatePort": 80, "PublicPort": port, "Type": "tcp"} for address, port in bindings]
    reported = [{"HostIp": address, "HostPort": str(port)} for address, port in bindings]
    inspected = {
        "Config": {"ExposedPorts": {"80/tcp": {}}},
        "NetworkSettings": {"Ports": {"80/tcp": reported or None}},
    }

    assert (expected,) == parse_listed_ports({"Ports": listed or [{"PrivatePort": 80, "Type": "tcp"}]})
    assert (expected,) == parse_inspected_ports(inspected, has_own_network=True)
