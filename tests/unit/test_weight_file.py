"""Weights that a user has set override the labels, and are kept in a file."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from proxy.adapters.files.weight_file import WeightFile, read_weights, write_weights
from proxy.core.containers.containers import Container
from proxy.core.model.spec_index import Key
from proxy.errors import StateError
from tests.builders import make_container

LABEL = "aliyun.routing.weight"
KEY = ("docker", "1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.json"


def weight_after(file: WeightFile, container: Container | None, key: Key = KEY) -> str | None:
    laid_over = file.lay_over({key: container}, None, frozenset())[key]
    return laid_over.labels.get(LABEL) if laid_over else None


def test_weight_of_the_file_wins_over_the_label(path: Path) -> None:
    write_weights(path, {"shop:web": 10})
    file = WeightFile(path, LABEL)
    file.changed()

    assert "10" == weight_after(file, make_container("web-1", labels={LABEL: "100"}))
    assert "7" == weight_after(file, make_container("db-1", labels={LABEL: "7"}))


def test_change_of_the_file_names_the_containers_of_the_service(path: Path) -> None:
    file = WeightFile(path, LABEL)
    file.lay_over({KEY: make_container("web-1"), ("docker", "2"): make_container("db-1")}, None, frozenset())

    write_weights(path, {"shop:web": 10})

    assert {KEY} == file.changed()
    assert set() == file.changed()


def test_weight_taken_back_names_them_again(path: Path) -> None:
    write_weights(path, {"shop:web": 10})
    file = WeightFile(path, LABEL)
    file.changed()
    file.lay_over({KEY: make_container("web-1")}, None, frozenset())

    write_weights(path, {})

    assert {KEY} == file.changed()
    assert weight_after(file, make_container("web-1")) is None


def test_container_that_has_gone_is_forgotten(path: Path) -> None:
    file = WeightFile(path, LABEL)
    file.lay_over({KEY: make_container("web-1")}, None, frozenset())
    assert {KEY: None} == file.lay_over({KEY: None}, None, frozenset())

    write_weights(path, {"shop:web": 10})

    assert set() == file.changed()


def test_file_at_fault_changes_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_weights(path, {"shop:web": 10})
    file = WeightFile(path, LABEL)
    file.changed()
    path.write_text("{")

    with caplog.at_level(logging.WARNING):
        changed = [file.changed() for _ in range(3)]

    assert [set()] * 3 == changed
    assert "10" == weight_after(file, make_container("web-1"))
    assert 1 == caplog.text.count("the last known weights are used"), "a fault is told once"


@pytest.mark.parametrize("text", ["[]", '{"shop:web": "many"}', '{"shop:web": 1.5}', "nonsense"])
def test_nonsense_is_refused(path: Path, text: str) -> None:
    path.write_text(text)

    with pytest.raises(StateError, match=r"weights\.json"):
        read_weights(path)


def test_controller_may_read_what_root_has_written(path: Path) -> None:
    write_weights(path, {"shop:web": 10})

    assert 0o644 == path.stat().st_mode & 0o777
    assert {"shop:web": 10} == read_weights(path)
