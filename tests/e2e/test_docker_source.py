"""The source of containers with a real engine: the proxy's own, and that of another node of its cluster."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from proxy.adapters.engine.docker_engine import DockerEngine
from proxy.adapters.engine.docker_source import DockerSource
from proxy.core.containers.containers import Container, ContainerPort, Health, State
from proxy.core.containers.docker_json import has_foreign_network, parse_inspected, parse_listed
from proxy.core.trigger import Trigger
from tests.e2e.compose import running_stack
from tests.e2e.seen_engine import SeenEngine
from tests.eventually import eventually

pytestmark = pytest.mark.docker

IMAGE = "nginx:alpine"
LABELS = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
RunContainer = Callable[..., str]


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    with contextlib.closing(docker.from_env()) as client:
        yield client


@pytest.fixture
def network(client: docker.DockerClient) -> Iterator[str]:
    network = client.networks.create(f"source-{uuid.uuid4().hex[:8]}")
    yield str(network.name)
    network.remove()


@pytest.fixture
def run_container(client: docker.DockerClient, network: str) -> Iterator[RunContainer]:
    """Start a container of the test and return its id. All are removed before `network` is."""
    started = []

    def run(**options: Any) -> str:
        # Events of a container without a label of ours are ignored, so each container gets one.
        options["labels"] = {"aliyun.proxy.required": "true", **options.get("labels", {})}
        container = client.containers.run(IMAGE, detach=True, name=f"source-{uuid.uuid4().hex[:8]}", **options)
        started.append(container)
        return str(container.id)

    yield run
    for container in started:
        with contextlib.suppress(docker.errors.NotFound):
            container.remove(force=True, v=True)


@pytest.fixture
def own_engine() -> DockerEngine:
    """The proxy's own engine: links are those of its own container."""
    return DockerEngine(os.environ)


class Watched:
    """A source with a running watch thread, and the triggers it has put."""

    def __init__(self, source: DockerSource) -> None:
        self.source = source
        self.triggers: list[Trigger] = []
        self.thread = threading.Thread(target=self.source.watch, args=(self.triggers.append,), daemon=True)
        self.thread.start()

    def saw(self, container_id: str, action: str) -> bool:
        return any(trigger.container_id == container_id and trigger.reason.endswith(action) for trigger in self.triggers)

    def find(self, container_id: str) -> Container | None:
        return find(self.source, container_id)


@contextlib.contextmanager
def watching(source: DockerSource) -> Iterator[Watched]:
    """Yield a source that is connected and has listed everything."""
    running = Watched(source)
    eventually(lambda: running.triggers)
    running.source.read()
    yield running
    running.source.stop()
    running.thread.join(5)
    assert not running.thread.is_alive()


@pytest.fixture
def watched(seen: SeenEngine) -> Iterator[Watched]:
    with watching(seen.source()) as running:
        yield running


def find(source: DockerSource, container_id: str) -> Container | None:
    found = {container.id: container for container in source.read().containers}
    return found.get(container_id)


def test_list_and_inspection_agree(run_container: RunContainer, network: str, seen: SeenEngine) -> None:
    check = {"test": ["CMD", "true"], "interval": 10**9}
    own = [
        run_container(ports={"80/tcp": None, "81/tcp": ("127.0.0.1", None)}, labels=LABELS),
        run_container(network=network, healthcheck=check),
        run_container(network_mode="host", entrypoint=["sleep", "60"]),
    ]
    own.append(run_container(network_mode=f"container:{own[1]}", entrypoint=["sleep", "60"]))
    eventually(lambda: parse_inspected(seen.engine.inspect_container(own[1]) or {}).health == Health.HEALTHY)

    listed = {entry["Id"]: parse_listed(entry) for entry in seen.engine.list_containers()}
    inspected = {container_id: parse_inspected(seen.engine.inspect_container(container_id) or {}) for container_id in own}

    assert [replace(inspected[key], environment={}) for key in own] == [
        replace(listed[key], ports=inspected[key].ports) if has_foreign_network(listed[key]) else listed[key] for key in own
    ]


