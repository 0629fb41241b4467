"""A Compose project for tests: one of our Compose files, started with a unique name and unique host ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.engine import Container, docker, engine_socket
from tests.ports import free_low_port

PORT_VARIABLES = ("HTTP_PORT", "HTTPS_PORT", "STATS_PAGE_PORT", "REDIS_PORT")


class Stack:
    """The containers of one Compose file. Host ports and the engine's socket are passed to the file as variables."""

    def __init__(self, file: Path, project: str, variables: Mapping[str, str] | None = None) -> None:
        self.project = project
        self._file = file
        self.ports = {name: free_low_port() for name in PORT_VARIABLES}
        self._variables = {
            "DOCKER_SOCKET": engine_socket(),
            **{name: str(port) for name, port in self.ports.items()},
            **(variables or {}),
        }

    @property
    def port(self) -> int:
        """Return the host port of the proxy's port 80."""
        return self.ports["HTTP_PORT"]

    def up(self, *options: str) -> None:
        """Start what is not running, and wait until the engine has started it."""
        self._compose("up", "--detach", *options)

    def scale(self, service: str, count: int) -> None:
        """Run `count` containers of the service. The other services stay as they are."""
        self._compose("up", "--detach", "--no-recreate", "--no-deps", "--scale", f"{service}={count}", service)

    def recreate(self, service: str) -> None:
        """Replace the service's containers by new ones."""
        self._compose("up", "--detach", "--no-deps", "--force-recreate", service)

    def stop(self, service: str) -> None:
        self._compose("stop", service)

    def start(self, service: str) -> None:
        self._compose("start", service)

    def remove(self, *services: str) -> None:
        """Stop and remove the services' containers."""
        self._compose("rm", "--stop", "--force", "--volumes", *services)

    def down(self) -> None:
        """Remove everything at once, whatever state it is in."""
        self._compose("down", "--volumes", "--remove-orphans", "--timeout", "0")

    def containers(self, service: str) -> list[Container]:
        """Return the service's running containers, sorted by name."""
        names = self._compose("ps", "--format", "{{.Name}}", service).split()
        return [Container(name) for name in sorted(names)]

    def container(self, service: str) -> Container:
        """Return the only container of the service."""
        (container,) = self.containers(service)
        return container

    def call(self, service: str, *command: str) -> str:
        """Run a command in the only container of the service. Raises CommandError when it fails."""
        return self.container(service).call(*command)

    def _compose(self, *arguments: str) -> str:
        command = ("compose", "--project-name", self.project, "--file", str(self._file), *arguments)
        return docker(*command, environment=self._variables)


@contextmanager
def running_stack(file: Path, project: str, variables: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Start a Compose file; remove its containers, networks and volumes at the end."""
    stack = Stack(file, project, variables)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
