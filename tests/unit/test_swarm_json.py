"""What managers of a Swarm tell, as values. Engines leave out what is empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from proxy.core.containers.docker_json import parse_event, parse_listed
from proxy.core.containers.swarm_json import (
    SwarmEvent,
    SwarmKind,
    add_service_labels,
    is_manager,
    parse_down_nodes,
    parse_services,
    parse_swarm_event,
)
from tests.builders import make_container


def test_services_have_their_labels_of_ours() -> None:
    labels = {"aliyun.proxy.VIRTUAL_HOST": "a.com", "com.docker.stack.namespace": "shop"}
    documents = [{"ID": "s1", "Spec": {"Labels": labels}}, {"ID": "s2", "Spec": {}}, {"ID": "s3", "Spec": {"Labels": None}}]

    assert {"s1": {"aliyun.proxy.VIRTUAL_HOST": "a.com"}, "s2": {}, "s3": {}} == parse_services([*documents, {}])


def test_nodes_that_are_down_are_told() -> None:
    documents: list[Mapping[str, Any]] = [
        {"ID": "n1", "Status": {"State": "ready"}},
        {"ID": "n2", "Status": {"State": "down", "Message": "heartbeat failure"}},
        {"ID": "n3", "Status": {"State": "unknown"}},
        {"ID": "n4"},
    ]

    assert {"n2"} == parse_down_nodes(documents)


@pytest.mark.parametrize(
    ("document", "event"),
    [
        pytest.param(
            {"Type": "service", "Action": "update", "Actor": {"ID": "s1"}},
            SwarmEvent(kind=SwarmKind.SERVICE, id="s1"),
            id="service",
        ),
        pytest.param(
            {"Type": "node", "Action": "update", "Actor": {"ID": "n1"}}, SwarmEvent(kind=SwarmKind.NODE, id="n1"), id="node"
        ),
        pytest.param({"Type": "network", "Action": "create", "Actor": {"ID": "x"}}, None, id="network"),
        pytest.param({"Type": "service", "Actor": {}}, None, id="nothing that it is about"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_events_of_managers_are_told_apart(document: Mapping[str, Any], event: SwarmEvent | None) -> None:
    assert event == parse_swarm_event(document)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"Swarm": {"ControlAvailable": True}}, True),
        ({"Swarm": {"ControlAvailable": False}}, False),
        ({"Swarm": None}, False),
    ],
)
def test_manager_is_known_by_its_info(info: Mapping[str, Any], expected: bool) -> None:
    assert is_manager(info) is expected


def test_own_label_of_a_container_overrides_its_services() -> None:
    container = make_container(labels={"aliyun.proxy.BALANCE": "source"})

    found = add_service_labels(container, {"aliyun.proxy.BALANCE": "first", "aliyun.proxy.VIRTUAL_HOST": "a.com"})

    assert {"aliyun.proxy.BALANCE": "source", "aliyun.proxy.VIRTUAL_HOST": "a.com"} == found.labels


def test_container_without_labels_of_ours_keeps_its_service_and_stack() -> None:
    labels = {
        "com.docker.swarm.service.id": "s1",
        "com.docker.swarm.service.name": "shop_web",
        "com.docker.stack.namespace": "shop",
    }

    container = parse_listed({"Id": "c" * 64, "Names": ["/shop_web.1.x"], "Labels": labels})

    assert ("s1", "shop", "web") == (container.swarm_service, container.project, container.service)
    assert container.may_want_route


def test_event_of_a_task_is_never_passed_over() -> None:
    actor = {"ID": "c" * 64, "Attributes": {"com.docker.swarm.service.id": "s1", "name": "shop_web.1.x"}}

    event = parse_event({"Type": "container", "Action": "start", "Actor": actor})

    assert event
    assert event.has_labels_of_ours


def test_creation_of_a_container_changes_nothing() -> None:
    assert parse_event({"Type": "container", "Action": "create", "Actor": {"ID": "c" * 64}}) is None
