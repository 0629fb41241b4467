"""Stacks on the Swarm: deployed, changed and removed by the docker command line, as an operator does it.

Commands do not wait until the Swarm has done what they ask for: a test waits for what it needs, with `eventually`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.e2e.engine import docker
from tests.eventually import eventually
from tests.real.steps import run
from tests.real.swarm import Swarm
from tests.real.swarm_node import SwarmNode

STACK_LABEL = "com.docker.stack.namespace"
SERVICE_LABEL = "com.docker.swarm.service.name"
_LONGEST_START_SECONDS = 20.0
_LONGEST_UPDATE_SECONDS = 60.0


def docker_on(node: SwarmNode, *words: str) -> str:
    """Run the docker command line against a node's engine. Raises CommandError, on which `eventually` tries again."""
    return docker("--host", node.docker_host, *words)


@dataclass(frozen=True, slots=True)
class Task:
    """A running container of a service, and the node on which it runs."""

    node: SwarmNode
    container: str

    @property
    def hostname(self) -> str:
        return self.container[:12]

    def call(self, *command: str) -> str:
        """Run a command in the container and return its output."""
        return docker_on(self.node, "exec", self.container, *command)


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack of this name. Names of services are those of the stack file, without the stack's name."""

    swarm: Swarm
    name: str

    @property
    def manager(self) -> SwarmNode:
        """Return a manager: it passes to the leader what only that can do."""
        return self.swarm.managers[0]

    def deploy(self, text: str) -> None:
        """Deploy a stack file, or a new version of it. Images are those that the nodes have."""
        words = ("stack", "deploy", "--resolve-image", "never", "--compose-file", "-", self.name)
        run("docker", "--host", self.manager.docker_host, *words, stdin=text.encode())

    def scale(self, service: str, replicas: int) -> None:
        docker_on(self.manager, "service", "scale", "--detach", f"{self.name}_{service}={replicas}")

    def update(self, service: str, *options: str) -> None:
        """Change a service, with options of `docker service update`."""
        docker_on(self.manager, "service", "update", "--detach", "--no-resolve-image", *options, f"{self.name}_{service}")

    def await_update(self, service: str) -> None:
        """Wait until the last update of a service is completed."""
        form = ("--format", "{{.UpdateStatus.State}}")
        inspect = ("service", "inspect", *form, f"{self.name}_{service}")
        eventually(lambda: docker_on(self.manager, *inspect) == "completed", _LONGEST_UPDATE_SECONDS)

    def tasks(self, service: str) -> list[Task]:
        """Return the running containers of a service, as the engines themselves list them, sorted by node."""
        label = f"label={SERVICE_LABEL}={self.name}_{service}"
        found = {node: docker_on(node, "ps", "--quiet", "--no-trunc", "--filter", label) for node in self._running_nodes()}
        return [Task(node, container) for node, listed in found.items() for container in listed.split()]

    def await_tasks(self, service: str, count: int) -> list[Task]:
        """Wait until this many containers of a service run, and return them."""
        eventually(lambda: len(self.tasks(service)) == count, _LONGEST_START_SECONDS)
        return self.tasks(service)

    def remove(self) -> None:
        """Remove the stack, and wait until no node has a container or network of it."""
        docker_on(self.manager, "stack", "rm", self.name)
        eventually(lambda: not self._leftovers(), _LONGEST_UPDATE_SECONDS)

    def _leftovers(self) -> list[str]:
        own = ("--quiet", "--filter", f"label={STACK_LABEL}={self.name}")
        commands = (("ps", "--all", *own), ("network", "ls", *own))
        return [docker_on(node, *words) for node in self._running_nodes() for words in commands if docker_on(node, *words)]

    def _running_nodes(self) -> list[SwarmNode]:
        return [node for node in self.swarm.nodes if node.answers()]


@contextmanager
def running_stack(swarm: Swarm, name: str, text: str) -> Iterator[Stack]:
    """Deploy a stack file. When the block ends, bring back the nodes that it has lost, and remove the stack."""
    stack = Stack(swarm, name)
    stack.deploy(text)
    try:
        yield stack
    finally:
        swarm.restore()
        stack.remove()
