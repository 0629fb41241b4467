"""The view of an engine follows its events. An event leads only to requests about what it names. The engine is a fake."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import pytest

from proxy.adapters.engine import untold_changes
from proxy.adapters.engine.docker_source import MAX_LOOKS, DockerSource
from proxy.core.containers.containers import Attachment, ContainerPort, Snapshot, State
from proxy.core.containers.own_container import find_own_container_id
from proxy.core.trigger import Trigger
from proxy.errors import SourceError
from tests.builders import with_labels
from tests.eventually import eventually

Document = Mapping[str, Any]


class FakeStream:
    """Events from a queue. None ends the stream, an error breaks it."""

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
    """Containers as inspection documents, and a record of all requests."""

    address = "unix:///fake.sock"

    def __init__(self, *documents: Document) -> None:
        self.documents = {document["Id"]: document for document in documents}
        self.calls: list[str] = []
        self.streams: list[FakeStream] = []
        self.since: list[int | None] = []
        self.is_lost = False
        self.error: Exception | None = None
        self.unlisted: set[str] = set()  # the next list lacks them, though they run

    def list_containers(self) -> list[Document]:
        self._ask("list")
        unlisted, self.unlisted = self.unlisted, set()
        listed = [document for key, document in self.documents.items() if key not in unlisted]
        return [self._entry(document) for document in listed if self._is_listed(document)]

    def find_container(self, container_id: str) -> Document | None:
        self._ask(f"find {container_id}")
        document = self.documents.get(container_id)
        return self._entry(document) if document and self._is_listed(document) else None

    @staticmethod
    def _is_listed(document: Document) -> bool:
        return document["State"]["Status"] in ("running", "paused", "restarting")

    @staticmethod
    def _entry(document: Document) -> Document:
        return {
            "Id": document["Id"],
            "Names": [document["Name"]],
            "State": document["State"]["Status"],
            "Status": document.get("Status", ""),
            "Labels": document["Config"].get("Labels"),
            "HostConfig": {"NetworkMode": document["HostConfig"]["NetworkMode"]},
            "NetworkSettings": document["NetworkSettings"],
            "Ports": document.get("Ports"),
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
        if self.error:
            raise self.error
        self.calls.append(call)


class Watched:
    """A source with a running watch thread, and the triggers that it has put."""

    def __init__(self, engine: FakeEngine, own_container_id: str | None, named: frozenset[tuple[str, str]]) -> None:
        self.source = DockerSource(engine, own_container_id, named)
        self.triggers: list[Trigger] = []
        self.thread = threading.Thread(target=self.source.watch, args=(self.triggers.append,), daemon=True)
        self._engine = engine

    def send(self, event: Document) -> None:
        """Make the engine report an event, and wait until it has been passed on."""
        known = len(self.triggers)
        self._engine.streams[-1].items.put(event)
        eventually(lambda: len(self.triggers) > known)


@contextmanager
def watched(
    engine: FakeEngine, own_container_id: str | None = None, *, named: frozenset[tuple[str, str]] = frozenset()
) -> Iterator[Watched]:
    """Yield a source that is connected to `engine`."""
    running = Watched(engine, own_container_id, named)
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


def make_labelled(container_id: str, **keys: Any) -> dict[str, Any]:
    """A container with a route, and with its port in the list, so that nothing has to be inspected."""
    keys = {"Ports": [{"PrivatePort": 80, "Type": "tcp"}], **keys}
    return make_document(container_id, Config={"Labels": {"aliyun.proxy.VIRTUAL_HOST": "www.example.com"}}, **keys)


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


def test_many_hints_among_very_many_containers_are_no_list_call() -> None:
    """While ten thousand containers are listed, so many events come that they would be a reason to list all again."""
    engine = FakeEngine(*(make_document(f"c{number}") for number in range(40 * MAX_LOOKS)))
    with watched(engine) as running:
        running.source.read()
        engine.calls.clear()

        for container_id in [*engine.documents][: MAX_LOOKS + 1]:
            running.send(make_event(container_id))
        running.source.read()

        assert "list" not in engine.calls


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
    """The proxy then runs in a container of another engine, or on a host whose name looks like an id."""
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


def make_linking(*links: str) -> dict[str, Any]:
    """Return the proxy's own container, with links as an engine writes them for a network of Compose."""
    own = make_member("own", "lb")
    own["NetworkSettings"] = {"Networks": {"shop": {"IPAddress": "10.1.0.9", "Links": list(links)}}}
    return own


