"""Proxies that share what their engines run: each routes to the containers of all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
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


def test_lost_node_keeps_its_last_word_and_is_followed_again_when_it_is_back(
    nodes: tuple[Node, Node], product: Product
) -> None:
    first, second = nodes
    second.engine.start(make_container("there", product.backend("there"), "there.example"))
    with first.running(second):
        with second.running(first):
            eventually(lambda: serves(first, "there.example", "there"))
        eventually(lambda: first.says(f"problem: the proxy: PROXY_CLUSTER='{second.address}': node second: "))
        assert serves(first, "there.example", "there")

        second.engine.start(make_container("later", product.backend("later"), "later.example"))
        with second.running(first):
            eventually(lambda: serves(first, "later.example", "later"))
            eventually(lambda: first.says(f"problem is gone: the proxy: PROXY_CLUSTER='{second.address}'"))
            assert serves(first, "there.example", "there")


def test_engine_of_another_node_that_is_away_keeps_its_last_word(nodes: tuple[Node, Node], product: Product) -> None:
    first, second = nodes
    second.engine.start(make_container("there", product.backend("there"), "there.example"))
    with first.running(second), second.running(first):
        eventually(lambda: serves(first, "there.example", "there"))
        second.engine.is_broken = True
        second.engine.cut_streams()
        eventually(lambda: first.says("problem: the proxy: PROXY_CLUSTER"))
        assert serves(first, "there.example", "there")

        second.engine.is_broken = False
        second.engine.start(make_container("later", product.backend("later"), "later.example"))
        eventually(lambda: serves(first, "later.example", "later"))


def test_container_that_several_proxies_tell_of_is_one_server(haproxy_binary: str, tmp_path: Path, product: Product) -> None:
    """Two proxies share the engine of the first one."""
    first, second, third = (Node(tmp_path, name, haproxy_binary) for name in ("first", "second", "third"))
    with first.running_engine(), third.running_engine():
        first.engine.start(make_container("web", product.backend("web"), "web.example"))
        shared = {"DOCKER_HOST": first.environment()["DOCKER_HOST"]}
        with first.running(second, third), second.running(first, third, **shared), third.running(first, second):
            for node in (first, second, third):
                eventually(partial(serves, node, "web.example", "web"))
                eventually(partial(has_both_followed, node))
                states = node.haproxy().send("show servers state")
                assert 1 == sum("web." in line for line in states.splitlines())


def has_both_followed(node: Node) -> bool:
    """Return whether both other proxies read the events of the node's engine."""
    sessions = node.haproxy().send("show sess")
    return sum(" fe=cluster " in line and "srv=engine" in line for line in sessions.splitlines()) >= 2


def test_weight_that_is_set_on_one_node_counts_on_all(nodes: tuple[Node, Node], product: Product) -> None:
    first, second = nodes
    second.engine.start(make_container("web", product.backend("web"), "web.example"))
    with first.running(second), second.running(first):
        eventually(lambda: serves(first, "web.example", "web"))
        eventually(lambda: serves(second, "web.example", "web"))

        assert 0 == second.run("weight", "web", "40", others=(first,)).returncode
        eventually(lambda: weight_of(first, second, "stub:web") == "40")
        assert 0 == first.run("weight", "web", "default", others=(second,)).returncode
        eventually(lambda: not weight_of(second, first, "stub:web"))


def weight_of(node: Node, other: Node, service: str) -> str:
    """Return the weight that a user has set for a service, as the node's proxy knows it."""
    rows = [line.split() for line in node.run("weight", others=(other,)).stdout.splitlines()]
    return next((row[1] for row in rows if row[0] == service and row[2] == "proxy"), "")


def test_commands_name_the_node(nodes: tuple[Node, Node], product: Product) -> None:
    first, second = nodes
    second.engine.start(make_container("web", product.backend("web"), "web.example"))
    second.engine.start(make_container("bad", product.backend("bad"), "bad.example", BALANCE="nonsense"))
    with first.running(second), second.running(first):
        eventually(lambda: serves(first, "web.example", "web"))
        routes = first.run("routes", others=(second,)).stdout
        check = first.run("check", others=(second,))

    assert "web.example" in routes
    assert re.search(r"web\.\w+:\d+ on node second", routes)
    assert "problem: container bad on node second: aliyun.proxy.BALANCE='nonsense'" in check.stdout + check.stderr
    assert 1 == check.returncode


def test_stop_waits_for_nobody_who_reads_events(nodes: tuple[Node, Node], product: Product) -> None:
    first, second = nodes
    second.engine.start(make_container("there", product.backend("there"), "there.example"))
    with second.running(first), first.running(second) as process:
        eventually(lambda: serves(first, "there.example", "there"))
        eventually(lambda: " fe=cluster " in first.haproxy().send("show sess"))
        assert 0 == first.run("reload", others=(second,)).returncode
        eventually(lambda: " fe=cluster " in first.haproxy().send("show sess"))
        process.terminate()
        process.wait(timeout=60)

    assert not first.says("still runs after SIGUSR1")


def test_key_that_was_changed_while_the_proxies_were_stopped(nodes: tuple[Node, Node], product: Product) -> None:
    """As when a secret of a Swarm is replaced: HAProxy starts from the files of the old key."""
    first, second = nodes
    second.engine.start(make_container("there", product.backend("there"), "there.example"))
    with first.running(second), second.running(first):
        eventually(lambda: serves(first, "there.example", "there"))
    for node in nodes:
        node.set_key("another secret that only this test knows")

    second.engine.start(make_container("later", product.backend("later"), "later.example"))
    with first.running(second), second.running(first):
        eventually(lambda: serves(first, "later.example", "later"))
        assert serves(first, "there.example", "there")
