"""What the sources have reported is returned again until it is confirmed as processed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import pytest

from proxy.controller.observation import Observation
from proxy.core.containers.containers import Container, Node, ProxyContainer, Snapshot, State
from proxy.core.model.spec_index import Key
from proxy.core.trigger import Trigger
from proxy.errors import SourceError
from tests.builders import make_container
from tests.fakes import FakeSource

WEB, API = make_container("web-1"), make_container("api-1")


def key(container: Container) -> Key:
    return "docker", container.id


class FaultySource:
    """A source that fails with `error`, if it is set, and has no containers."""

    name = "faulty"

    def __init__(self) -> None:
        self.error: Exception | None = None

    def read_changes(self) -> Snapshot:
        if self.error:
            raise self.error
        return Snapshot()

    def invalidate(self) -> None:
        """Do nothing: there is nothing to forget."""

    def watch(self, put: Callable[[Trigger], None]) -> None:
        """Do nothing: no change happens by itself."""

    def stop(self) -> None:
        """Do nothing: no thread runs."""


class Marks:
    """An overlay that reports containers as changed once, and gives all containers the label `mark`."""

    def __init__(self) -> None:
        self.named: set[Key] = set()
        self.new_sources: list[frozenset[str]] = []
        self.error: Exception | None = None

    def changed(self) -> set[Key]:
        if self.error:
            raise self.error
        named, self.named = self.named, set()
        return named

    def lay_over(
        self, containers: Mapping[Key, Container | None], proxy: ProxyContainer | None, new_sources: frozenset[str]
    ) -> Mapping[Key, Container | None]:
        self.new_sources.append(new_sources)
        return {key: container and _mark(container) for key, container in containers.items()}


def _mark(container: Container) -> Container:
    return dataclasses.replace(container, labels={"mark": "yes"})


@pytest.fixture
def source() -> FakeSource:
    source = FakeSource()
    source.set([WEB])
    return source


def test_what_was_not_taken_is_told_again_with_what_came_since(source: FakeSource) -> None:
    observation = Observation([source])
    observation.observe(is_resync=True)
    source.set([WEB, API])

    told = observation.observe(is_resync=False)

    assert {key(WEB): WEB, key(API): API} == told


def test_what_was_taken_is_not_told_again(source: FakeSource) -> None:
    observation = Observation([source])
    told = observation.observe(is_resync=True)

    observation.taken()

    assert {} == observation.observe(is_resync=False)
    assert {key(WEB): WEB} == told, "the caller may go on using what it was given"


def test_container_that_went_before_it_was_taken_is_told_as_gone(source: FakeSource) -> None:
    observation = Observation([source])
    observation.observe(is_resync=True)
    source.set([])

    assert {key(WEB): None} == observation.observe(is_resync=False)


@pytest.mark.parametrize("is_resync", [False, True], ids=["changes", "resync"])
def test_fault_in_one_source_loses_nothing_of_another(source: FakeSource, *, is_resync: bool) -> None:
    faulty = FaultySource()
    observation = Observation([source, faulty])
    faulty.error = ZeroDivisionError("a fault of ours")
    with pytest.raises(ZeroDivisionError):
        observation.observe(is_resync=is_resync)
    faulty.error = None

    assert {key(WEB): WEB} == observation.observe(is_resync=is_resync)


def test_source_that_cannot_be_read_keeps_its_containers(source: FakeSource) -> None:
    faulty = FaultySource()
    observation = Observation([source, faulty])
    observation.observe(is_resync=True)
    observation.taken()

    faulty.error = SourceError("unreachable")

    assert {} == observation.observe(is_resync=True)


def test_what_an_overlay_named_is_told_until_it_is_taken(source: FakeSource) -> None:
    overlay = Marks()
    observation = Observation([source], [overlay])
    observation.observe(is_resync=True)
    observation.taken()
    overlay.named = {key(WEB)}
    observation.observe(is_resync=False)

    again = observation.observe(is_resync=False)
    observation.taken()

    assert {key(WEB): _mark(WEB)} == again
    assert {} == observation.observe(is_resync=False)


def test_fault_in_one_overlay_loses_nothing_of_another(source: FakeSource) -> None:
    first, second = Marks(), Marks()
    observation = Observation([source], [first, second])
    observation.observe(is_resync=True)
    observation.taken()
    first.named, second.error = {key(WEB)}, ZeroDivisionError("a fault of ours")
    with pytest.raises(ZeroDivisionError):
        observation.observe(is_resync=False)
    second.error = None

    assert {key(WEB): _mark(WEB)} == observation.observe(is_resync=False)


def test_source_counts_as_new_until_what_it_told_first_is_taken(source: FakeSource) -> None:
    """The containers of its first report ran before the proxy. Overlays use this to decide what to trust."""
    overlay = Marks()
    observation = Observation([source], [overlay])

    observation.observe(is_resync=True)
    observation.observe(is_resync=False)
    observation.taken()
    observation.observe(is_resync=False)

    new = frozenset({"docker"})
    assert [new, new, frozenset()] == overlay.new_sources


def test_world_without_any_answer_is_an_error() -> None:
    faulty = FaultySource()
    faulty.error = SourceError("unreachable")

    with pytest.raises(SourceError, match="unreachable"):
        Observation([faulty]).observe(is_resync=True)


def test_source_that_is_slower_than_the_others_is_waited_for_where_all_are_needed() -> None:
    """After a restart its routes are served from the files; they must not go because another source was faster."""
    fast, slow = FakeSource(), FaultySource()
    slow.error = SourceError("the engine does not answer")
    is_patient = [True]
    observation = Observation([fast, slow], needs_all=lambda: is_patient[0])

    with pytest.raises(SourceError, match="the engine does not answer"):
        observation.observe(is_resync=True)
    is_patient[0] = False
    assert {} == observation.observe(is_resync=True)

    is_patient[0] = True

    assert {} == observation.observe(is_resync=True), "what has begun goes on"


def in_cluster(container: Container) -> Container:
    return dataclasses.replace(container, source="cluster", node=Node(id="n", name="n"))


def there(container: Container) -> Key:
    return "cluster", container.id


@pytest.fixture
def cluster() -> FakeSource:
    cluster = FakeSource()
    cluster.name = "cluster"
    return cluster


@pytest.mark.parametrize("is_own_first", [True, False])
def test_own_engine_has_the_word_where_a_member_tells_of_it_too(
    source: FakeSource, cluster: FakeSource, *, is_own_first: bool
) -> None:
    """The proxy of another node that shares the engine, or this proxy itself before it is known to be."""
    observation = Observation([source, cluster] if is_own_first else [cluster, source])
    cluster.set([in_cluster(WEB), in_cluster(API)])

    told = observation.observe(is_resync=True)

    assert {key(WEB): WEB, there(API): in_cluster(API)} == {key: container for key, container in told.items() if container}


def test_what_a_member_says_of_an_own_container_is_no_news(source: FakeSource, cluster: FakeSource) -> None:
    observation = Observation([source, cluster])
    cluster.set([in_cluster(WEB)])
    observation.observe(is_resync=True)
    observation.taken()

    cluster.set([in_cluster(dataclasses.replace(WEB, state=State.STOPPING))])
    assert {} == observation.observe(is_resync=False)
    cluster.set([])
    assert {} == observation.observe(is_resync=False)


def test_member_s_container_becomes_an_own_one_and_back(source: FakeSource, cluster: FakeSource) -> None:
    """In one look each: whoever forgets the readiness of what is gone sees that it is still there."""
    source.set([])
    cluster.set([in_cluster(WEB)])
    observation = Observation([source, cluster])
    assert {there(WEB): in_cluster(WEB)} == observation.observe(is_resync=True)
    observation.taken()

    source.set([WEB])
    assert {key(WEB): WEB, there(WEB): None} == observation.observe(is_resync=False)
    observation.taken()
    source.set([])
    assert {key(WEB): None, there(WEB): in_cluster(WEB)} == observation.observe(is_resync=False)
    observation.taken()

    cluster.set([])
    assert {there(WEB): None} == observation.observe(is_resync=False)


def test_end_that_both_tell_is_told_once_and_for_all(source: FakeSource, cluster: FakeSource) -> None:
    cluster.set([in_cluster(WEB)])
    observation = Observation([source, cluster])
    observation.observe(is_resync=True)
    observation.taken()
    source.set([])
    cluster.set([])

    assert {key(WEB): None, there(WEB): None} == observation.observe(is_resync=False)
    observation.taken()
    assert {} == observation.observe(is_resync=True)
