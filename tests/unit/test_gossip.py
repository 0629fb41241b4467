"""One proxy hears from another, one at a time: what it tells of its node, and of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.adapters.cluster.gossip import Gossip
from proxy.adapters.cluster.own_node import OwnNode
from proxy.adapters.cluster.shared_weights import SharedWeights
from proxy.adapters.files.weight_file import read_weights, write_weights
from proxy.core.containers.node_state import SharedWeight
from proxy.core.trigger import Trigger
from tests.told_members import World, make_peer


class Heard:
    """A proxy in a cluster, and what its gossip has put."""

    def __init__(self, world: World, folder: Path) -> None:
        self.file = folder / "weights.json"
        self.own = OwnNode(_no_info, "this proxy")
        self.gossip = Gossip(world.source, self.own, SharedWeights(self.file, folder / "cluster" / "weights.json"))
        self.triggers: list[Trigger] = []

    def ask(self) -> None:
        self.gossip.ask_one(self.triggers.append)


def _no_info() -> dict[str, Any]:
    return {}


def test_weight_of_another_node_is_taken_in_and_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = {"shop:web": SharedWeight(weight=40, stamp=3)}
    world = World(monkeypatch, peer1=make_peer("a", weights=told))
    world.step()
    heard = Heard(world, tmp_path)

    heard.ask()
    heard.ask()

    assert {"shop:web": 40} == read_weights(heard.file)
    assert told == heard.own.state().weights
    assert ["weights that were set on another node, told by node a"] == [trigger.reason for trigger in heard.triggers]


def test_own_weight_is_told_though_there_is_nobody_to_ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    heard = Heard(World(monkeypatch), tmp_path)
    write_weights(heard.file, {"shop:web": 40})

    heard.ask()

    assert {"shop:web": SharedWeight(weight=40, stamp=1)} == heard.own.state().weights
    assert [] == heard.triggers


def test_only_members_that_can_be_reached_are_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lost, followed = make_peer("a", weights={"x": SharedWeight(weight=1, stamp=9)}), make_peer("b")
    world = World(monkeypatch, peer1=lost, peer2=followed)
    lost.is_away = True
    world.step()
    lost.is_away = False
    heard = Heard(world, tmp_path)

    for _ in range(8):
        heard.ask()

    assert {} == read_weights(heard.file)


def test_member_that_fails_meanwhile_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = World(monkeypatch, peer1=make_peer("a"))
    world.step()
    world.peer(1).is_away = True
    heard = Heard(world, tmp_path)

    heard.ask()

    assert [] == heard.triggers
