"""What a Swarm's managers tell: labels of services, which containers do not carry, and nodes that are down."""

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


def make_task(name: str, backend: BackendServer, **labels: str) -> StubContainer:
    """Return a container of the service `s1`, whose host is a label of the service."""
    return StubContainer(
        name=name, service="web", swarm_service="s1", labels=labels, port=backend.port, address=backend.address
    )


def labels_for(host: str) -> dict[str, str]:
    return {"aliyun.proxy.VIRTUAL_HOST": host}


def is_gone(node: Node, host: str) -> bool:
    return ask(node.port, host=host).status == 503


def serves(node: Node, host: str, server: str) -> bool:
    answer = ask(node.port, host=host)
    return (answer.status, answer.server) == (200, server)


@pytest.fixture
def nodes(haproxy_binary: str, tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    """A worker and a manager, whose engines run."""
    worker, manager = Node(tmp_path, "worker", haproxy_binary), Node(tmp_path, "manager", haproxy_binary)
    with worker.running_engine(), manager.running_engine():
        manager.engine.services = {"s1": labels_for("first.example")}
        yield worker, manager


def test_worker_learns_labels_of_services_from_the_proxy_of_a_manager(nodes: tuple[Node, Node], product: Product) -> None:
    worker, manager = nodes
    worker.engine.start(make_task("web-1", product.backend("web-1")))
    with worker.running(manager, ROUTE_LINGER="0"), manager.running(worker, ROUTE_LINGER="0"):
        eventually(lambda: serves(worker, "first.example", "web-1"))

        manager.engine.set_service("s1", labels_for("second.example"))

        eventually(lambda: serves(worker, "second.example", "web-1"))
        eventually(lambda: serves(manager, "second.example", "web-1"))
        assert "second.example" in worker.run("routes", others=(manager,)).stdout
        assert "stub:web" in worker.run("weight", others=(manager,)).stdout

        manager.engine.set_service("s1", {})

        eventually(lambda: is_gone(worker, "second.example"))
    assert not any("/services" in request or "/nodes" in request for request in worker.engine.requests)


def test_proxy_that_is_restarted_keeps_routes_of_labels_of_services(nodes: tuple[Node, Node], product: Product) -> None:
    worker, manager = nodes
    worker.engine.start(make_task("web-1", product.backend("web-1")))
    with manager.running(worker):
        with worker.running(manager):
            eventually(lambda: serves(worker, "first.example", "web-1"))
            eventually(lambda: worker.says("new backend stub:web"))
            eventually(lambda: "web-1" in (worker.folder / "state" / "current" / "haproxy.cfg").read_text())
        with worker.running(manager):
            eventually(lambda: worker.log.read_text().count("was compared with") == 2)
            assert serves(worker, "first.example", "web-1")

    assert not worker.says("removed")


def test_proxy_on_a_manager_without_a_cluster_knows_labels_of_services(nodes: tuple[Node, Node], product: Product) -> None:
    _, manager = nodes
    alone = {"PROXY_CLUSTER": "", "PROXY_CLUSTER_KEY_FILE": ""}
    manager.engine.start(make_task("web-1", product.backend("web-1")))
    with manager.running(**alone):
        eventually(lambda: serves(manager, "first.example", "web-1"))
        own = product.backend("own")
        manager.engine.start(make_task("web-2", own, **labels_for("own.example")))

        eventually(lambda: serves(manager, "own.example", "own"))


def test_containers_of_a_node_that_is_killed_go_when_a_manager_calls_it_down(
    nodes: tuple[Node, Node], product: Product
) -> None:
    worker, manager = nodes
    worker.engine.start(make_task("web-1", product.backend("web-1")))
    with manager.running(worker, ROUTE_LINGER="0"):
        with worker.running(manager) as process:
            eventually(lambda: serves(manager, "first.example", "web-1"))
        assert process.wait(timeout=30) == 0
        eventually(lambda: "cannot be asked" in manager.log.read_text() or "does not tell" in manager.log.read_text())
        assert serves(manager, "first.example", "web-1")

        manager.engine.set_down("worker")

        eventually(lambda: is_gone(manager, "first.example"))
        with worker.running(manager):
            eventually(lambda: serves(manager, "first.example", "web-1"))
            # Only then it ends the streams of events that the other one reads when it is stopped.
            eventually(lambda: worker.log.read_text().count("was compared with") == 2)