def test_container_is_seen_from_start_to_removal(
    run_container: RunContainer, watched: Watched, client: docker.DockerClient
) -> None:
    container_id = run_container(labels=LABELS, ports={"80/tcp": None})
    eventually(lambda: watched.saw(container_id, "start"))
    started = watched.find(container_id)
    assert started is not None
    assert (started.project, started.service, started.state) == ("shop", "web", State.RUNNING)
    published = next(one for one in client.api.port(container_id, 80) if one["HostIp"] == "0.0.0.0")
    assert ContainerPort(number=80, published=True, host_port=int(published["HostPort"])) in started.ports
    assert started.networks[0].address

    client.api.pause(container_id)
    eventually(lambda: watched.saw(container_id, "pause"))
    paused = watched.find(container_id)
    assert paused is not None
    assert paused.state == State.PAUSED

    client.api.remove_container(container_id, force=True)
    eventually(lambda: watched.find(container_id) is None)


def test_joined_network_is_seen(
    run_container: RunContainer, network: str, watched: Watched, client: docker.DockerClient
) -> None:
    container_id = run_container()
    eventually(lambda: watched.saw(container_id, "start"))

    client.networks.get(network).connect(container_id)

    eventually(lambda: watched.saw(container_id, f"connect network {network}"))
    container = watched.find(container_id)
    assert container is not None
    assert network in [attachment.network for attachment in container.networks]


def test_commands_run_in_a_container_are_no_events(
    run_container: RunContainer, watched: Watched, client: docker.DockerClient
) -> None:
    container_id = run_container()
    eventually(lambda: watched.saw(container_id, "start"))

    client.containers.get(container_id).exec_run(["true"])
    client.api.pause(container_id)

    eventually(lambda: watched.saw(container_id, "pause"))
    assert not [trigger.reason for trigger in watched.triggers if "exec" in trigger.reason]


def test_linked_container_has_alias_and_environment(run_container: RunContainer, own_engine: DockerEngine) -> None:
    backend = run_container(environment={"VIRTUAL_HOST": "www.example.com"})
    own = run_container(links={backend: "web-1"})

    source = DockerSource(own_engine, own[:12])

    linked = find(source, backend)
    assert linked is not None
    assert (linked.alias, linked.environment["VIRTUAL_HOST"]) == ("web-1", "www.example.com")
    assert find(source, own) is None


def test_linked_service_is_followed_when_it_is_scaled_and_renamed(
    own_engine: DockerEngine, client: docker.DockerClient, prefix: str
) -> None:
    """Compose writes the links when it makes the proxy's container, and never again."""
    file = Path(__file__).with_name("links.yml")
    with (
        running_stack(file, f"{prefix}links") as stack,
        watching(DockerSource(own_engine, stack.container("lb").inspect("{{.Id}}"))) as running,
    ):

        def linked() -> set[str]:
            found = running.source.read().containers
            return {container.name for container in found if container.environment.get("VIRTUAL_HOST") == "web.example"}

        first = stack.container("web").name
        assert linked() == {first}

        stack.scale("web", 2)

        eventually(lambda: linked() == {first, first.replace("-1", "-2")})
        client.containers.get(first).rename(f"{prefix}renamed")

        eventually(lambda: linked() == {f"{prefix}renamed", first.replace("-1", "-2")})


def test_borrowed_network_is_the_owners(run_container: RunContainer, network: str, seen: SeenEngine) -> None:
    owner = run_container(network=network)
    borrower = run_container(network_mode=f"container:{owner}", entrypoint=["sleep", "60"])
    source = seen.source()

    owning, borrowing = find(source, owner), find(source, borrower)

    assert owning is not None
    assert borrowing is not None
    assert borrowing.networks == owning.networks


def test_ports_are_known_in_a_network_without_forwarding(
    run_container: RunContainer, client: docker.DockerClient, seen: SeenEngine
) -> None:
    """The list has no ports for it, as in a macvlan, which not every kernel has."""
    internal = client.networks.create(f"source-{uuid.uuid4().hex[:8]}", internal=True)
    try:
        container_id = run_container(network=internal.name)
        found = find(seen.source(), container_id)
        assert found is not None
        assert (ContainerPort(number=80),) == found.ports
    finally:
        client.containers.get(container_id).remove(force=True)
        internal.remove()


def test_stop_ends_a_silent_stream_at_once(seen: SeenEngine) -> None:
    running = Watched(seen.source())
    eventually(lambda: running.triggers)

    running.source.stop()

    eventually(lambda: not running.thread.is_alive())
