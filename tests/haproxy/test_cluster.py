"""Proxies that share what their engines run: each routes to the containers of all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.haproxy.backend_server import BackendServer
from tests.haproxy.client import ask
from tests.haproxy.cluster import Node
from tests.haproxy.product import Product
from tests.stub_engine import StubContainer

pytestmark = pytest.mark.haproxy


def make_container(name: str, backend: BackendServer, host: str, **labels: str) -> StubContainer:
    own = {"aliyun.proxy.VIRTUAL_HOST": host, **{f"aliyun.proxy.{key}": value for key, value in labels.items()}}
    return StubContainer(name=name, service=name, labels=own, port=backend.port, address=backend.address)


@pytest.fixture
def nodes(haproxy_binary: str, tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    """Two nodes whose engines run."""
    first, second = Node(tmp_path, "first", haproxy_binary), Node(tmp_path, "second", haproxy_binary)
    with first.running_engine(), second.running_engine():
        yield first, second


def serves(node: Node, host: str, server: str) -> bool:
    answer = ask(node.port, host=host)
    return (answer.status, answer.server) == (200, server)


def test_container_of_another_node_is_routed_from_its_start_to_its_stop(nodes: tuple[Node, Node], product: Product) -> None:
    first, second = nodes
    there = make_container("there", product.backend("there"), "there.example")
    second.engine.start(there)
    with first.running(second), second.running(first):
        eventually(lambda: serves(first, "there.example", "there"))
        later = make_container("later", product.backend("later"), "later.example")
        second.engine.start(later)
        eventually(lambda: serves(first, "later.example", "later"))

        second.engine.stop(later)
        eventually(lambda: ask(first.port, host="later.example").status == 503)

        assert serves(first, "there.example", "there")
        assert serves(second, "there.example", "there")
