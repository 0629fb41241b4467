"""In each example, routes follow the containers: more, fewer, new ones, none, and back again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.compose import Stack
from tests.e2e.conftest import EXAMPLES, RunFile
from tests.e2e.engine import Container, run
from tests.e2e.redis_client import run_id
from tests.e2e.visitor import fetch, fetch_tls
from tests.eventually import eventually

pytestmark = pytest.mark.docker

VISITS = 12


class Subject:
    """A web service of an example: its containers, and which of them answers a visitor."""

    service = "appone"
    replicas = 1
    """The number of its containers that the file starts."""

    def __init__(self, stack: Stack, *, host: str = "appone.example.com", query: str = "") -> None:
        self.stack = stack
        self._host = host
        self._path = f"/hostname.txt{query}"

    def containers(self) -> set[str]:
        """Make each container answer with its name, and return these names."""
        return {name_of(container) for container in self.stack.containers(self.service)}

    def visit(self) -> str:
        """Return the name of the container that answers, or the status code if it is not 200."""
        answer = fetch(self.stack.port, self._path, host=self._host)
        return answer.body.strip() if answer.status == 200 else str(answer.status)

    def is_down(self) -> bool:
        return self.visit() == "503"


class SimpleSubject(Subject):
    """A web service of simple routing."""

    def __init__(self, stack: Stack, *, host: str, service: str = "web", replicas: int = 1) -> None:
        super().__init__(stack, host=host)
        self.service = service
        self.replicas = replicas


class TlsSubject(Subject):
    """A web service that answers over TLS only."""

    def visit(self) -> str:
        answer = fetch_tls(self.stack.ports["HTTPS_PORT"], self._path, host=self._host)
        return answer.body.strip() if answer.status == 200 else str(answer.status)


class RedisSubject(Subject):
    """The replicas, and the master, which does not change."""

    service = "redis-slave"

    def containers(self) -> set[str]:
        found = [*self.stack.containers(self.service), self.stack.container("redis-master")]
        return {
            line.removeprefix("run_id:")
            for container in found
            for line in container.call("redis-cli", "info", "server").split()
            if line.startswith("run_id:")
        }

    def visit(self) -> str:
        return run_id(self.stack.ports["REDIS_PORT"])

    def is_down(self) -> bool:
        return {self.visit() for _ in range(VISITS)} == self.containers()


SUBJECTS: dict[str, Callable[[Stack], Subject]] = {
    "access-log": Subject,
    "basic": Subject,
    "client-in-cluster": Subject,
    "custom-503": Subject,
    "default-backend": lambda stack: Subject(stack, host=""),
    "https": TlsSubject,
    "redis-tcp": RedisSubject,
    "simple-basic": lambda stack: SimpleSubject(stack, host="wordpress.localhost"),
    "simple-blue-green": lambda stack: SimpleSubject(stack, host="shop.example.com", service="blue"),
    "simple-context-path": lambda stack: SimpleSubject(stack, host="wp.sample.com"),
    "simple-local": lambda stack: SimpleSubject(stack, host="restserver.local", service="restserver", replicas=2),
    "simple-redirect": lambda stack: SimpleSubject(stack, host="www.example.com"),
    "stats-page": Subject,
    "sticky-session": Subject,
    "url-parameter": lambda stack: Subject(stack, host="www.example.com", query="?backend=appone"),
    "wildcard-domain": Subject,
}


def name_of(container: Container) -> str:
    return container.call("sh", "-c", "hostname | tee /usr/share/nginx/html/hostname.txt").strip()


def expect_only(subject: Subject) -> set[str]:
    """Wait until exactly the service's containers answer visitors. Return their names."""
    names = eventually(subject.containers)
    eventually(lambda: {subject.visit() for _ in range(VISITS)} == names, timeout=20.0)
    return names


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest, run_file: RunFile, tmp_path: Path) -> Subject:
    folder = EXAMPLES / request.param
    script = folder / "make-certificates.sh"
    if script.exists():
        folder = shutil.copytree(folder, tmp_path / folder.name)
        assert run(str(folder / script.name)).code == 0
    return SUBJECTS[request.param](run_file(folder / "compose.yml"))


def test_no_example_is_left_out() -> None:
    assert sorted(file.parent.name for file in EXAMPLES.glob("*/compose.yml")) == sorted(SUBJECTS)


def test_route_follows_the_containers(subject: Subject) -> None:
    """One test for the whole sequence, because each step starts where the one before has ended."""
    stack, service = subject.stack, subject.service
    others = len(expect_only(subject)) - subject.replicas

    stack.scale(service, 3)
    assert len(expect_only(subject)) == 3 + others

    stack.scale(service, 1)
    before = expect_only(subject)
    assert len(before) == 1 + others

    stack.recreate(service)
    assert len(expect_only(subject) - before) == subject.replicas

    stack.stop(service)
    eventually(subject.is_down)

    stack.start(service)
    assert len(expect_only(subject)) == subject.replicas + others