def make_member(container_id: str, service: str, **keys: Any) -> dict[str, Any]:
    """Return a container of the Compose project `shop` without a label of ours."""
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": service}
    return make_document(container_id, Config={"Labels": labels, "Env": [f"NAME={container_id}"]}, **keys)


def make_member_event(container_id: str, service: str, action: str = "start", name: str = "") -> Document:
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": service}
    attributes = {"name": name or container_id, **labels}
    return {"Type": "container", "Action": action, "Actor": {"ID": container_id, "Attributes": attributes}, "time": 1}


def aliases_of(snapshot: Snapshot) -> dict[str, str]:
    return {container.name: container.alias for container in snapshot.containers}


def test_scaled_up_container_of_a_linked_service_is_linked_at_once() -> None:
    engine = FakeEngine(make_linking("shop-web-1:web", "shop-web-1:shop-web-1"), make_member("shop-web-1", "web"))
    with watched(engine, "own") as running:
        running.source.read()
        engine.documents["new"] = make_member("new", "web", Name="/shop-web-2")

        running.send(make_member_event("new", "web", name="shop-web-2"))

        assert aliases_of(running.source.read()) == {"shop-web-1": "web", "shop-web-2": "web"}


def test_renamed_container_stays_linked() -> None:
    """The event names the container as it is called now, and the link does not."""
    engine = FakeEngine(make_linking("lone:web"), make_document("lone"))
    with watched(engine, "own") as running:
        running.source.read()
        engine.documents["lone"] = make_document("lone", Name="/old")
        event = {"Type": "container", "Action": "rename", "Actor": {"ID": "lone", "Attributes": {"name": "old"}}, "time": 1}

        running.send(event)

        assert aliases_of(running.source.read()) == {"old": "web"}


def test_event_of_an_unlinked_service_is_no_trigger() -> None:
    engine = FakeEngine(make_linking("shop-web-1:web"), make_member("shop-web-1", "web"))
    with watched(engine, "own") as running:
        running.source.read()
        engine.streams[-1].items.put(make_member_event("db", "db"))

        running.send(make_member_event("new", "web"))

        assert [trigger.container_id for trigger in running.triggers] == ["", "new"]


def test_events_during_the_first_look_are_passed_on() -> None:
    """It is not known yet whether the proxy links to that container, or another one uses its network."""
    with watched(FakeEngine(make_document("a"))) as running:
        running.send(make_member_event("b", "web"))

        assert running.triggers[-1].container_id == "b"


NAMED = frozenset({("shop", "web")})


def test_named_service_without_a_label_of_ours_counts_as_linked() -> None:
    engine = FakeEngine(make_member("a", "web"), make_member("b", "db"))

    named, other = DockerSource(engine, None, NAMED).read().containers

    assert (named.alias, named.environment) == ("web", {"NAME": "a"})
    assert (other.alias, other.environment) == ("", {})
    assert engine.calls == ["list", "inspect a"]


@pytest.mark.parametrize("label", ["VIRTUAL_HOST", "required", "TCP_PORTS"])
def test_named_service_whose_labels_ask_for_a_route_is_not_linked(label: str) -> None:
    document = make_member("a", "web")
    document["Config"]["Labels"] |= with_labels(**{label: "80", "PORTS": "80"})

    (container,) = DockerSource(FakeEngine(document), None, NAMED).read().containers

    assert (container.alias, container.environment) == ("", {})


def test_container_of_a_named_service_that_starts_later_is_linked_at_once() -> None:
    engine = FakeEngine()
    with watched(engine, named=NAMED) as running:
        running.source.read()
        engine.documents["a"] = make_member("a", "web")
        engine.streams[-1].items.put(make_member_event("b", "db"))

        running.send(make_member_event("a", "web"))

        assert aliases_of(running.source.read()) == {"a": "web"}
        assert [trigger.container_id for trigger in running.triggers] == ["", "a"]


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


