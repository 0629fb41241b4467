"""Labels of Swarm services count as if their containers had them, at the cost of what changes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

import pytest

from proxy.adapters.engine.service_labels import ServiceLabels
from proxy.adapters.engine.swarm_managers import MOST_NAMED, SwarmManagers
from proxy.controller.observation import Observation
from proxy.core.containers.containers import Container
from proxy.core.trigger import Trigger
from proxy.errors import SourceError
from tests.builders import make_container, with_labels
from tests.eventually import eventually
from tests.fakes import FakeSource


class FakeManager:
    """An engine that tells of services and nodes, while it is a manager. `asked` are the questions."""

    def __init__(self, **services: Mapping[str, str]) -> None:
        self.services = dict(services)
        self.down: set[str] = set()
        self.is_manager = True
        self.fault = ""
        self.asked: list[str] = []

    def read_info(self) -> Mapping[str, Any]:
        return {"Swarm": {"ControlAvailable": self.is_manager}}

    def list_services(self, ids: Collection[str] = ()) -> Iterator[Mapping[str, Any]]:
        self._ask(f"services {' '.join(ids)}".strip())
        found = [*self.services.items()]
        return iter([{"ID": key, "Spec": {"Labels": labels}} for key, labels in found if not ids or key in ids])

    def list_nodes(self) -> Iterator[Mapping[str, Any]]:
        self._ask("nodes")
        return iter([{"ID": node, "Status": {"State": "down"}} for node in self.down])

    def _ask(self, question: str) -> None:
        self.asked.append(question)
        if self.fault or not self.is_manager:
            raise SourceError(self.fault or "this node is not a swarm manager")


class Swarm:
    """The managers as the proxy knows them, and the overlay over a source of containers."""

    def __init__(self, own: FakeManager, *others: FakeManager) -> None:
        self.triggers: list[Trigger] = []
        self.source = FakeSource()
        self.managers = SwarmManagers(own, self.triggers.append)
        self.managers.ask_also(lambda: others)
        self.overlay = ServiceLabels(self.managers)
        self.observation = Observation([self.source], [self.overlay])

    def observe(self) -> dict[str, Mapping[str, str] | None]:
        """Return the labels of the containers that have changed, by name."""
        changed = self.observation.observe(is_resync=False)
        self.observation.taken()
        return {one.name if one else "gone": one.labels if one else None for one in changed.values()}

    def tell(self, service_id: str, kind: str = "service") -> None:
        """Have an engine tell of a change."""
        self.managers.note_event({"Type": kind, "Action": "update", "Actor": {"ID": service_id}})

    def settle(self, *managers: FakeManager) -> None:
        """Wait until all that was told before has been asked for and taken in: questions come one after the other."""

        def is_asked(name: str) -> bool:
            return any(name in question for manager in managers for question in manager.asked)

        for name in ("first", "second"):
            self.tell(name)
            eventually(partial(is_asked, name))

    def changes_to(self, expected: dict[str, Mapping[str, str] | None]) -> None:
        """Wait until exactly this changes."""
        found: dict[str, Mapping[str, str] | None] = {}

        def has_come() -> bool:
            found.update(self.observe())
            return bool(found)

        eventually(has_come)
        assert expected == found


def task(name: str = "web-1", *, service_id: str = "s1", **labels: str) -> Container:
    return make_container(name, labels=with_labels(**labels), swarm_service=service_id)


def once(manager: FakeManager, *containers: Container) -> list[Container]:
    """Return the containers as a command sees them, which looks once."""
    overlay = ServiceLabels(SwarmManagers(manager, None))
    laid_over = overlay.lay_over({(one.source, one.id): one for one in containers}, None, frozenset())
    return [one for one in laid_over.values() if one]


def test_container_has_the_labels_of_its_service_and_its_own_override_them() -> None:
    manager = FakeManager(s1=with_labels(VIRTUAL_HOST="a.com", BALANCE="first"), s2=with_labels(VIRTUAL_HOST="b.com"))

    found = once(manager, task(BALANCE="source"), make_container("other-1"))

    assert [with_labels(VIRTUAL_HOST="a.com", BALANCE="source"), {}] == [one.labels for one in found]


def test_nobody_is_asked_where_no_container_belongs_to_a_swarm() -> None:
    manager = FakeManager()

    once(manager, make_container())

    assert [] == manager.asked


def test_worker_is_not_asked_for_services_and_says_that_labels_are_unknown() -> None:
    manager = FakeManager()
    manager.is_manager = False
    overlay = ServiceLabels(SwarmManagers(manager, None))

    overlay.lay_over({("docker", "1"): task()}, None, frozenset())
    (note,) = overlay.notes()
    overlay.lay_over({("docker", "1"): None}, None, frozenset())

    assert [] == manager.asked
    assert (True, True) == (note.is_note, "run a proxy on a manager" in note.reason)
    assert [] == overlay.notes()


@pytest.fixture
def manager() -> FakeManager:
    return FakeManager(s1=with_labels(VIRTUAL_HOST="a.com"))


@pytest.fixture
def swarm(manager: FakeManager) -> Swarm:
    """A service whose only container runs and has its labels."""
    swarm = Swarm(manager)
    swarm.source.set([task()])
    swarm.observe()
    swarm.managers.begin()
    swarm.changes_to({"web-1": with_labels(VIRTUAL_HOST="a.com")})
    return swarm


def test_service_gets_other_labels(swarm: Swarm, manager: FakeManager) -> None:
    manager.services["s1"] = with_labels(VIRTUAL_HOST="b.com")
    asked = len(manager.asked)

    swarm.tell("s1")

    swarm.changes_to({"web-1": with_labels(VIRTUAL_HOST="b.com")})
    assert ["services s1"] == manager.asked[asked:]


def test_service_loses_its_labels(swarm: Swarm, manager: FakeManager) -> None:
    manager.services["s1"] = {}

    swarm.tell("s1")

    swarm.changes_to({"web-1": {}})


def test_service_that_is_removed_keeps_its_labels_until_its_containers_are_gone(swarm: Swarm, manager: FakeManager) -> None:
    del manager.services["s1"]
    swarm.tell("s1")
    swarm.settle(manager)

    swarm.source.set([task(), task("web-2")])
    assert {"web-2": with_labels(VIRTUAL_HOST="a.com")} == swarm.observe()
    swarm.source.set([])
    assert {"gone": None} == swarm.observe()
    swarm.source.set([task("web-3")])

    assert {"web-3": {}} == swarm.observe()


def test_new_service_is_asked_for_when_its_first_container_runs(swarm: Swarm, manager: FakeManager) -> None:
    manager.services["s2"] = with_labels(VIRTUAL_HOST="b.com")
    asked = len(manager.asked)

    swarm.source.set([task(), task("api-1", service_id="s2")])
    assert {"api-1": {}} == swarm.observe()

    swarm.changes_to({"api-1": with_labels(VIRTUAL_HOST="b.com")})
    assert ["services s2"] == manager.asked[asked:]


def test_service_that_was_told_before_its_first_container_runs_is_not_asked_for(swarm: Swarm, manager: FakeManager) -> None:
    manager.services["s2"] = with_labels(VIRTUAL_HOST="b.com")
    swarm.tell("s2")
    swarm.settle(manager)
    swarm.observe()
    asked = len(manager.asked)

    swarm.source.set([task(), task("api-1", service_id="s2")])

    assert {"api-1": with_labels(VIRTUAL_HOST="b.com")} == swarm.observe()
    assert [] == manager.asked[asked:]


def test_many_changed_services_are_asked_for_in_one_question(swarm: Swarm, manager: FakeManager) -> None:
    asked = len(manager.asked)
    swarm.source.set([task(), *(task(f"n{number}", service_id=f"n{number}") for number in range(MOST_NAMED + 1))])

    swarm.observe()

    eventually(lambda: manager.asked[asked:])
    assert ["services"] == [*dict.fromkeys(manager.asked[asked:])]


def test_last_word_of_a_manager_stays_until_one_answers_again(swarm: Swarm, manager: FakeManager) -> None:
    manager.fault, asked = "the swarm does not have a leader", len(manager.asked)
    manager.services["s1"] = with_labels(VIRTUAL_HOST="b.com")
    swarm.tell("s1")
    eventually(lambda: manager.asked[asked:])

    swarm.source.set([task(), task("web-2")])
    assert {"web-2": with_labels(VIRTUAL_HOST="a.com")} == swarm.observe()
    assert [] == swarm.overlay.notes()
    manager.fault = ""
    swarm.tell("s1")

    changed = with_labels(VIRTUAL_HOST="b.com")
    swarm.changes_to({"web-1": changed, "web-2": changed})


def test_another_manager_is_asked_where_the_first_does_not_answer() -> None:
    worker, first, second = FakeManager(), FakeManager(), FakeManager(s1=with_labels(VIRTUAL_HOST="a.com"))
    worker.is_manager, first.fault = False, "the swarm does not have a leader"
    swarm = Swarm(worker, first, second)
    swarm.source.set([task()])
    swarm.observe()

    swarm.managers.begin()

    swarm.changes_to({"web-1": with_labels(VIRTUAL_HOST="a.com")})
    assert [] == worker.asked


def test_nodes_that_are_down_are_known_when_a_manager_tells_of_a_node(swarm: Swarm, manager: FakeManager) -> None:
    manager.down.add("n2")
    asked = len(manager.asked)

    swarm.tell("n2", kind="node")

    eventually(lambda: swarm.managers.down_nodes() == {"n2"})
    assert ["nodes"] == manager.asked[asked:]


def test_manager_without_a_leader_says_nothing_of_nodes(swarm: Swarm, manager: FakeManager) -> None:
    manager.down.add("n2")
    swarm.tell("n2", kind="node")
    eventually(lambda: swarm.managers.down_nodes() == {"n2"})
    manager.fault = "the swarm does not have a leader"
    manager.down.clear()
    asked = len(manager.asked)

    swarm.tell("n2", kind="node")
    eventually(lambda: manager.asked[asked:])
    assert {"n2"} == swarm.managers.down_nodes()
    manager.fault = ""
    swarm.tell("n2", kind="node")

    eventually(lambda: swarm.managers.down_nodes() == frozenset())


def test_start_waits_for_the_first_answer_only_where_routes_would_be_lost(manager: FakeManager) -> None:
    swarm = Swarm(manager)
    swarm.source.set([task()])
    overlay = ServiceLabels(swarm.managers, is_patient=lambda: True)
    observation = Observation([swarm.source], [overlay])

    with pytest.raises(SourceError, match="have not told the labels"):
        observation.observe(is_resync=False)
    swarm.managers.begin()
    eventually(lambda: swarm.managers.is_settled)

    (found,) = observation.observe(is_resync=False).values()
    assert found
    assert with_labels(VIRTUAL_HOST="a.com") == found.labels


def test_change_of_one_service_among_ten_thousand_containers_touches_only_its_own() -> None:
    """It is counted in containers that are laid over, and in services that are asked for."""
    services = {f"s{number}": with_labels(VIRTUAL_HOST=f"{number}.example") for number in range(1000)}
    manager = FakeManager(**services)
    swarm = Swarm(manager)
    swarm.source.set(task(f"c{number}", service_id=f"s{number % 1000}") for number in range(10_000))
    swarm.managers.begin()
    eventually(lambda: swarm.managers.is_settled)
    assert 10_000 == len(swarm.observe())
    manager.services["s7"] = with_labels(VIRTUAL_HOST="other.example")
    asked = len(manager.asked)

    swarm.tell("s7")

    changed: dict[str, Mapping[str, str] | None] = {}
    eventually(lambda: changed.update(swarm.observe()) or changed)
    assert {f"c{number}" for number in range(7, 10_000, 1000)} == changed.keys()
    assert ["services s7"] == manager.asked[asked:]
