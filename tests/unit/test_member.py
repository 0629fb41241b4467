"""One other proxy of the cluster, followed by threads of its own: what it is asked, when, and what becomes of its status."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from proxy.adapters.cluster import member as member_module
from proxy.adapters.cluster.member import ANSWER_SECONDS, Member, Status
from proxy.adapters.cluster.peer import Address, PeerContext, Told
from proxy.adapters.engine.docker_source import CONNECTED
from proxy.core.containers.containers import Container, Snapshot
from proxy.core.trigger import Trigger, TriggerKind
from proxy.errors import SourceError
from tests.builders import make_container
from tests.eventually import eventually
from tests.told_members import NO_FILES, OWN, Peer, make_peer

ADDRESS = Address("10.0.0.1", 7376)
WEB, API = make_container("web-1"), make_container("api-1")


class Remote:
    """Another proxy as a member asks it. `peer` may be replaced by another one at the same address."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.questions = 0
        self.before_answer: Callable[[], None] = lambda: None
        self.is_connected = False
        self._put: Callable[[Trigger], None] | None = None
        self._is_over = threading.Event()

    def read_state(self) -> Told:
        self.questions += 1
        return self.peer.tell()

    def read_changes(self) -> Snapshot:
        snapshot = self.peer.run()
        self.before_answer()
        return snapshot

    def read(self) -> Snapshot:
        return self.peer.run()

    def watch(self, put: Callable[[Trigger], None]) -> None:
        self._put = put
        self.connect()
        self._is_over.wait()

    def connect(self) -> None:
        """Open the stream of events."""
        self.is_connected = True
        assert self._put
        self._put(Trigger(reason=CONNECTED))

    def tell(self, reason: str, kind: TriggerKind = TriggerKind.LOOK) -> None:
        """Report an event."""
        assert self._put
        self._put(Trigger(reason=reason, kind=kind, container_id="c"))

    def invalidate(self) -> None:
        """Do nothing: everything is read each time."""

    def stop(self) -> None:
        self._is_over.set()


class Followed:
    """A member that runs, what it has put, and the clock that it reads."""

    def __init__(self, remote: Remote) -> None:
        self.now = 0.0
        self.triggers: list[Trigger] = []
        self.member = Member(
            ADDRESS, PeerContext(NO_FILES), frozenset(), OWN.__eq__, self.triggers.append, clock=lambda: self.now
        )
        self.remote = remote
        self.containers: dict[str, Container] = {}

    def becomes(self, status: Status, *names: str) -> None:
        """Wait until the member has this status, and has told that exactly these containers run."""
        eventually(lambda: self.member.status is status and self.take() == set(names))

    def take(self) -> set[str]:
        for container_id, container in self.member.take().items():
            if container:
                self.containers[container_id] = container
            else:
                del self.containers[container_id]
        return {container.name for container in self.containers.values()}


