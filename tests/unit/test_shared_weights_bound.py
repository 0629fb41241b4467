"""Weights that other nodes tell of do not fill the memory and the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.adapters.cluster.shared_weights import SharedWeights
from proxy.core.containers.node_state import SharedWeight


def test_new_names_are_left_out_where_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.adapters.cluster.shared_weights.MOST_WEIGHTS", 10)
    weights = SharedWeights(tmp_path / "weights.json", tmp_path / "record.json")

    for turn in range(5):
        weights.merge({f"shop:{turn}-{number}": SharedWeight(weight=1, stamp=turn) for number in range(4)})

    assert 10 == len(weights.look())
    assert weights.merge({"shop:0-0": SharedWeight(weight=7, stamp=99)})
    assert 7 == weights.look()["shop:0-0"].weight
