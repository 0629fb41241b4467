"""Probes that the proxy runs itself: new containers wait for their first good answer, running ones keep their traffic."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import pytest

from proxy.adapters.engine.docker_engine import DockerEngine
from proxy.adapters.probes.probes import Probes, answers
from proxy.core.containers.addresses import Endpoint, Reach
from proxy.core.containers.containers import Container, Health, State
from proxy.core.labels.probing import Target
from proxy.core.model.spec_index import Key
from proxy.core.trigger import Trigger
from tests.eventually import eventually
from tests.haproxy.backend_server import BackendServer, run_backend
from tests.ports import free_port
from tests.simple import simple_container

KEY: Key = ("docker", "1")
KNOWN, NEW = frozenset({"docker"}), frozenset[str]()
"""`new_sources` of a first reading, and of a later one."""


@pytest.fixture
def backend() -> Iterator[BackendServer]:
    with run_backend("web-1") as backend:
        yield backend


class Overlay:
    """Probes with the triggers that they have put. There is no engine."""

    def __init__(self) -> None:
        self.triggers: list[Trigger] = []
        self.probes = Probes(DockerEngine({"DOCKER_HOST": f"tcp://127.0.0.1:{free_port()}"}), Reach(), self.triggers.append)

    def health(self, container: Container | None, new_sources: frozenset[str] = NEW) -> Health | None:
        """Return the health of the container with the probe of its labels."""
        laid_over = self.probes.lay_over({KEY: container}, None, new_sources)[KEY]
        return laid_over.health if laid_over else None

    def eventual_health(self, container: Container, expected: Health) -> None:
        """Wait for a change, and then for this health."""
        eventually(lambda: KEY in self.probes.changed())
        assert self.health(container) is expected


@pytest.fixture
def overlay() -> Iterator[Overlay]:
    overlay = Overlay()
    yield overlay
    overlay.health(None)


def test_container_without_a_probe_is_as_the_engine_says(overlay: Overlay) -> None:
    container = dataclasses.replace(simple_container(), health=Health.HEALTHY)

    assert {KEY: container} == overlay.probes.lay_over({KEY: container}, None, NEW)


def test_new_container_waits_for_its_first_good_answer(overlay: Overlay, backend: BackendServer) -> None:
    container = simple_container(probe__url=f"http://container:{backend.port}/ping?x=1")

    assert overlay.health(container) is Health.STARTING
    overlay.eventual_health(container, Health.HEALTHY)
    assert ("GET", "/ping?x=1") in backend.targets()
    assert "container web-1: its probe says healthy" == overlay.triggers[0].reason


def test_container_that_ran_before_is_taken_at_its_word(overlay: Overlay) -> None:
    container = simple_container(probe__url=f"http://container:{free_port()}/ping")

    assert overlay.health(container, KNOWN) is Health.NONE


def test_container_created_less_than_its_delay_ago_still_waits(overlay: Overlay) -> None:
    container = simple_container(probe__url="tcp://container:80", probe__initial_delay_seconds="600")
    young = dataclasses.replace(container, created=int(time.time()) - 10)

    assert overlay.health(young, KNOWN) is Health.STARTING
    assert overlay.health(dataclasses.replace(container, created=int(time.time()) - 700), KNOWN) is Health.STARTING
    overlay.health(None)
    assert overlay.health(dataclasses.replace(container, created=int(time.time()) - 700), KNOWN) is Health.NONE


def test_nobody_is_asked_before_the_initial_delay(overlay: Overlay, backend: BackendServer) -> None:
    url = f"http://container:{backend.port}/"
    first = simple_container(probe__url=f"{url}first", probe__initial_delay_seconds="0.5")
    second = simple_container(probe__url=f"{url}second")
    overlay.probes.lay_over({KEY: first, ("docker", "2"): second}, None, NEW)

    eventually(lambda: len(backend.seen) == 2)

    assert ["/second", "/first"] == [seen.target for seen in backend.seen]
    overlay.probes.lay_over({("docker", "2"): None}, None, NEW)


def test_restarted_container_begins_anew(overlay: Overlay, backend: BackendServer) -> None:
    container = simple_container(probe__url=f"http://container:{backend.port}/ping")
    overlay.health(container)
    overlay.eventual_health(container, Health.HEALTHY)

    overlay.health(dataclasses.replace(container, state=State.STOPPED))

    assert overlay.health(container) is Health.STARTING


def test_lost_engine_changes_no_health_and_is_told_once(overlay: Overlay, caplog: pytest.LogCaptureFixture) -> None:
    container = simple_container(probe__cmd="true")

    assert overlay.health(container, KNOWN) is Health.NONE
    eventually(lambda: caplog.messages)

    assert ["container web-1 cannot be probed"] == [message.partition(":")[0] for message in caplog.messages]
    assert set() == overlay.probes.changed()
    assert overlay.health(container) is Health.NONE


@pytest.mark.parametrize(
    ("path", "expected"), [("/ping", True), ("/broken", False), ("", True)], ids=["2xx", "5xx", "connects"]
)
def test_answer_is_judged_as_haproxy_does(backend: BackendServer, path: str, expected: bool) -> None:
    assert expected == answers(Endpoint("127.0.0.1", backend.port), Target(port=80, path=path), 2.0)


def test_answer_that_does_not_come_in_time_is_bad(backend: BackendServer) -> None:
    assert not answers(Endpoint("127.0.0.1", backend.port), Target(port=80, path="/slow"), 0.1)


def test_nobody_listening_is_a_bad_answer() -> None:
    assert not answers(Endpoint("127.0.0.1", free_port()), Target(port=80), 0.1)
