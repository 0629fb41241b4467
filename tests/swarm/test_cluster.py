"""A global service of proxies on a real Swarm: each node routes to the containers of all."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.visitor import fetch
from tests.eventually import eventually
from tests.real.steps import run
from tests.real.swarm import Swarm
from tests.real.swarm_node import SwarmNode
from tests.swarm.stack import Stack, running_stack

pytestmark = pytest.mark.swarm

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "swarm"
HOST = "shop.example.com"
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
        yield stack


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
        eventually(lambda node=node: answering_often(node) == tasks)


def test_scaled_service_is_followed_on_every_node(stack: Stack) -> None:
    for count in (5, 2, 3):
        stack.scale("web", count)
        tasks = {task.hostname for task in stack.await_tasks("web", count)}
        for node in stack.swarm.nodes:
            eventually(lambda node=node, tasks=tasks: answering_often(node, 20) == tasks)