@contextmanager
def following(monkeypatch: pytest.MonkeyPatch, peer: Peer) -> Iterator[Followed]:
    remote = Remote(peer)
    monkeypatch.setattr(member_module, "PeerClient", lambda *_: remote)
    monkeypatch.setattr(member_module, "make_engine", lambda *_: None)
    monkeypatch.setattr(member_module, "DockerSource", lambda *_, **__: remote)
    monkeypatch.setattr(member_module, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(member_module, "SELF_SECONDS", 0.01)
    followed = Followed(remote)
    followed.member.start()
    try:
        yield followed
    finally:
        followed.member.stop()


def test_member_is_followed_and_tells_its_node(monkeypatch: pytest.MonkeyPatch) -> None:
    with following(monkeypatch, make_peer("a", WEB, address="")) as followed:
        followed.becomes(Status.FOLLOWED, "web-1")
        (container,) = followed.containers.values()
        assert container.node
        assert ("a", ADDRESS.host, "cluster") == (container.node.name, container.node.address, container.source)

        followed.remote.peer.containers.append(API)
        followed.remote.tell("container api-1: die", TriggerKind.URGENT)
        followed.becomes(Status.FOLLOWED, "web-1", "api-1")

        last = eventually(lambda: followed.triggers[-1] if len(followed.triggers) > 1 else None)
        assert last == Trigger(reason="node a: container api-1: die", kind=TriggerKind.URGENT, container_id="c")


def test_what_changes_nothing_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    with following(monkeypatch, make_peer("a", WEB)) as followed:
        followed.becomes(Status.FOLLOWED, "web-1")
        known = eventually(lambda: len(followed.triggers))
        followed.remote.tell("nothing new")
        followed.remote.peer.containers.append(API)
        followed.remote.tell("a container")
        followed.becomes(Status.FOLLOWED, "web-1", "api-1")

        assert known + 1 == eventually(lambda: len(followed.triggers) if len(followed.triggers) > known else 0)


def test_member_that_counts_as_followed_has_told_its_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its node's old proxy is forgotten at that moment. The containers must be there already."""
    told: list[int] = []

    def note(member: Member, name: str, value: object) -> None:
        if name == "status" and value is Status.FOLLOWED:
            told.append(len(member.take()))
        object.__setattr__(member, name, value)

    monkeypatch.setattr(Member, "__setattr__", note, raising=False)
    with following(monkeypatch, make_peer("a", WEB)):
        eventually(lambda: told)

    assert [1] == told


def test_member_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with following(monkeypatch, make_peer("a", WEB, is_away=True)) as followed:
        eventually(lambda: followed.remote.questions > 2)
        assert (Status.LOST, "no answer", 0.0) == (followed.member.status, followed.member.fault, followed.member.lost_at)
        followed.now = 7.0
        followed.remote.peer.is_away = False
        followed.becomes(Status.FOLLOWED, "web-1")

        assert ("", None) == (followed.member.fault, followed.member.lost_at)


def test_member_without_a_stream_of_events_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with following(monkeypatch, make_peer("a", WEB)) as followed:
        followed.becomes(Status.FOLLOWED, "web-1")
        followed.now = 12.0
        followed.remote.is_connected = False
        followed.member.note_connection()
        assert (Status.LOST, 12.0) == (followed.member.status, followed.member.lost_at)

        followed.now = 13.0
        followed.member.note_connection()
        assert followed.member.lost_at == 12.0, "since when it is lost does not change"
        followed.remote.connect()
        followed.becomes(Status.FOLLOWED, "web-1")


def test_member_whose_stream_never_opens_is_lost_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Remote, "connect", lambda _: None)
    with following(monkeypatch, make_peer("a", WEB)) as followed:
        eventually(lambda: followed.member.told)
        statuses = []
        for seconds in (ANSWER_SECONDS, ANSWER_SECONDS + 0.1):
            followed.now = seconds
            followed.member.note_connection()
            statuses.append(followed.member.status)

        assert [Status.NEW, Status.LOST] == statuses


def test_address_that_is_another_proxy_s_after_a_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with following(monkeypatch, make_peer("a", WEB)) as followed:
        followed.becomes(Status.FOLLOWED, "web-1")
        followed.remote.peer = make_peer("b", API)
        followed.remote.connect()
        followed.becomes(Status.FOLLOWED, "api-1")

        assert ["b"] == [container.node.name for container in followed.containers.values() if container.node]


def test_address_that_is_this_proxy_s_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its engine runs is not the cluster's then."""
    with following(monkeypatch, make_peer("a", WEB)) as followed:
        followed.becomes(Status.FOLLOWED, "web-1")
        followed.remote.peer = make_peer("self", WEB, instance=OWN)
        followed.remote.connect()
        followed.becomes(Status.SELF)

        followed.remote.peer = make_peer("b", API)
        followed.remote.connect()
        followed.becomes(Status.FOLLOWED, "api-1")


def test_own_address_is_asked_again_whether_it_still_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with following(monkeypatch, make_peer("self", WEB, instance=OWN)) as followed:
        followed.becomes(Status.SELF)
        followed.remote.peer.is_away = True
        asked = followed.remote.questions
        eventually(lambda: followed.remote.questions > asked + 1)
        assert Status.SELF is followed.member.status, "its own HAProxy is being restarted"

        followed.remote.peer = make_peer("b", API)
        followed.becomes(Status.FOLLOWED, "api-1")


def test_node_that_joins_a_swarm_is_told_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has another id and address then; gossip hears that first."""
    with following(monkeypatch, make_peer("a", WEB)) as followed:
        followed.becomes(Status.FOLLOWED, "web-1")
        followed.remote.peer.node = make_peer("joined").node
        assert followed.member.hear().node.name == "joined"

        eventually(
            lambda: followed.take() and {"joined"} == {one.node.name for one in followed.containers.values() if one.node}
        )


def test_fault_of_the_engine_keeps_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    with following(monkeypatch, make_peer("a", WEB)) as followed:
        followed.becomes(Status.FOLLOWED, "web-1")

        def fail() -> None:
            raise SourceError("the engine answers 503")

        followed.remote.before_answer = fail
        followed.remote.tell("a container")
        followed.becomes(Status.LOST, "web-1")

        followed.remote.before_answer = lambda: None
        followed.remote.tell("the engine did not answer")
        followed.becomes(Status.FOLLOWED, "web-1")