def make_borrower(container_id: str, owner: str) -> dict[str, Any]:
    """Return a container with a label of ours that uses the network of `owner`, and has no network of its own."""
    mode = {"NetworkMode": f"container:{owner}"}
    return make_labelled(container_id, HostConfig=mode, NetworkSettings={"Networks": {}}, Ports=[])


def addresses_of(snapshot: Snapshot) -> dict[str, list[str]]:
    return {container.id: [network.address for network in container.networks] for container in snapshot.containers}


def make_unlabelled_event(container_id: str, action: str) -> Document:
    actor = {"ID": container_id, "Attributes": {"name": container_id}}
    return {"Type": "container", "Action": action, "Actor": actor, "time": 1}


def test_borrowed_network_of_an_owner_that_starts_later_is_known_at_once() -> None:
    """The owner has no label of ours, so nothing was known of it when the borrower came."""
    engine = FakeEngine()
    with watched(engine) as running:
        running.source.read()
        engine.documents = {"vpn": make_document("vpn"), "z": make_borrower("z", "vpn")}
        engine.streams[-1].items.put(make_unlabelled_event("vpn", "start"))

        running.send(make_event("z"))

        assert addresses_of(running.source.read_changes()) == {"z": ["10.1.0.2"]}


def test_borrowed_network_of_a_recreated_owner_is_known_at_once() -> None:
    engine = FakeEngine(make_document("vpn"), make_borrower("z", "vpn"))
    with watched(engine) as running:
        running.source.read()
        engine.documents = {"z": make_borrower("z", "vpn")}
        running.send(make_unlabelled_event("vpn", "die"))
        assert addresses_of(running.source.read_changes()) == {"z": []}
        engine.documents = {"new": make_document("new"), "y": make_borrower("y", "new")}
        running.send(make_event("z", "die"))

        running.send(make_event("y"))

        assert addresses_of(running.source.read_changes()) == {"y": ["10.1.0.2"]}


def test_network_is_borrowed_through_another_borrower() -> None:
    engine = FakeEngine(make_document("vpn"), make_borrower("middle", "vpn"), make_borrower("z", "middle"))
    with watched(engine) as running:
        assert addresses_of(running.source.read())["z"] == ["10.1.0.2"]
        engine.documents["vpn"] = make_document("vpn", NetworkSettings={"Networks": {"shop": {"IPAddress": "10.1.0.7"}}})

        running.send(make_unlabelled_event("vpn", "start"))

        assert addresses_of(running.source.read_changes()) == {
            "middle": ["10.1.0.7"],
            "vpn": ["10.1.0.7"],
            "z": ["10.1.0.7"],
        }


def test_containers_that_borrow_from_each_other_have_no_network() -> None:
    """No engine can start them; a wrong answer must not hang the proxy."""
    engine = FakeEngine(make_borrower("a", "b"), make_borrower("b", "a"))

    assert addresses_of(DockerSource(engine, None).read()) == {"a": [], "b": []}


@pytest.mark.parametrize(
    ("labels", "ports"),
    [
        ({"VIRTUAL_HOST": "a.com"}, [80]),
        ({"VIRTUAL_HOST": "a.com", "PORTS": "8080"}, []),
        ({"TCP_PORTS": "80"}, []),
        ({}, []),
    ],
    ids=["virtual host", "names its ports", "has only TCP ports", "is not ours"],
)
def test_ports_that_the_list_lacks_are_asked_for_where_they_matter(labels: dict[str, str], ports: list[int]) -> None:
    """The fake engine lists no ports, as an engine does in a macvlan."""
    config = {"Labels": with_labels(**labels), "ExposedPorts": {"80/tcp": {}}}
    engine = FakeEngine(make_document("a", Config=config))

    (container,) = DockerSource(engine, None).read().containers

    assert [port.number for port in container.ports] == ports
    assert engine.calls == ["list", *["inspect a" for _ in ports]]


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
            "the stream broke; existing routes keep working, and the proxy tries again",
            "the engine at unix:///fake.sock answers again",
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


