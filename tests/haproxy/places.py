"""Where the containers of a test run: with the proxy's own engine, or on another node of its cluster.

A test is written for containers of the own engine. `everywhere` has all tests of a module run on another node, too: with
containers that are reached at the ports that their node publishes, or in a network that the hosts route.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum

import pytest

from proxy.core.containers.containers import CLUSTER, OWN_ENGINE, Attachment, Container, ContainerPort, Node
from tests.haproxy.backend_server import BackendServer, published

NODE = Node(id="id-of-other", name="other", address="127.0.0.1")
ROUTED = {"PROXY_ROUTED_NETWORKS": "127.0.0.0/8"}
_UNREACHABLE = "192.0.2.1"
"""An address in a network of the other node (RFC 5737: nobody's)."""


class Where(StrEnum):
    """A kind of place."""

    OWN_ENGINE = "own engine"
    PUBLISHED = "published on another node"
    ROUTED = "routed to another node"

    @property
    def of_node(self) -> str:
        """What follows the name of a container in a problem."""
        return "" if self is Where.OWN_ENGINE else f" on node {NODE.name}"


def everywhere(*places: Where) -> pytest.MarkDecorator:
    """Return a mark that runs tests with their containers at the own engine, and at these places."""
    return pytest.mark.parametrize("place", [Where.OWN_ENGINE, *places], indirect=True, ids=str)


class Place:
    """Puts containers where they run. What it starts ends with `stack`."""

    def __init__(self, where: Where, stack: ExitStack) -> None:
        self._where = where
        self._stack = stack
        self._published: dict[tuple[str, int], int] = {}

    @property
    def source(self) -> str:
        """The source that tells of the containers."""
        return OWN_ENGINE if self._where is Where.OWN_ENGINE else CLUSTER

    @property
    def variables(self) -> Mapping[str, str]:
        """The settings that the place takes."""
        return ROUTED if self._where is Where.ROUTED else {}

    def note(self, backend: BackendServer) -> BackendServer:
        """Have the node publish the port of a backend, if that is how it is reached."""
        if self._where is Where.PUBLISHED and ":" not in backend.address:
            self._published[backend.address, backend.port] = self._stack.enter_context(published(backend))
        return backend

    def put(self, container: Container) -> Container:
        """Return the container as the proxy is told of it. One that its test has put somewhere stays there."""
        if self._where is Where.OWN_ENGINE or container.node or not container.is_of_engine:
            return container
        is_routed = self._where is Where.ROUTED
        network = Attachment(
            network="shop_default", network_id="of other", address=container.address if is_routed else _UNREACHABLE
        )
        ports = container.ports if is_routed else tuple(self._publish(container.address, port) for port in container.ports)
        return replace(container, source=CLUSTER, node=NODE, address="", networks=(network,), ports=ports)

    def _publish(self, address: str, port: ContainerPort) -> ContainerPort:
        host_port = self._published.get((address, port.number), port.number)
        host_address = "" if address == NODE.address else address
        return ContainerPort(number=port.number, published=True, host_port=host_port, host_address=host_address)
