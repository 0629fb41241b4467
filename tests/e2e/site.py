"""A proxy's site: test backends in a separate Compose project, started and stopped through the engine's API."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import docker
import docker.errors

from tests.e2e.visitor import fetch
from tests.eventually import eventually
from tests.ports import free_low_port

IMAGE = "proxy-test/backend"


@dataclass(slots=True, kw_only=True)
class Site:
    """A proxy, and the containers that tests start in a separate project behind it."""

    project: str
    port: int
    client: docker.DockerClient
    groups: dict[str, list[Any]] = field(default_factory=dict)
    count: int = 0

    def host(self, service: str) -> str:
        return f"{service}.{self.project}.example"

    def start(self, service: str, variables: Mapping[str, str] | None = None, /, **labels: str) -> Any:
        """Start one more container of a service."""
        self.count += 1
        own = {"VIRTUAL_HOST": self.host(service), **labels}
        container = self.client.containers.run(
            IMAGE,
            detach=True,
            name=f"{self.project}-{service}-{self.count}",
            environment={"NAME": service, **(variables or {})},
            labels={
                "com.docker.compose.project": self.project,
                "com.docker.compose.service": service,
                **{f"aliyun.proxy.{name}": value for name, value in own.items()},
            },
        )
        self.groups.setdefault(service, []).append(container)
        return container

    def stop(self, service: str, number: int = 0) -> None:
        """Stop and remove a container of a service; by default the oldest."""
        container = self.groups[service].pop(number)
        container.stop(timeout=10)
        container.remove(v=True)

    def roll(self, service: str, **labels: str) -> None:
        """Replace the containers by new ones with these labels. Each new one must serve before the next is replaced."""
        for _ in range(len(self.groups[service])):
            new = self.start(service, **labels)
            hostname = hostname_of(new)
            eventually(partial(self._is_answered_by, service, hostname))
            self.stop(service)

    def told(self, service: str) -> Mapping[str, Any]:
        """Return what a container of a service reports about itself and about the request."""
        told: Mapping[str, Any] = json.loads(fetch(self.port, host=self.host(service)).body)
        return told

    def hostname(self, service: str) -> str:
        """Return the host name of the container that answers."""
        return str(self.told(service).get("hostname"))

    def _is_answered_by(self, service: str, hostname: str) -> bool:
        return self.hostname(service) == hostname

    def serves(self, service: str) -> bool:
        return fetch(self.port, host=self.host(service)).status == 200

    def end(self) -> None:
        for container in self.client.containers.list(all=True, filters={"name": f"^/{self.project}-"}):
            try:
                container.remove(force=True, v=True)
            except docker.errors.NotFound:
                continue  # it has gone by itself meanwhile


def hostname_of(container: Any) -> str:
    return str(container.id[:12])


def address_of(container: Any) -> str:
    container.reload()
    return str(container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"])


@contextmanager
def running_site() -> Iterator[Site]:
    """Provide a site whose containers are removed when the block ends. The caller starts a proxy on its port."""
    with contextlib.closing(docker.from_env()) as client:
        site = Site(project=f"site{uuid.uuid4().hex[:6]}", port=free_low_port(), client=client)
        try:
            yield site
        finally:
            site.end()
