"""The view of an engine follows its events, at the cost of what they name. The engine is a fake."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import pytest

from proxy.adapters.engine.docker_source import MAX_LOOKS, DockerSource, find_own_container_id
from proxy.core.containers.containers import Attachment, ContainerPort, Snapshot, State
from proxy.core.trigger import Trigger
from proxy.errors import SourceError
from tests.eventually import eventually

Document = Mapping[str, Any]


class FakeStream:
    """Events from a queue; None ends the stream, an error breaks it."""

    def __init__(self) -> None:
        self.items: SimpleQueue[Document | SourceError | None] = SimpleQueue()

    def __iter__(self) -> Iterator[Document]:
        while (item := self.items.get()) is not None:
            if isinstance(item, SourceError):
                raise item
            yield item

    def close(self) -> None:
        self.items.put(None)


class FakeEngine:
    """Containers as inspection documents, and a record of what was asked."""

    address = "unix:///fake.sock"

    def __init__(self, *documents: Document) -> None:
        self.documents = {document["Id"]: document for document in documents}
        self.calls: list[str] = []
        self.streams: list[FakeStream] = []
        self.since: list[int | None] = []
        self.is_lost = False

    def list_containers(self) -> list[Document]:
        self._ask("list")
        return [self._entry(document) for document in self.documents.values()]

    def find_container(self, container_id: str) -> Document | None:
        self._ask(f"find {container_id}")
        document = self.documents.get(container_id)
        is_listed = document and document["State"]["Status"] in ("running", "paused", "restarting")
        return self._entry(document) if document and is_listed else None

    @staticmethod
    def _entry(document: Document) -> Document:
        return {
            "Id": document["Id"],
            "Names": [document["Name"]],
            "State": document["State"]["Status"],
            "HostConfig": {"NetworkMode": document["HostConfig"]["NetworkMode"]},
            "NetworkSettings": document["NetworkSettings"],
        }

    def inspect_container(self, container: str) -> Document | None:
        self._ask(f"inspect {container}")
        return self.documents.get(container)

    def open_events(self, since: int | None) -> FakeStream:
        self._ask("events")
        self.since.append(since)
        self.streams.append(FakeStream())
        return self.streams[-1]

    def _ask(self, call: str) -> None:
        if self.is_lost:
            raise SourceError("the engine is away")
        self.calls.append(call)


class Watched:
    """A source with a running watch thread, and the triggers it has put."""

    def __init__(self, engine: FakeEngine, own_container_id: str | None = None) -> None:
        self.source = DockerSource(engine, own_container_id)
        self.triggers: list[Trigger] = []
        self.thread = threading.Thread(target=self.source.watch, args=(self.triggers.append,), daemon=True)
        self._engine = engine

    def send(self, event: Document) -> None:
        """Let the engine tell an event, and wait until it has been passed on."""
        known = len(self.triggers)
        self._engine.streams[-1].items.put(event)
        eventually(lambda: len(self.triggers) > known)


@contextmanager
def watched(engine: FakeEngine, own_container_id: str | None = None) -> Iterator[Watched]:
    """A source that is connected to `engine`."""
    running = Watched(engine, own_container_id)
    running.thread.start()
    eventually(lambda: running.triggers)
    try:
        yield running
    finally:
        running.source.stop()
        running.thread.join(5)
        assert not running.thread.is_alive()


def make_document(container_id: str, **keys: Any) -> dict[str, Any]:
    networks = {"shop": {"IPAddress": "10.1.0.2", "Gateway": "10.1.0.1"}}
    return {
        "Id": container_id,
        "Name": f"/{container_id}",
        "State": {"Status": "running"},
        "Config": {"Env": [f"NAME={container_id}"], "ExposedPorts": {"80/tcp": {}}},
        "HostConfig": {"NetworkMode": "shop"},
        "NetworkSettings": {"Networks": networks},
    } | keys


def make_event(container_id: str, action: str = "start", seen: int = 1, **attributes: str) -> Document:
    labels = {"aliyun.proxy.VIRTUAL_HOST": f"{container_id}.example.com"}
    actor = {"ID": container_id, "Attributes": {"name": container_id, **labels, **attributes}}
    return {"Type": "container", "Action": action, "Actor": actor, "time": seen}


def ids_of(snapshot: Snapshot) -> list[str]:
    return [container.id for container in snapshot.containers]


def test_first_read_is_one_list_call() -> None:
    engine = FakeEngine(make_document("b"), make_document("a"))

    snapshot = DockerSource(engine, None).read()

    assert ids_of(snapshot) == ["a", "b"]
    assert engine.calls == ["list"]


def test_read_without_a_hint_asks_nothing() -> None:
    engine = FakeEngine(make_document("a"))
    source = DockerSource(engine, None)
    first = source.read()
    engine.calls.clear()

    assert source.read() == first
    assert engine.calls == []


def test_one_event_costs_one_look_at_its_container() -> None:
    engine = FakeEngine(make_document("a"))
    with watched(engine) as running:
        running.source.read()
        engine.documents["b"] = make_document("b")
        engine.calls.clear()

        running.send(make_event("b"))

        assert ids_of(running.source.read()) == ["a", "b"]
        assert engine.calls == ["find b"]
        assert running.triggers[-1] == Trigger(reason="container b: start", container_id="b")


@pytest.mark.parametrize(("action", "kind"), [("start", "look"), ("kill", "urgent"), ("die", "urgent")])
def test_end_of_a_container_is_urgent(action: str, kind: str) -> None:
    with watched(FakeEngine(make_document("a"))) as running:
        running.send(make_event("a", action))

        assert kind == running.triggers[-1].kind


def test_hinted_container_looks_as_if_it_were_listed() -> None:
    engine = FakeEngine(make_document("a"))
    with watched(engine) as running:
        listed = running.source.read()

        running.send(make_event("a"))

        assert running.source.read() == listed


@pytest.mark.parametrize("document", [None, make_document("a", State={"Status": "exited"})], ids=["gone", "exited"])
def test_ended_container_leaves_the_snapshot(document: Document | None) -> None:
    engine = FakeEngine(make_document("a"), make_document("b"))
    with watched(engine) as running:
        running.source.read()
        engine.documents = {"b": engine.documents["b"]} | ({"a": document} if document else {})

        running.send(make_event("a", "die"))

        assert ids_of(running.source.read()) == ["b"]


def test_many_hints_are_one_list_call() -> None:
    engine = FakeEngine(*(make_document(f"c{number}") for number in range(MAX_LOOKS + 1)))
    with watched(engine) as running:
        running.source.read()
        engine.calls.clear()

        for container_id in engine.documents:
            running.send(make_event(container_id))
        running.source.read()

        assert engine.calls == ["list"]


def test_failed_read_raises_and_the_next_one_makes_it_good() -> None:
    engine = FakeEngine(make_document("a"))
    with watched(engine) as running:
        running.source.read()
        engine.documents["b"] = make_document("b")
        running.send(make_event("b"))
        engine.is_lost = True
        with pytest.raises(SourceError, match="the engine is away"):
            running.source.read()
        engine.is_lost = False

        snapshot = running.source.read()

        assert ids_of(snapshot) == ["a", "b"]


def test_invalidate_lists_everything() -> None:
    engine = FakeEngine(make_document("a"))
    source = DockerSource(engine, None)
    source.read()
    engine.documents = {"b": make_document("b")}

    source.invalidate()

    assert ids_of(source.read()) == ["b"]


def test_own_container_is_the_proxy_and_no_backend() -> None:
    engine = FakeEngine(make_document("own"), make_document("a"))

    snapshot = DockerSource(engine, "own").read()

    assert ids_of(snapshot) == ["a"]
    assert snapshot.proxy is not None
    assert snapshot.proxy.networks == (Attachment(network="shop", address="10.1.0.2", gateway="10.1.0.1"),)


def test_own_container_that_the_engine_does_not_know_means_outside() -> None:
    """The proxy then runs in a container of another engine, or on a host with a name like an id."""
    engine = FakeEngine(make_document("a"))

    assert DockerSource(engine, "deadbeef1234").read().proxy is None


def test_linked_container_has_alias_and_environment_and_others_have_not() -> None:
    own = make_document("own", HostConfig={"NetworkMode": "shop", "Links": ["/a:/own/web"]})
    engine = FakeEngine(own, make_document("a"), make_document("b"))

    linked, other = DockerSource(engine, "own").read().containers

    assert (linked.alias, linked.environment) == ("web", {"NAME": "a"})
    assert (other.alias, other.environment) == ("", {})
    assert engine.calls == ["inspect own", "list", "inspect a"]


def test_inspection_of_a_linked_container_is_not_repeated() -> None:
    own = make_document("own", HostConfig={"NetworkMode": "shop", "Links": ["/a:/own/web"]})
    engine = FakeEngine(own, make_document("a"))
    source = DockerSource(engine, "own")
    source.read()
    engine.calls.clear()

    source.invalidate()
    source.read()

    assert engine.calls == ["inspect own", "list"]


def test_change_of_the_own_container_looks_at_everything() -> None:
    engine = FakeEngine(make_document("own"), make_document("a"))
    with watched(engine, "own") as running:
        running.source.read()
        engine.documents["own"] = make_document("own", HostConfig={"NetworkMode": "shop", "Links": ["/a:/own/web"]})

        running.send(make_event("own", "update"))

        assert [container.alias for container in running.source.read().containers] == ["web"]


def test_container_on_the_host_network_has_its_exposed_ports() -> None:
    engine = FakeEngine(make_document("a", HostConfig={"NetworkMode": "host"}))

    (container,) = DockerSource(engine, None).read().containers

    assert container.ports == (ContainerPort(number=80),)


@pytest.mark.parametrize("owner", ["a", "own"], ids=["of a backend", "of the proxy"])
def test_borrowed_network_is_the_owners(owner: str) -> None:
    borrower = make_document("z", HostConfig={"NetworkMode": f"container:{owner}"}, NetworkSettings={"Networks": {}})
    engine = FakeEngine(make_document("own"), make_document("a"), borrower)

    container = DockerSource(engine, "own").read().containers[-1]

    assert container.networks == (Attachment(network="shop", address="10.1.0.2", gateway="10.1.0.1"),)


def test_repeated_health_is_no_trigger() -> None:
    engine = FakeEngine(make_document("a"))
    with watched(engine) as running:
        running.send(make_event("a", "health_status: healthy"))
        engine.streams[-1].items.put(make_event("a", "health_status: healthy"))

        running.send(make_event("a", "health_status: unhealthy"))

        assert [trigger.reason for trigger in running.triggers] == [
            "engine connected",
            "container a: health_status healthy",
            "container a: health_status unhealthy",
        ]


def test_lost_engine_is_told_once_and_connected_again_from_the_last_event(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    engine = FakeEngine(make_document("a"))
    with watched(engine) as running:
        running.source.read()
        running.send(make_event("a", seen=1700000000))
        engine.documents = {"b": make_document("b")}
        engine.is_lost = True
        engine.streams[-1].items.put(SourceError("the stream broke"))
        eventually(lambda: caplog.messages)
        engine.is_lost = False

        eventually(lambda: len(engine.streams) == 2 and "connected" in running.triggers[-1].reason)

        assert engine.since == [None, 1700000000]
        assert ids_of(running.source.read()) == ["b"]
        assert caplog.messages == [
            "the stream broke; the last known containers stay in force, trying again",
            "engine at unix:///fake.sock is back",
        ]


def test_stop_before_the_watch_begins_ends_it() -> None:
    engine = FakeEngine()
    source = DockerSource(engine, None)
    triggers: list[Trigger] = []

    source.stop()
    source.watch(triggers.append)

    assert ([], []) == (engine.calls, triggers)


CONTAINER_ID = "4d764b29e905ec90183d1b7c3ea3121caab60fcc680cd81afa20b3e5ca613130"


@pytest.mark.parametrize(
    ("mountinfo", "hostname", "expected"),
    [
        pytest.param(
            f"900 800 8:1 /var/lib/docker/containers/{CONTAINER_ID}/hostname /etc/hostname rw - ext4 /dev/sda1 rw",
            "web",
            CONTAINER_ID,
            id="docker",
        ),
        pytest.param(
            f"900 800 8:1 /overlay-containers/{CONTAINER_ID}/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw",
            "web",
            CONTAINER_ID,
            id="podman",
        ),
        pytest.param(
            f"900 800 8:1 / /var/lib/docker/containers/{CONTAINER_ID}/mounts/shm rw - tmpfs shm rw",
            "host1",
            None,
            id="host that shows its containers",
        ),
        pytest.param("", CONTAINER_ID[:12], CONTAINER_ID[:12], id="default host name"),
        pytest.param("", "deadbeef", None, id="host name that is too short for an id"),
    ],
)
def test_own_container_is_found(mountinfo: str, hostname: str, expected: str | None) -> None:
    assert find_own_container_id(mountinfo, hostname) == expected


def test_stop_signal_marks_a_container_as_stopping_before_it_dies() -> None:
    engine = FakeEngine(make_document("a", Config={"StopSignal": "SIGQUIT"}))
    with watched(engine) as running:
        running.source.read()

        running.send(make_event("a", "kill", signal="3"))

        assert [State.STOPPING] == [container.state for container in running.source.read().containers]


def test_signal_that_does_not_stop_a_container_changes_nothing() -> None:
    engine = FakeEngine(make_document("a"))
    with watched(engine) as running:
        running.source.read()

        running.send(make_event("a", "kill", signal="1"))

        assert [State.RUNNING] == [container.state for container in running.source.read().containers]


def test_container_that_lives_on_after_its_stop_signal_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.adapters.engine.docker_view.STOP_GRACE_SECONDS", 0.1)
    monkeypatch.setattr("proxy.adapters.engine.docker_view.USUAL_PATIENCE_SECONDS", 0)
    engine = FakeEngine(make_document("a", Config={"StopTimeout": 0}))
    with watched(engine) as running:
        running.source.read()
        running.send(make_event("a", "kill", signal="15"))
        running.source.read()

        eventually(lambda: [State.RUNNING] == [container.state for container in running.source.read().containers])


def test_event_of_a_container_without_our_labels_costs_nothing() -> None:
    engine = FakeEngine(make_document("a"))
    with watched(engine) as running:
        running.source.read()
        engine.calls.clear()
        unlabelled = {"Type": "container", "Action": "start", "Actor": {"ID": "x", "Attributes": {"name": "x"}}, "time": 2}

        engine.streams[-1].items.put(unlabelled)
        running.send(make_event("a"))
        running.source.read()

        assert ["find a"] == engine.calls
