"""What the members of a cluster tell, merged: each container once, by the one that can be reached, as long as it counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.adapters.cluster.cluster_source import FORGET_SECONDS
from proxy.adapters.cluster.member import Status
from proxy.core.labels.labels import parse_container
from proxy.core.model.services import build_service
from proxy.grammar.virtual_host import parse_virtual_hosts
from tests.builders import make_container
from tests.told_members import OWN, World, make_peer

WEB, API = make_container("web-1", created=500), make_container("api-1", created=600)


def test_container_that_two_members_tell_of_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two proxies share an engine."""
    world = World(monkeypatch, peer1=make_peer("a", WEB), peer2=make_peer("a", WEB, instance="second"))

    assert {WEB.id} == world.step().keys()
    world.peer(1).containers.clear()
    assert {WEB.id} == world.step().keys()
    world.peer(2).containers.clear()
    assert not world.step()


def test_container_moves_to_the_other_member_when_one_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their nodes have no address of their own, so each member's is that of its proxy."""
    first, second = make_peer("a", WEB, address=""), make_peer("b", WEB, address="")
    world = World(monkeypatch, peer1=first, peer2=second)
    world.step()
    assert {"web-1": "a"} == world.nodes()

    first.is_away = True
    world.step()

    assert {"web-1": "b"} == world.nodes()
    first.is_away = False
    world.step()
    assert {"web-1": "a"} == world.nodes()


def test_lost_member_has_no_word_where_another_tells_of_its_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its address is still in the list; only the other one has seen the container's end."""
    first, second = make_peer("a", WEB, API), make_peer("a", WEB, API, instance="second")
    world = World(monkeypatch, peer1=first, peer2=second)
    world.step()
    first.is_away = True
    second.containers.remove(API)

    assert {WEB.id} == world.step().keys()
    second.is_away = True
    assert {WEB.id, API.id} == world.step().keys(), "the last word of both: nobody knows better"


def test_lost_member_keeps_its_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, peer1=make_peer("a", WEB))
    world.step()
    world.peer(1).is_away = True

    assert {WEB.id} == world.step(10 * FORGET_SECONDS).keys()
    (problem,) = world.source.read_changes().problems
    assert "10.0.0.1:7376" == problem.value
    assert problem.reason.startswith("node a: ")
    assert "its 0 containers" not in problem.reason


@pytest.mark.parametrize("is_gone_first", [True, False], ids=["gone before it is lost", "lost before it is gone"])
def test_member_is_forgotten_when_it_is_gone_and_lost_for_a_minute(
    monkeypatch: pytest.MonkeyPatch, *, is_gone_first: bool
) -> None:
    world = World(monkeypatch, peer1=make_peer("a", WEB))
    world.step()

    def leave() -> None:
        world.known.clear()

    def lose() -> None:
        world.peer(1).is_away = True

    first, second = (leave, lose) if is_gone_first else (lose, leave)
    first()
    world.step()
    assert {WEB.id} == world.step(2 * FORGET_SECONDS).keys()
    second()
    assert {WEB.id} == world.step().keys()

    assert {WEB.id} == world.step(FORGET_SECONDS - 1).keys()
    assert not world.step(2)
    assert world.members[world.at(1)].is_stopped


def test_member_that_is_gone_from_the_dns_and_can_be_reached_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, peer1=make_peer("a", WEB))
    world.step()
    world.known.clear()

    assert {WEB.id} == world.step(10 * FORGET_SECONDS).keys()
    world.peer(1).containers.append(API)
    assert {WEB.id, API.id} == world.step().keys()


