"""The source is right after every event of a real engine, though the engine's list lags its own events by some milliseconds.

Nothing but events leads to a look here, so what one look got wrong would stay wrong.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from itertools import takewhile
from typing import NamedTuple

import docker
import pytest

from proxy.adapters.engine.docker_engine import DockerEngine
from proxy.core.containers.containers import Container, Health, State
from tests.e2e.follower import Follower, following
from tests.e2e.seen_engine import SeenEngine
from tests.eventually import eventually

pytestmark = pytest.mark.docker

IMAGE = "nginx:alpine"
CHECK = {"test": ["CMD", "test", "!", "-e", "/sick"], "interval": 10**8, "retries": 1}


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    with contextlib.closing(docker.from_env()) as client:
        yield client


@pytest.fixture(scope="module")
def network(client: docker.DockerClient) -> Iterator[str]:
    network = client.networks.create(f"events-{uuid.uuid4().hex[:8]}")
    yield str(network.name)
    network.remove()


@pytest.fixture(scope="module")
def container_id(client: docker.DockerClient, network: str) -> Iterator[str]:
    labels = {"aliyun.proxy.VIRTUAL_HOST": "www.example.com"}
    name = f"events-{uuid.uuid4().hex[:8]}"
    container = client.containers.run(IMAGE, detach=True, name=name, labels=labels, healthcheck=CHECK)
    yield str(container.id)
    container.remove(force=True, v=True)


@pytest.fixture(scope="module")
def follower(container_id: str, seen: SeenEngine) -> Iterator[Follower]:
    with following(seen.source()) as follower:
        yield follower


class Change(NamedTuple):
    """Something that a user does, the last event that it leads to, and what is true of the container then."""

    act: Callable[[docker.APIClient, str, str], object]
    event: str
    expect: Callable[[Container | None, str], bool]


def _run(engine: docker.APIClient, container_id: str, *command: str) -> None:
    engine.exec_start(engine.exec_create(container_id, [*command])["Id"])


def _is_connected(known: Container | None, network: str) -> bool:
    return any(attached.network == network and attached.address for attached in (known.networks if known else ()))


def _is_disconnected(known: Container | None, network: str) -> bool:
    return known is not None and not _is_connected(known, network)


def _is(state: State) -> Callable[[Container | None, str], bool]:
    return lambda known, _network: known is not None and known.state is state


def _is_gone(known: Container | None, _network: str) -> bool:
    return known is None


def _has(health: Health) -> Callable[[Container | None, str], bool]:
    return lambda known, _network: known is not None and known.health is health


def _rename(ending: str) -> Change:
    return Change(
        act=lambda engine, key, network: engine.rename(key, network + ending),
        event="rename",
        expect=lambda known, network: known is not None and known.name == network + ending,
    )


CHANGES = {
    "pause, unpause": (
        Change(lambda engine, key, _: engine.pause(key), ": pause", _is(State.PAUSED)),
        Change(lambda engine, key, _: engine.unpause(key), ": unpause", _is(State.RUNNING)),
    ),
    "commit": (Change(lambda engine, key, network: engine.commit(key, network), ": unpause", _is(State.RUNNING)),),
    "connect, disconnect": (
        Change(lambda engine, key, network: engine.connect_container_to_network(key, network), ": connect", _is_connected),
        Change(
            lambda engine, key, network: engine.disconnect_container_from_network(key, network),
            ": disconnect",
            _is_disconnected,
        ),
    ),
    "kill, start": (
        Change(lambda engine, key, _: engine.kill(key), ": die", _is_gone),
        Change(lambda engine, key, _: engine.start(key), ": start", _is(State.RUNNING)),
    ),
    "restart": (Change(lambda engine, key, _: engine.restart(key), ": start", _is(State.RUNNING)),),
    "rename": (_rename("-1"), _rename("-2")),
    "health": (
        Change(lambda engine, key, _: _run(engine, key, "touch", "/sick"), "unhealthy", _has(Health.UNHEALTHY)),
        Change(lambda engine, key, _: _run(engine, key, "rm", "/sick"), "status healthy", _has(Health.HEALTHY)),
    ),
}


@pytest.mark.parametrize("rounds", [pytest.param(2, id="short"), pytest.param(20, id="long", marks=pytest.mark.soak)])
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_source_is_right_after_every_event(
    changes: tuple[Change, ...],
    rounds: int,
    client: docker.DockerClient,
    container_id: str,
    network: str,
    follower: Follower,
) -> None:
    for change in changes * rounds:
        told = follower.count(change.event)

        change.act(client.api, container_id, network)

        eventually(partial(_is_right, follower, change, told, container_id, network), timeout=3.0)


def _is_right(follower: Follower, change: Change, told: int, container_id: str, network: str) -> bool:
    is_told = follower.count(change.event) > told
    return is_told and change.expect(follower.containers.get(container_id), network)


def test_stream_begins_before_it_is_opened(client: docker.DockerClient, container_id: str) -> None:
    """The first list may not show yet what has happened just before."""
    client.api.pause(container_id)
    stream = DockerEngine(os.environ).open_events(None)
    client.api.unpause(container_id)

    with contextlib.closing(stream):
        actions = list(takewhile(lambda action: action != "unpause", (document["Action"] for document in stream)))

    assert "pause" in actions
