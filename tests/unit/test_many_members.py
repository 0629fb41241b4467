"""A cluster of many nodes: what is told at the start, how often everything is looked at, and what goes wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from proxy.adapters.cluster import cluster_source
from proxy.core.containers.containers import CLUSTER, Container, Node
from tests.builders import make_container
from tests.eventually import eventually
from tests.fake_members import FakeCluster

NODES = 100


def one_container(number: int) -> list[Container]:
    return [make_container(f"s{number}-1", source=CLUSTER, node=Node(id=str(number), name=f"node{number}"))]


def test_first_look_tells_what_all_members_run_at_once(tmp_path: Path) -> None:
    """Else HAProxy would get what comes later one by one."""
    cluster = FakeCluster(tmp_path, NODES, one_container, looks=3)

    with cluster.watched():
        snapshot = cluster.source.read_changes()

    assert NODES == len(snapshot.containers)


def test_first_look_waits_for_nobody_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_source, "START_SECONDS", 0.05)
    cluster = FakeCluster(tmp_path, 3, one_container, looks=10**9)

    with cluster.watched():
        snapshot = cluster.source.read_changes()

    assert () == snapshot.containers


def test_full_looks_are_as_far_apart_as_their_cost_asks_for(tmp_path: Path) -> None:
    cluster = FakeCluster(tmp_path, NODES)
    with cluster.watched():
        cluster.source.read_changes()
    members, now = cluster.members.values(), time.monotonic()

    cluster.source.invalidate()
    assert not any(member.asked_again for member in members)  # their first look is still to come

    for number, member in cluster.members.items():
        member.look_seconds = 0.001  # 0.1 s for all, which is to be 0.04 % of the time
        member.looked_at = now - (240 if number < NODES // 2 else 260)
    cluster.source.invalidate()

    assert [False] * 50 + [True] * 50 == [bool(cluster.members[number].asked_again) for number in range(NODES)]


def test_problem_of_a_member_is_told_without_any_other_reason_for_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_source, "RESOLVE_SECONDS", 0.01)
    cluster = FakeCluster(tmp_path, 2)
    with cluster.watched():
        cluster.source.read_changes()
        cluster.members[1].lose("the proxy does not answer")
        eventually(lambda: any("problems" in trigger.reason for trigger in cluster.triggers))

        assert [problem for problem in cluster.source.read_changes().problems if "does not answer" in problem.reason]


def test_container_that_two_members_tell_of_is_that_of_the_one_that_can_be_reached(tmp_path: Path) -> None:
    cluster = FakeCluster(tmp_path, 2)
    with cluster.watched():
        cluster.source.read_changes()
    [first], [second] = one_container(1), one_container(2)
    other = make_container(first.name, source=CLUSTER, node=second.node)
    cluster.members[0].tell([first])
    cluster.members[1].tell([other])
    assert (first,) == cluster.source.read_changes().containers

    cluster.members[0].lose("it is gone")
    cluster.members[1].tell([other])
    assert (other,) == cluster.source.read_changes().containers

    cluster.members[1].tell(gone=[other.id])
    assert (first,) == cluster.source.read_changes().containers