def test_member_that_is_back_in_the_dns_counts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the first absence is left for the second one."""
    world = World(monkeypatch, peer1=make_peer("a", WEB))
    world.step()
    world.peer(1).is_away = True
    world.known.clear()
    world.step(FORGET_SECONDS - 1)
    world.known.add(world.at(1))
    world.step()
    world.known.clear()

    assert {WEB.id} == world.step().keys()
    assert {WEB.id} == world.step(FORGET_SECONDS - 1).keys()
    assert not world.step(2)


def test_node_whose_proxy_has_a_new_address_is_told_by_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that was recreated: its containers are never gone."""
    world = World(monkeypatch, peer1=make_peer("a", WEB), peer2=make_peer("a", WEB, API, instance="second"))
    world.known = {world.at(1)}
    world.step()
    world.peer(1).is_away = True
    world.known = {world.at(2)}
    assert {WEB.id} <= world.step().keys()

    assert {WEB.id, API.id} == world.step().keys()
    assert world.members[world.at(1)].is_stopped
    assert () == world.source.read_changes().problems


def test_old_address_stays_until_the_new_one_has_told_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, peer1=make_peer("a", WEB), peer2=make_peer("a", WEB, instance="second"))
    world.known = {world.at(1)}
    world.step()
    world.peer(1).is_away = world.peer(2).is_away = True
    world.known = {world.at(2)}

    assert {WEB.id} == world.step(FORGET_SECONDS - 1).keys()


def test_proxy_itself_behind_another_address_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, peer1=make_peer("self", WEB, instance=OWN), peer2=make_peer("b", API))

    assert {API.id} == world.step().keys()
    assert Status.SELF is world.members[world.at(1)].status
    assert () == world.source.read_changes().problems
    assert [world.at(2)] == [member.address for member in world.source.followed()]


def test_own_address_that_another_proxy_has_by_now_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, peer1=make_peer("self", WEB, instance=OWN))
    world.step()
    world.peers[world.at(1)] = make_peer("b", API)

    assert {API.id} == world.step().keys()


def test_address_that_is_another_node_s_by_now_tells_of_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, peer1=make_peer("a", WEB))
    world.step()
    world.peers[world.at(1)] = make_peer("b", API)
    world.step()

    assert {"api-1": "b"} == world.nodes()


def test_member_that_comes_later_is_told_when_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, peer1=make_peer("a", WEB), peer2=make_peer("b", API, is_away=True))
    world.known = {world.at(1)}
    assert {WEB.id} == world.step().keys()
    world.known.add(world.at(2))
    assert {WEB.id} == world.step().keys()

    world.peer(2).is_away = False
    assert {WEB.id, API.id} == world.step().keys()


@pytest.mark.parametrize("hours", [-7, 0, 7])
def test_same_container_decides_on_all_nodes_whatever_their_clocks_say(monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """The newest one decides. Each node has an own container and hears of the other's; the clocks differ by hours."""
    offset = 3600 * hours
    old, new = make_container("web-1", virtual_host="old.example"), make_container("web-2", virtual_host="new.example")
    old_here, new_there = replace(old, created=500), replace(new, created=560 + offset)
    for own, other, ahead in ((old_here, new_there, offset), (new_there, old_here, -offset)):
        world = World(monkeypatch, peer1=make_peer("other", other, clock_offset=float(ahead)))
        (told,) = world.step().values()

        specs = [spec for spec, _ in map(parse_container, (own, told)) if spec]
        assert parse_virtual_hosts("new.example") == build_service("shop:web", specs).virtual_hosts


def test_age_does_not_change_with_each_measurement_of_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, peer1=make_peer("a", make_container("web-1", created=500 + 3600), clock_offset=3600.4))
    told = dict(world.step())
    assert [500] == [container.created for container in told.values()]

    for offset in (3599.2, 3601.6, 3600.4):
        world.peer(1).clock_offset = offset
        assert told == world.step()


def test_two_nodes_with_one_id_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make_peer("a", WEB), make_peer("b", API)
    second.node = replace(first.node, name="b")
    world = World(monkeypatch, peer1=first, peer2=second)

    assert {WEB.id, API.id} == world.step().keys()
    (problem,) = world.source.read_changes().problems
    assert "the nodes a and b have the same id" in problem.reason