def is_stopping(running: Watched) -> bool:
    (container,) = (container for container in running.source.read().containers if container.id == "a")
    return container.state is State.STOPPING


@pytest.fixture(autouse=True)
def _asks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.adapters.engine.stop_questions.DELAY_SECONDS", 0.0)


@contextmanager
def watched_stops(**config: Any) -> Iterator[Watched]:
    """Yield a source that knows how its container `a` is stopped."""
    labels = {"aliyun.proxy.VIRTUAL_HOST": "www.example.com"}
    documents = [make_document("a", Config={"Labels": labels, **config}), make_labelled("b")]
    engine = FakeEngine(*documents)
    with watched(engine) as running:
        running.source.read()
        eventually(lambda: "inspect b" in engine.calls)  # the same thread has taken the answer for `a` before
        engine.calls.clear()
        yield running
        assert "inspect a" not in engine.calls


@pytest.mark.parametrize(
    ("config", "number"),
    [
        pytest.param({}, "15", id="usual"),
        pytest.param({"StopSignal": "3"}, "3", id="by number"),
        pytest.param({"StopSignal": "SIGQUIT"}, "3", id="by name"),
        pytest.param({"StopSignal": "winch"}, "28", id="by short name"),
        pytest.param({"StopSignal": "SIGRTMIN+3"}, "37", id="real-time"),
        pytest.param({}, "9", id="kill"),
        pytest.param({"StopSignal": "SIGINT"}, "SIGINT", id="event has a name"),
    ],
)
def test_stop_signal_marks_a_container_as_stopping_before_it_dies(config: dict[str, Any], number: str) -> None:
    with watched_stops(**config) as running:
        running.send(make_event("a", "kill", signal=number))

        assert is_stopping(running)


@pytest.mark.parametrize(
    ("config", "number"),
    [
        pytest.param({}, "1", id="settings are read again"),
        pytest.param({}, "3", id="a Java program prints its threads"),
        pytest.param({}, "2", id="interrupt"),
        pytest.param({}, "10", id="a new log file is begun"),
        pytest.param({"StopSignal": "SIGQUIT"}, "15", id="not the usual stop signal"),
        pytest.param({"StopSignal": "SIGRTMIN+3"}, "36", id="another real-time signal"),
        pytest.param({"StopSignal": "nonsense"}, "2", id="stop signal of no meaning"),
    ],
)
def test_signal_that_is_not_its_stop_signal_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], number: str
) -> None:
    monkeypatch.setattr("proxy.adapters.engine.stopping_containers.ANSWER_SECONDS", 0.0)
    with watched_stops(**config) as running:
        running.send(make_event("a", "kill", signal=number))

        assert not is_stopping(running)


def test_unknown_stop_signal_is_asked_for_when_a_signal_was_sent() -> None:
    """That is so for a container that is told to stop right after the start of the proxy."""
    engine = FakeEngine(make_document("a", Config={"StopSignal": "SIGWINCH"}))
    with watched(engine) as running:
        running.source.read()

        running.send(make_event("a", "kill", signal="28"))

        eventually(lambda: is_stopping(running))


def test_unknown_stop_signal_is_taken_for_the_usual_one_until_the_engine_answers() -> None:
    engine = BusyEngine(make_document("a", Config={"StopSignal": "SIGQUIT"}))
    with watched(engine) as running:
        running.source.read()

        running.send(make_event("a", "kill", signal="15"))
        assert is_stopping(running)
        engine.is_idle.set()

        eventually(lambda: not is_stopping(running))


def test_engine_that_does_not_say_the_stop_signal_at_once_is_busy_with_the_end_of_the_container() -> None:
    engine = BusyEngine(make_document("a"))
    with watched(engine) as running:
        running.source.read()

        running.send(make_event("a", "kill", signal="3"))
        eventually(lambda: is_stopping(running))
        engine.is_idle.set()

        eventually(lambda: not is_stopping(running))


