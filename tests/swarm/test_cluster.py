"""A global service of proxies on a real Swarm: each node routes to the containers of all."""

from __future__ import annotations

import http.client
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.load import Load, under_load
from tests.e2e.visitor import fetch
from tests.eventually import eventually
from tests.real.steps import run
from tests.real.swarm import Swarm
from tests.real.swarm_node import SwarmNode
from tests.swarm.stack import Stack, docker_on, running_stack

pytestmark = pytest.mark.swarm

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "swarm"
HOST = "shop.example.com"
PORT_BY_HAND = 8081
CONNECTIONS = 2 * (os.cpu_count() or 1)
"""How many connections to a container one HAProxy may keep: each of its threads one for each of the two visitors."""
NOTICED_SECONDS = 10.0
"""After this time, HAProxy's checks have found a container dead (`inter 2000 fall 3`)."""
KEY = "a secret that only this test knows"


@pytest.fixture(scope="module")
def secret(swarm: Swarm) -> Iterator[None]:
    """Create the secret of the cluster, as the examples tell their users to."""
    manager = swarm.managers[0].docker_host
    run("docker", "--host", manager, "secret", "create", "proxy_cluster_key", "-", stdin=KEY.encode())
    yield
    run("docker", "--host", manager, "secret", "rm", "proxy_cluster_key")


@pytest.fixture(scope="module")
def stack(swarm: Swarm, secret: None) -> Iterator[Stack]:
    text = (EXAMPLES / "custom-routing.yml").read_text().replace("${WEB_IMAGE:-nginx:alpine}", "proxy-test/backend")
    with running_stack(swarm, "shop", text) as stack:
        stack.await_tasks("lb", len(swarm.nodes))
        stack.await_tasks("web", 3)
        await_answers(stack)
        yield stack


@pytest.fixture
def spread(stack: Stack) -> Stack:
    """The stack with a container of the service on every node: a Swarm does not move them back by itself."""
    nodes = set(stack.swarm.nodes)
    if {task.node for task in stack.tasks("web")} != nodes:
        stack.update("web", "--force")
        stack.await_update("web")
    assert nodes == {task.node for task in stack.await_tasks("web", 3)}
    await_answers(stack)
    return stack


def answering(node: SwarmNode) -> str:
    """Return the host name of the container that answers a request at a node; empty where none does."""
    answer = fetch(80, address=node.address, host=HOST)
    return str(json.loads(answer.body)["hostname"]) if answer.status == http.client.OK else ""


def answering_often(node: SwarmNode, count: int = 12) -> set[str]:
    return {answering(node) for _ in range(count)}


def test_every_node_answers_with_the_containers_of_all(stack: Stack) -> None:
    tasks = {task.hostname for task in stack.tasks("web")}
    assert 3 == len(tasks)

    for node in stack.swarm.nodes:
        await_answers(stack, [node])


def test_service_is_scaled_under_load(stack: Stack) -> None:
    with loaded(stack) as load:
        for count in (5, 2, 3):
            stack.scale("web", count)
            await_answers(stack)
            load.wait_for(50)

    expect_served(load)


def test_rolling_update_under_load(stack: Stack) -> None:
    before = {task.hostname for task in stack.tasks("web")}
    with loaded(stack) as load:
        stack.update("web", "--env-add", "VERSION=2")
        stack.await_update("web")
        await_answers(stack)

    assert not before & {task.hostname for task in stack.tasks("web")}
    expect_served(load)


def test_proxy_that_is_restarted_costs_the_other_nodes_nothing(stack: Stack) -> None:
    (worker,) = stack.swarm.workers
    others = [node for node in stack.swarm.nodes if node != worker]
    (proxy,) = [task for task in stack.tasks("lb") if task.node == worker]
    with loaded(stack, others) as load:
        docker_on(worker, "rm", "--force", proxy.container)
        eventually(lambda: {task.container for task in stack.tasks("lb") if task.node == worker} - {proxy.container}, 20)
        await_answers(stack)

    expect_served(load)


def test_node_that_is_killed_costs_only_what_was_inside_it(spread: Stack) -> None:
    stack = spread
    (worker,) = stack.swarm.workers
    others = [node for node in stack.swarm.nodes if node != worker]
    with loaded(stack, others) as load:
        load.wait_for(20)
        worker.kill_engine()
        killed_at = time.monotonic()
        eventually(lambda: not {task for task in stack.tasks("web") if task.node == worker}, 20)
        await_answers(stack, others, count=3)
        worker.start_engine()
        stack.await_tasks("lb", len(stack.swarm.nodes))
        await_answers(stack)

    expect_served(load, lost_at=killed_at, connections=CONNECTIONS * len(others))


def test_without_any_manager_new_containers_are_still_routed(spread: Stack) -> None:
    """Both managers are lost. The worker routes to what it runs, old or new, and knows the rest again when they are back."""
    (worker,) = spread.swarm.workers
    for manager in spread.swarm.managers:
        manager.kill_engine()
    eventually(lambda: answering_often(worker, 4) == own_hostnames(spread, worker), 30)

    with loaded(spread, [worker]) as load, container_by_hand(spread, worker):
        eventually(partial(answers_by_hand, worker))
        for manager in spread.swarm.managers:
            manager.launch_engine()
        for manager in spread.swarm.managers:
            manager.await_engine()
        eventually(spread.swarm.leader, 60)
        spread.await_tasks("lb", len(spread.swarm.nodes))
        await_answers(spread)
        for node in spread.swarm.nodes:
            eventually(partial(answers_by_hand, node))

    expect_served(load)


