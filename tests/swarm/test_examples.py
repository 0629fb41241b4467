"""Each stack file of `examples/swarm` does what its first lines promise: every node answers with the containers of all."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
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
KEY = "a secret that only this test knows"
NAME_FILE = "name.txt"
"""A page with the container's name. The web server of the examples has no such page, so the test adds it."""
JOIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A stack file, and what its first lines say: the names of the stack and of the proxy, the host and the port."""

    file: str
    stack: str
    proxy: str
    host: str
    port: int

    def name_at(self, node: SwarmNode, headers: Mapping[str, str] | None = None) -> str:
        """Return the name of the container that answers at a node; empty where none does."""
        answer = fetch(self.port, f"/{NAME_FILE}", address=node.address, host=self.host, headers=headers)
        return answer.body.strip() if answer.status == http.client.OK else ""


CUSTOM = Example(file="custom-routing.yml", stack="shop", proxy="lb", host="shop.example.com", port=80)
SIMPLE = Example(file="simple-routing.yml", stack="simple", proxy="acsrouting", host="wordpress.example.com", port=9080)


@pytest.fixture(scope="module")
def secret(swarm: Swarm) -> Iterator[None]:
    """Create the secret of the cluster, as the examples tell their users to."""
    manager = swarm.managers[0].docker_host
    run("docker", "--host", manager, "secret", "create", "proxy_cluster_key", "-", stdin=KEY.encode())
    yield
    run("docker", "--host", manager, "secret", "rm", "proxy_cluster_key")


@pytest.fixture(scope="module", params=[CUSTOM, SIMPLE], ids=lambda example: example.stack)
def deployed(request: pytest.FixtureRequest, swarm: Swarm, secret: None) -> Iterator[tuple[Example, Stack]]:
    """Deploy each example as it is, and wait for its proxies."""
    example: Example = request.param
    with running_stack(swarm, example.stack, (EXAMPLES / example.file).read_text()) as stack:
        stack.await_tasks(example.proxy, len(swarm.nodes))
        yield example, stack


def test_every_node_answers_with_the_containers_of_all(deployed: tuple[Example, Stack]) -> None:
    example, stack = deployed
    for count in (3, 6):
        stack.scale("web", count)
        await_answers(example, stack, name_containers(stack, count))

    (proxy, *_) = [task for task in stack.tasks(example.proxy) if task.node in stack.swarm.workers]
    routes = proxy.call("proxy", "routes")
    assert example.host in routes
    assert all(f"on node {node.name}" in routes for node in stack.swarm.managers)


@pytest.mark.parametrize("deployed", [SIMPLE], ids=lambda example: example.stack, indirect=True)
def test_visitor_with_cookies_stays_on_one_container_at_every_node(deployed: tuple[Example, Stack]) -> None:
    example, stack = deployed
    names = name_containers(stack, len(stack.tasks("web")))
    await_answers(example, stack, names)

    answer = fetch(example.port, f"/{NAME_FILE}", address=stack.swarm.nodes[0].address, host=example.host)
    cookies = "; ".join(line.partition(";")[0] for line in answer.set_cookies)
    again = {example.name_at(node, {"Cookie": cookies}) for node in stack.swarm.nodes for _ in range(6)}

    assert {answer.body.strip()} == again


def await_answers(example: Example, stack: Stack, names: set[str]) -> None:
    """Wait until each node answers with exactly these containers."""
    for node in stack.swarm.nodes:
        eventually(partial(answers_with, example, node, names), JOIN_SECONDS)


def answers_with(example: Example, node: SwarmNode, names: set[str]) -> bool:
    return {example.name_at(node) for _ in range(4 * len(names))} == names


def name_containers(stack: Stack, count: int) -> set[str]:
    """Wait for this many web servers, let each answer with its name, and return the names."""
    tasks = stack.await_tasks("web", count)
    for task in tasks:
        task.call("sh", "-c", f"hostname > /usr/share/nginx/html/{NAME_FILE}")
    return {task.hostname for task in tasks}