class BusyEngine(FakeEngine):
    """An engine that answers no inspection until it is idle."""

    def __init__(self, *documents: Document) -> None:
        super().__init__(*documents)
        self.is_idle = threading.Event()

    def inspect_container(self, container: str) -> Document | None:
        assert self.is_idle.wait(10)
        return super().inspect_container(container)


@pytest.fixture
def quick_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.adapters.engine.stopping_containers.LONGEST_STOP_SECONDS", 0.1)
    monkeypatch.setattr("proxy.adapters.engine.stopping_containers.STOP_GRACE_SECONDS", 0.0)


@pytest.mark.usefixtures("quick_stops")
def test_container_that_lives_on_after_its_stop_signal_is_taken_back() -> None:
    with watched_stops(StopTimeout=0) as running:
        running.send(make_event("a", "kill", signal="15"))
        assert is_stopping(running)

        eventually(lambda: "container a was told to stop" == running.triggers[-1].reason)
        eventually(lambda: not is_stopping(running))


@pytest.mark.usefixtures("quick_stops")
def test_container_whose_own_stop_takes_longer_is_waited_for() -> None:
    with watched_stops(StopTimeout=3600) as running:
        running.send(make_event("a", "kill", signal="15"))
        time.sleep(0.15)  # no event would show that nothing happens

        assert is_stopping(running)
        assert 2 == len(running.triggers)


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


@pytest.fixture
def quick_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.adapters.engine.docker_source.GRACE_SECONDS", 0.05)


HEALTHY = make_labelled("a", Status="Up 1 second (healthy)")


@pytest.mark.usefixtures("quick_grace")
@pytest.mark.parametrize(
    ("document", "what"),
    [
        (None, "container a is gone"),
        (HEALTHY, "container a has changed"),
        (make_labelled("a", State={"Status": "paused"}), "container a has changed"),
    ],
    ids=["gone", "healthy", "paused"],
)
def test_full_look_that_finds_what_no_event_told_opens_the_stream_again(
    document: Document | None, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    engine = FakeEngine(make_labelled("a"))
    with watched(engine) as running:
        running.source.read()
        running.send(make_event("x", seen=1700000000))
        running.source.read()
        engine.documents = {"a": document} if document else {}

        running.source.invalidate()
        running.source.read()

        eventually(lambda: len(engine.streams) == 2)
        eventually(lambda: "engine connected" == running.triggers[-1].reason)
        assert [None, 1700000000] == engine.since
        assert [
            f"a full rescan found that {what}, but no event said so; "
            "the stream of events of the engine at unix:///fake.sock is opened again"
        ] == caplog.messages


@pytest.mark.usefixtures("quick_grace")
def test_new_container_that_no_event_told_opens_the_stream_again() -> None:
    engine = FakeEngine()
    with watched(engine) as running:
        running.source.read()
        engine.documents = {"a": make_labelled("a"), "b": make_labelled("b")}

        running.source.invalidate()
        running.source.read()

        eventually(lambda: len(engine.streams) == 2)


def is_left_open(engine: FakeEngine, running: Watched) -> bool:
    """Return whether the stream is still the first one after any check of it."""
    time.sleep(0.15)  # no event would show that nothing happens
    return len(engine.streams) == 1 and running.thread.is_alive()


@pytest.mark.usefixtures("quick_grace")
@pytest.mark.parametrize("is_early", [True, False], ids=["pending", "within the grace"])
def test_change_that_an_event_told_leaves_the_stream_open(*, is_early: bool) -> None:
    """The list may know about a change some milliseconds before the event comes."""
    engine = FakeEngine()
    with watched(engine) as running:
        running.source.read()
        engine.documents = {"a": make_labelled("a")}

        running.source.invalidate()
        if is_early:
            running.send(make_event("a"))
        running.source.read()
        if not is_early:
            running.send(make_event("a"))

        assert is_left_open(engine, running)


@pytest.mark.usefixtures("quick_grace")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, make_document("a"), id="without a label of ours"),
        pytest.param(None, make_labelled("a", State={"Status": "restarting"}), id="between two runs"),
        pytest.param(make_labelled("a"), make_labelled("a"), id="unchanged"),
    ],
)
def test_what_events_do_not_tell_of_leaves_the_stream_open(before: Document | None, after: Document) -> None:
    engine = FakeEngine(*([before] if before else []))
    with watched(engine) as running:
        running.source.read()
        engine.documents = {"a": after}

        running.source.invalidate()
        running.source.read()

        assert is_left_open(engine, running)


