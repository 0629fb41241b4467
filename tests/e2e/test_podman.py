"""The source of containers with a real Podman: it works like an engine of Docker."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container as EngineContainer

from proxy.adapters.engine.docker_engine import DockerEngine
from proxy.adapters.engine.docker_source import DockerSource
from proxy.core.containers.containers import Container, ContainerPort, Health, State
from tests.e2e.follower import Follower, following
from tests.eventually import eventually
from tests.podman import Podman, podman_client, running_podman

pytestmark = pytest.mark.docker

LABELS = {"aliyun.proxy.VIRTUAL_HOST": "www.example.com"}
RunContainer = Callable[..., EngineContainer]


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    # A socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="podman-") as folder, running_podman(Path(folder)) as podman:
        yield podman


@pytest.fixture(scope="module")
def client(podman: Podman) -> Iterator[docker.DockerClient]:
    with podman_client(podman) as client:
        yield client


@pytest.fixture(scope="module")
def follower(podman: Podman) -> Iterator[Follower]:
    with following(DockerSource(DockerEngine({"DOCKER_HOST": podman.host}), None)) as follower:
        yield follower


@pytest.fixture
def run_container(podman: Podman, client: docker.DockerClient) -> Iterator[RunContainer]:
    started = []

    def run(**options: Any) -> EngineContainer:
        options = {"labels": LABELS, "name": f"events-{uuid.uuid4().hex[:8]}", **options}
        started.append(client.containers.run(podman.image, detach=True, **options))
        return started[-1]

    yield run
    for container in reversed(started):  # who borrows a network goes before its owner
        with contextlib.suppress(docker.errors.NotFound):
            container.remove(force=True)


def find(follower: Follower, container: EngineContainer) -> Container | None:
    return follower.containers.get(str(container.id))


def becomes(follower: Follower, container: EngineContainer, state: State | None) -> None:
    """Wait until the source says that the container has this state; None for one that is gone."""
    eventually(lambda: (known.state if (known := find(follower, container)) else None) is state)


def test_container_is_followed_from_start_to_removal(run_container: RunContainer, follower: Follower) -> None:
    container = run_container()
    becomes(follower, container, State.RUNNING)

    container.pause()
    becomes(follower, container, State.PAUSED)
    container.unpause()
    becomes(follower, container, State.RUNNING)
    container.stop(timeout=1)
    becomes(follower, container, None)
    container.start()
    becomes(follower, container, State.RUNNING)
    container.kill()
    becomes(follower, container, None)
    container.start()
    becomes(follower, container, State.RUNNING)
    starts = follower.count(": start")
    container.restart(timeout=1)
    eventually(lambda: follower.count(": start") > starts)
    becomes(follower, container, State.RUNNING)
    container.remove(force=True)
    becomes(follower, container, None)


def test_ports_are_those_that_are_exposed_and_those_that_are_published(
    run_container: RunContainer, follower: Follower
) -> None:
    exposed = run_container()
    both = run_container(ports={"81/tcp": None})
    on_the_host = run_container(network_mode="host")
    becomes(follower, on_the_host, State.RUNNING)

    ports = {container.id: container.ports for container in follower.containers.values()}

    assert (ContainerPort(number=80),) == ports[str(exposed.id)] == ports[str(on_the_host.id)]
    exposed_port, published_port = ports[str(both.id)]
    assert ContainerPort(number=80) == exposed_port
    assert (81, True, True) == (published_port.number, published_port.published, published_port.host_port > 0)
    assert all(known.networks[0].address for known in (find(follower, exposed), find(follower, both)) if known)


def test_container_that_ran_before_is_as_one_that_has_started(
    run_container: RunContainer, follower: Follower, podman: Podman
) -> None:
    container, paused = run_container(), run_container()
    paused.pause()
    becomes(follower, paused, State.PAUSED)

    with following(DockerSource(DockerEngine({"DOCKER_HOST": podman.host}), None)) as later:
        assert find(follower, container) == find(later, container)
        assert find(follower, paused) == find(later, paused)


def test_joined_network_and_new_name_are_seen(
    run_container: RunContainer, follower: Follower, client: docker.DockerClient
) -> None:
    container, network = run_container(), client.networks.create(f"events-{uuid.uuid4().hex[:8]}")
    becomes(follower, container, State.RUNNING)

    def networks() -> list[str]:
        known = find(follower, container)
        return [attached.network for attached in known.networks] if known else []

    network.connect(str(container.id))
    eventually(lambda: network.name in networks())
    network.disconnect(str(container.id))
    eventually(lambda: network.name not in networks())
    container.rename(f"{network.name}-renamed")
    eventually(lambda: (known := find(follower, container)) and known.name == f"{network.name}-renamed")
    network.remove()


def test_borrowed_network_is_the_owners(run_container: RunContainer, follower: Follower) -> None:
    owner = run_container(labels={})
    borrower = run_container(network_mode=f"container:{owner.id}")

    becomes(follower, borrower, State.RUNNING)

    owner.reload()
    borrowing = find(follower, borrower)
    assert borrowing is not None
    assert owner.attrs["NetworkSettings"]["IPAddress"] == borrowing.networks[0].address
    assert (ContainerPort(number=80),) == borrowing.ports


def test_health_is_seen(run_container: RunContainer, follower: Follower, podman: Podman) -> None:
    check = {"test": ["CMD", "/catatonit", "--version"], "interval": 10**12}
    container = run_container(healthcheck=check)
    eventually(lambda: (known := find(follower, container)) and known.health is Health.STARTING)

    podman.run("healthcheck", "run", str(container.id))

    eventually(lambda: (known := find(follower, container)) and known.health is Health.HEALTHY)