def test_partition_that_heals(spread: Stack) -> None:
    """A node that is cut off goes on with what it runs; so do the others. What changes meanwhile is known after it."""
    (worker,) = spread.swarm.workers
    others = [node for node in spread.swarm.nodes if node != worker]
    with loaded(spread, others) as load:
        load.wait_for(20)
        worker.cut()
        cut_at = time.monotonic()
        with container_by_hand(spread, worker):
            load.wait_for(200)
            worker.heal()
            for node in spread.swarm.nodes:
                eventually(partial(answers_by_hand, node), 60)
        await_answers(spread)

    expect_served(load, lost_at=cut_at, connections=CONNECTIONS * len(others))


def test_labels_of_a_service_itself_count_on_every_node(stack: Stack) -> None:
    """Containers do not carry them; the proxy on the worker hears of them from the others."""
    with service_with_labels(stack, "plain", "plain.example.com"):
        for node in stack.swarm.nodes:
            eventually(partial(answers_for, node, "plain.example.com"), 20)

        stack.update("plain", "--label-add", "aliyun.proxy.VIRTUAL_HOST=http://other.example.com")

        for node in stack.swarm.nodes:
            eventually(partial(answers_for, node, "other.example.com"))


@contextmanager
def service_with_labels(stack: Stack, name: str, host: str) -> Iterator[None]:
    """Run a service of the stack, with a label of its own that its containers do not get, while the block runs."""
    scope = ("--container-label", f"com.docker.stack.namespace={stack.name}")
    label = ("--label", f"aliyun.proxy.VIRTUAL_HOST=http://{host}")
    words = ("--detach", "--no-resolve-image", "--network", f"{stack.name}_front", *scope, *label)
    docker_on(stack.manager, "service", "create", "--name", f"{stack.name}_{name}", *words, "proxy-test/backend")
    try:
        yield
    finally:
        docker_on(stack.manager, "service", "rm", f"{stack.name}_{name}")


def answers_for(node: SwarmNode, host: str) -> bool:
    return fetch(80, address=node.address, host=host).status == http.client.OK


@contextmanager
def container_by_hand(stack: Stack, node: SwarmNode) -> Iterator[None]:
    """Run a container that no Swarm manages, in the scope of the stack, while the block runs.

    It uses the network of a container of the service, for only a manager could give it an address.
    """
    (owner,) = [task for task in stack.tasks("web") if task.node == node]
    labels = {
        "com.docker.stack.namespace": stack.name,
        "aliyun.proxy.VIRTUAL_HOST": "http://by-hand.example.com",
        "aliyun.proxy.PORTS": str(PORT_BY_HAND),
    }
    words = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
    network = ("--network", f"container:{owner.container}", "--env", f"PORTS={PORT_BY_HAND}")
    docker_on(node, "run", "--detach", "--name", "by-hand", *network, *words, "proxy-test/backend")
    try:
        yield
    finally:
        docker_on(node, "rm", "--force", "by-hand")


def answers_by_hand(node: SwarmNode) -> bool:
    return answers_for(node, "by-hand.example.com")


def own_hostnames(stack: Stack, node: SwarmNode) -> set[str]:
    return {task.hostname for task in stack.tasks("web") if task.node == node}


def await_answers(stack: Stack, nodes: Sequence[SwarmNode] = (), count: int = 0) -> None:
    """Wait until each node answers with exactly the containers that run."""

    def answers_with_all(node: SwarmNode) -> bool:
        tasks = {task.hostname for task in stack.tasks("web")}
        return len(tasks) >= count and answering_often(node, 4 * len(tasks)) == tasks

    for node in nodes or stack.swarm.nodes:
        eventually(partial(answers_with_all, node), 60)


@contextmanager
def loaded(stack: Stack, nodes: Sequence[SwarmNode] = ()) -> Iterator[Load]:
    """Let visitors ask these nodes, or all, for the service while the block runs."""
    addresses = [node.address for node in nodes or stack.swarm.nodes]
    with under_load(80, host=HOST, visitors_of_each_kind=1, addresses=addresses) as load:
        yield load


def expect_served(load: Load, *, lost_at: float = math.inf, connections: int = 0) -> None:
    """Expect that all requests were answered, but for those that were inside what was lost at `lost_at`.

    Each of so many `connections` that HAProxy had to it may have held one request, or got one more before HAProxy's checks
    noticed that nobody is there.
    """
    print(f"{len(load.statuses)} requests were answered; inside what was lost: {load.failures or 'none'}")
    assert {http.client.OK} == set(load.statuses)
    assert len(load.failures) <= connections
    assert all("timed out" in text for text in load.failures)
    assert all(began <= lost_at + NOTICED_SECONDS for began in load.failures_began)