@pytest.mark.usefixtures("quick_grace", "quick_stops")
def test_end_of_the_patience_with_a_stopping_container_leaves_the_stream_open() -> None:
    engine = FakeEngine(make_labelled("a"))
    engine.documents["a"]["Config"]["StopTimeout"] = 0
    with watched(engine) as running:
        running.source.read()
        running.send(make_event("a", "kill", signal="15"))
        assert [State.STOPPING] == [container.state for container in running.source.read().containers]
        eventually(lambda: "was told to stop" in running.triggers[-1].reason)

        running.source.invalidate()

        assert [State.RUNNING] == [container.state for container in running.source.read().containers]
        assert is_left_open(engine, running)


@pytest.mark.usefixtures("quick_grace")
def test_container_that_one_list_lacks_though_no_event_told_of_its_end_stays() -> None:
    engine = FakeEngine(make_document("a"), make_document("b"))
    source = DockerSource(engine, None)
    source.read()
    engine.unlisted = {"a", "b"}
    source.invalidate()

    assert ["a", "b"] == ids_of(source.read())


def test_container_that_two_lists_lack_is_gone() -> None:
    engine = FakeEngine(make_document("a"), make_document("b"))
    source = DockerSource(engine, None)
    source.read()
    del engine.documents["a"]
    engine.calls.clear()
    source.invalidate()

    assert ["b"] == ids_of(source.read())
    assert ["list", "list"] == engine.calls


def test_gap_after_a_connect_is_no_reason_to_open_the_stream_again() -> None:
    engine = FakeEngine()
    with watched(engine) as running:
        running.source.read()
        engine.streams[-1].items.put(None)
        eventually(lambda: len(engine.streams) == 2)
        eventually(lambda: "engine connected" == running.triggers[-1].reason and len(running.triggers) == 2)
        engine.documents = {"a": make_labelled("a")}

        running.source.invalidate()
        running.source.read()

        time.sleep(0.15)  # no event would show that nothing happens
        assert 2 == len(engine.streams)


@pytest.mark.usefixtures("quick_grace")
def test_engine_that_never_tells_does_not_have_its_stream_opened_again_and_again() -> None:
    engine = FakeEngine()
    with watched(engine) as running:
        running.source.read()
        for number in range(5):
            engine.documents[f"c{number}"] = make_labelled(f"c{number}")
            running.source.invalidate()
            running.source.read()
            eventually(lambda: len(engine.streams) == 2)
            time.sleep(0.1)  # no event would show that nothing happens
            running.source.read()

        assert 2 == len(engine.streams)


def test_pauses_between_reopenings_grow_up_to_a_limit_and_start_anew_after_a_long_quiet() -> None:
    untold, now, pauses = untold_changes.UntoldChanges(), 0.0, list[float]()
    assert untold.may_reopen(now)
    for _ in range(9):
        pause = 0.0
        while not untold.may_reopen(now + pause):
            pause += 10
        pauses.append(pause)
        now += pause
    assert untold.may_reopen(now + 8000)

    assert [30, 60, 120, 240, 480, 960, 1920, 3600, 3600] == pauses
    assert untold.may_reopen(now + 8030)


@pytest.mark.parametrize("error", [SourceError("the engine is away"), ZeroDivisionError("a fault of ours")])
@pytest.mark.parametrize("is_full", [False, True], ids=["one", "all"])
def test_whatever_fails_a_read_the_next_one_makes_up_for_it(error: Exception, *, is_full: bool) -> None:
    """The second container comes while the first one still has to be read."""
    engine = FakeEngine(make_document("a"))
    with watched(engine) as running:
        running.source.read()
        for container_id in ("b", "c"):
            engine.documents[container_id] = make_document(container_id)
            running.send(make_event(container_id))
            if is_full:
                running.source.invalidate()
            engine.error = error
            with pytest.raises(type(error)):
                running.source.read_changes()
            engine.error = None

        assert {"b", "c"} <= set(ids_of(running.source.read_changes()))
        assert [] == ids_of(running.source.read_changes())


