"""A container of a real engine gets no traffic from its own stop signal on, for as long as a stop may take."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import docker
import pytest

from proxy.core.containers.containers import State
from tests.e2e.follower import Follower, following
from tests.e2e.seen_engine import SeenEngine
from tests.eventually import eventually

pytestmark = pytest.mark.docker

LABELS = {"aliyun.proxy.VIRTUAL_HOST": "www.example.com"}
DEAF = ["sh", "-c", "trap : TERM QUIT INT HUP USR1; while :; do sleep 0.2; done"]
RunDeaf = Callable[..., str]


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    with contextlib.closing(docker.from_env()) as client:
        yield client


@pytest.fixture
def run_deaf(client: docker.DockerClient) -> Iterator[RunDeaf]:
    """Start a container that no signal but SIGKILL ends, and return its id."""
    started = []

    def run(**options: Any) -> str:
        name = f"deaf-{uuid.uuid4().hex[:8]}"
        started.append(
            client.containers.run("nginx:alpine", entrypoint=DEAF, detach=True, name=name, labels=LABELS, **options)
        )
        return str(started[-1].id)

    yield run
    for container in started:
        container.remove(force=True, v=True)


@pytest.fixture(scope="module")
def follower(client: docker.DockerClient, seen: SeenEngine) -> Iterator[Follower]:
    with pytest.MonkeyPatch.context() as patch, following(seen.source()) as follower:
        patch.setattr("proxy.adapters.engine.stop_questions.DELAY_SECONDS", 0.0)
        yield follower


def is_stopping(follower: Follower, container_id: str) -> bool:
    return follower.containers[container_id].state is State.STOPPING


@pytest.mark.parametrize("stop_signal", ["SIGTERM", "SIGQUIT", "SIGUSR1", "SIGRTMIN+3"])
def test_only_its_own_stop_signal_takes_a_container_out(
    client: docker.DockerClient, run_deaf: RunDeaf, follower: Follower, stop_signal: str
) -> None:
    container_id = run_deaf(stop_signal=stop_signal)
    eventually(lambda: container_id in follower.containers)
    others = [name for name in ("SIGHUP", "SIGQUIT", "SIGINT", "SIGTERM", "SIGUSR1") if name != stop_signal]

    for other in others:
        before = follower.count(": kill")
        client.api.kill(container_id, other)
        eventually(partial(_is_told, follower, before))
    assert {State.RUNNING} == set(follower.states[container_id])
    client.api.kill(container_id, stop_signal)

    eventually(lambda: is_stopping(follower, container_id))


def _is_told(follower: Follower, kills_before: int) -> bool:
    return follower.count(": kill") > kills_before


@pytest.mark.soak
@pytest.mark.parametrize("options", [{"stop_signal": "SIGQUIT"}, {}], ids=["signal of its own", "usual signal"])
def test_container_is_out_until_the_end_of_a_long_stop(
    client: docker.DockerClient, run_deaf: RunDeaf, follower: Follower, options: dict[str, str]
) -> None:
    container_id = run_deaf(**options)
    eventually(lambda: container_id in follower.containers)

    with ThreadPoolExecutor(1) as pool:
        stop = pool.submit(client.api.stop, container_id, timeout=20)
        eventually(lambda: is_stopping(follower, container_id))
        before = len(follower.states[container_id])
        stop.result()
    eventually(lambda: container_id not in follower.containers)

    assert {State.STOPPING} >= set(follower.states[container_id][before:])
