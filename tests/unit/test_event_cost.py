"""The cost of an event follows what it changed, not how many services or nodes there are. It is counted in calls."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from proxy.core.containers.containers import CLUSTER, Container, Node
from tests.builders import make_container, with_labels
from tests.controller import Controller
from tests.fake_members import FakeCluster

FEW, MANY = 20, 400


def service(number: int, *, generation: int = 1, **labels: str) -> Container:
    own = {"VIRTUAL_HOST": f"s{number}.example, s{number}.example/path/*", **labels}
    return make_container(f"s{number}-{generation}", created=generation, service=f"s{number}", labels=with_labels(**own))


def calls_of_a_pass(controller: Controller) -> int:
    """Return how many calls of functions of this program, and of members of a cluster, a pass takes."""
    count = 0

    def note(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        is_ours = "/proxy/" in frame.f_code.co_filename or "/fake_members" in frame.f_code.co_filename
        count += event == "call" and is_ours

    sys.setprofile(note)
    try:
        controller.look()
    finally:
        sys.setprofile(None)
    return count


def calls_by_event(folder: Path, services: int) -> dict[str, int]:
    """Return how many calls it takes to start, scale, relabel and stop one of `services` services."""
    folder.mkdir()
    controller = Controller(folder, ROUTE_LINGER="0")
    loaded = service(services, BALANCE="leastconn")
    controller.run(*map(service, range(services)), loaded)
    new, second = service(services + 1), service(services + 1, generation=2, BALANCE="leastconn")
    tell = controller.fake_source.tell
    events: dict[str, Callable[[], None]] = {
        "start": lambda: tell(changed=(new,)),
        "relabel": lambda: tell(changed=(second,)),
        "scale down": lambda: tell(gone=(new.id,)),
        "stop": lambda: tell(gone=(second.id,)),
    }
    calls = {}
    for name, happen in events.items():
        happen()
        calls[name] = calls_of_a_pass(controller)
    assert controller.haproxy.reloads == 0
    return calls


@pytest.mark.parametrize("event", ["start", "relabel", "scale down", "stop"])
def test_event_costs_the_same_among_many_services_as_among_few(tmp_path: Path, event: str) -> None:
    few, many = calls_by_event(tmp_path / "few", FEW)[event], calls_by_event(tmp_path / "many", MANY)[event]

    assert many <= 1.1 * few


def calls_of_nodes(folder: Path, nodes: int) -> list[int]:
    """Return how many calls it takes to start and to stop a container on one of so many nodes with two services each."""
    folder.mkdir()
    node = Node(id="1", name="node1")

    def on_a_node(number: int) -> Container:
        return dataclasses.replace(service(number), source=CLUSTER, node=node)

    cluster = FakeCluster(folder, nodes, lambda number: map(on_a_node, (2 * number, 2 * number + 1)))
    controller = Controller(folder, source=cluster.source, ROUTE_LINGER="0")
    with cluster.watched():
        controller.look(is_resync=True)
        controller.haproxy.start()
        controller.look(is_about_haproxy=True)
    new, calls = on_a_node(2 * nodes), []
    cluster.members[1].tell([new])
    calls.append(calls_of_a_pass(controller))
    cluster.members[1].tell(gone=[new.id])
    calls.append(calls_of_a_pass(controller))
    assert controller.haproxy.reloads == 0
    return calls


def test_event_costs_the_same_among_many_nodes_as_among_few(tmp_path: Path) -> None:
    few, many = calls_of_nodes(tmp_path / "few", 2), calls_of_nodes(tmp_path / "many", 100)

    assert all(one <= 1.1 * other for one, other in zip(many, few, strict=True))