def test_read_that_fails_is_asked_for_again_while_the_engine_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take long until an event comes, and the next full look may be minutes away."""
    monkeypatch.setattr("proxy.adapters.engine.docker_source.FIRST_RETRY_SECONDS", 0.02)
    engine = FakeEngine(make_document("a"))
    with watched(engine) as running:
        running.source.read()
        engine.error = SourceError("no answer")
        running.source.invalidate()

        with pytest.raises(SourceError):
            running.source.read_changes()

        eventually(lambda: "the engine did not answer" == running.triggers[-1].reason)


def test_container_that_died_stays_away_though_a_list_failed_meanwhile() -> None:
    """The list may still show it as running for a moment."""
    engine = FakeEngine(make_document("a"), make_document("b"))
    with watched(engine) as running:
        running.source.read()
        running.send(make_event("a", "die"))
        running.source.invalidate()
        engine.error = SourceError("no answer")
        with pytest.raises(SourceError):
            running.source.read_changes()
        engine.error = None

        assert ["b"] == ids_of(running.source.read_changes())


def test_end_that_an_event_told_needs_no_second_list() -> None:
    engine = FakeEngine(*(make_labelled(f"c{number}") for number in range(MAX_LOOKS + 1)))
    with watched(engine) as running:
        running.source.read()
        for container_id in sorted(engine.documents):
            del engine.documents[container_id]
            running.send(make_event(container_id, "die"))
        engine.calls.clear()

        assert [] == ids_of(running.source.read_changes())
        assert 1 == engine.calls.count("list")


def test_thousand_stops_need_one_thread_and_one_list_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.adapters.engine.stop_questions.PAUSE_SECONDS", 0.0)
    engine = FakeEngine(*(make_labelled(f"c{number}") for number in range(1000)))
    with watched(engine) as running:
        running.source.read()
        eventually(lambda: 1001 == len(engine.calls) - engine.calls.count("events"))
        threads = set(threading.enumerate())
        for container_id in engine.documents:
            engine.streams[-1].items.put(make_event(container_id, "kill", signal="15"))
        eventually(lambda: len(running.triggers) == 1001)
        engine.error = SourceError("no answer")
        with pytest.raises(SourceError):
            running.source.read_changes()
        engine.error = None
        engine.calls.clear()

        containers = running.source.read_changes().containers

        assert 1 == len(set(threading.enumerate()) - threads)
        assert {State.STOPPING} == {container.state for container in containers}
        assert ["list"] == engine.calls


@pytest.mark.usefixtures("quick_stops")
def test_retry_does_not_put_off_when_a_stopping_container_is_taken_back() -> None:
    """The time counts from the event, however late the event is processed."""
    engine = FakeEngine(make_document("a"))
    with watched(engine) as running:
        running.source.read()
        running.send(make_event("a", "kill", signal="15"))
        engine.error = SourceError("no answer")
        with pytest.raises(SourceError):
            running.source.read_changes()
        engine.error = None
        time.sleep(0.11)

        assert [State.RUNNING] == [container.state for container in running.source.read_changes().containers]


@pytest.mark.usefixtures("quick_stops")
def test_container_that_ended_after_its_stop_is_not_looked_at_again() -> None:
    engine = FakeEngine(make_document("a"), make_document("b"))
    with watched(engine) as running:
        running.source.read()
        for container_id in ("a", "b"):
            running.send(make_event(container_id, "kill", signal="15"))
        del engine.documents["a"]
        running.send(make_event("a", "die"))
        running.source.read()

        eventually(lambda: "container b was told to stop" == running.triggers[-1].reason)

        assert 1 == sum("was told to stop" in trigger.reason for trigger in running.triggers)


class LaggingEngine(FakeEngine):
    """An engine whose list shows a container as it was before, in the first looks after a change."""

    def __init__(self, *documents: Document) -> None:
        super().__init__(*documents)
        self.next: dict[str, Document] = {}
        self.stale_looks = 0

    def change(self, container_id: str, document: Document, stale_looks: int = 2) -> None:
        self.next, self.stale_looks = {container_id: document}, stale_looks

    def find_container(self, container_id: str) -> Document | None:
        if self.stale_looks == 0:
            self.documents.update(self.next)
        self.stale_looks -= 1
        return super().find_container(container_id)


def make_network_event(action: str, network: str) -> Document:
    return {"Type": "network", "Action": action, "Actor": {"ID": "n", "Attributes": {"name": network, "container": "a"}}}


TWO_NETWORKS = {"Networks": {"shop": {"IPAddress": "10.1.0.2"}, "more": {"IPAddress": "10.2.0.2"}}}
PAUSED = {"Status": "paused"}


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [
        pytest.param({}, {"State": PAUSED}, make_event("a", "pause"), id="pause"),
        pytest.param({"State": PAUSED}, {}, make_event("a", "unpause"), id="unpause"),
        pytest.param({}, {"NetworkSettings": TWO_NETWORKS}, make_network_event("connect", "more"), id="connect"),
        pytest.param({"NetworkSettings": TWO_NETWORKS}, {}, make_network_event("disconnect", "more"), id="disconnect"),
        pytest.param({"State": {"Status": "exited"}}, {}, make_event("a", "start"), id="start"),
        pytest.param({}, {"State": {"Status": "exited"}}, make_event("a", "destroy"), id="destroy"),
        pytest.param(
            {"Status": "Up (healthy)"},
            {"Status": "Up (unhealthy)"},
            make_event("a", "health_status: unhealthy"),
            id="health",
        ),
    ],
)
def test_container_is_looked_at_until_the_list_shows_what_the_event_told(
    before: dict[str, Any], after: dict[str, Any], event: Document
) -> None:
    engine = LaggingEngine(make_document("a", **before))
    with watched(engine) as running:
        old = running.source.read()
        engine.change("a", make_document("a", **after))
        engine.calls.clear()

        running.send(event)
        stale = running.source.read()
        eventually(lambda: running.source.read() != stale)

        assert stale == old
        assert engine.calls == ["find a"] * 3
        running.send(make_event("b", "destroy"))  # had one more look been due, it would have come by now
        assert running.source.read() == DockerSource(FakeEngine(make_document("a", **after)), None).read()


def test_later_event_takes_the_place_of_the_one_before() -> None:
    """`docker commit` pauses a container for a moment."""
    engine = FakeEngine(make_document("a"))
    with watched(engine) as running:
        running.source.read()
        engine.calls.clear()

        running.send(make_event("a", "pause"))
        running.send(make_event("a", "unpause"))
        running.source.read()

        assert engine.calls == ["find a"]
        assert len(running.triggers) == 3


def test_list_that_never_shows_what_an_event_told_is_believed_in_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("proxy.adapters.engine.awaited_changes.LOOKS", 2)
    engine = FakeEngine(make_document("a"))
    with watched(engine) as running:
        running.source.read()
        engine.calls.clear()
        running.send(make_event("a", "pause"))

        eventually(lambda: running.source.read() and caplog.messages)

        assert engine.calls == ["find a"] * 3
        assert caplog.messages == [
            "the engine told 'container a: pause', but its list does not show it; the proxy goes by the list"
        ]


def test_many_changes_that_the_list_does_not_show_are_looked_at_again_in_one_list_call() -> None:
    engine = FakeEngine(*(make_document(f"c{number}") for number in range(1000)))
    with watched(engine) as running:
        running.source.read()
        for container_id in engine.documents:
            engine.streams[-1].items.put(make_event(container_id, "pause"))
        eventually(lambda: len(running.triggers) == 1001)
        running.source.read()
        eventually(lambda: len(running.triggers) == 2001)
        engine.calls.clear()
        engine.documents = {key: make_document(key, State=PAUSED) for key in engine.documents}

        assert {State.PAUSED} == {container.state for container in running.source.read().containers}

        assert engine.calls == ["list"]
