"""What stands in the state folder under a name of ours, and is something else, is moved aside and told."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from proxy.adapters.haproxy.obstacles import NAMES, clear_obstacles
from proxy.adapters.haproxy.state_files import StateFiles
from proxy.adapters.haproxy.state_layout import CONFIG_FILE, StateLayout, StateLock
from proxy.errors import StateError

FOLDERS = ("generations", "checks", "kept")


def moved(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".moved-" in path.name)


def block(path: Path) -> None:
    """Put something of the wrong kind there."""
    if path.name in FOLDERS:
        path.write_text("somebody's")
    else:
        path.mkdir()
        (path / "somebody's").touch()


@pytest.mark.parametrize("name", NAMES)
def test_thing_of_the_wrong_kind_is_moved_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    block(tmp_path / name)

    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            clear_obstacles(StateLayout(folder=tmp_path))

    assert [f"{name}.moved-1"] == moved(tmp_path)
    assert 1 == caplog.text.count(f"the proxy needs this name; it is now {name}.moved-1")


@pytest.mark.parametrize("name", NAMES)
def test_thing_of_the_right_kind_stays(tmp_path: Path, name: str) -> None:
    if name in FOLDERS:
        (tmp_path / name).mkdir()
    elif name.startswith("current"):
        (tmp_path / name).symlink_to("generations/1")
    else:
        (tmp_path / name).touch()

    clear_obstacles(StateLayout(folder=tmp_path))

    assert [] == moved(tmp_path)


def test_second_one_gets_a_name_of_its_own(tmp_path: Path) -> None:
    for _ in range(2):
        block(tmp_path / "current")
        clear_obstacles(StateLayout(folder=tmp_path))

    assert ["current.moved-1", "current.moved-2"] == moved(tmp_path)


def test_files_are_written_although_everything_was_in_the_way(tmp_path: Path) -> None:
    for name in NAMES:
        block(tmp_path / name)
    layout = StateLayout(folder=tmp_path)

    with StateFiles(layout) as files:
        files.promote(files.write_candidate({CONFIG_FILE: "global\n"}))
        block(tmp_path / "current.new")
        files.promote(files.write_candidate({CONFIG_FILE: "global\n    description two\n"}))

    assert "description two" in layout.config.read_text()


def test_what_cannot_be_moved_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block(tmp_path / "generations")

    def refuse(path: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "rename", refuse)

    with pytest.raises(
        StateError, match=r"generations is no folder, .* cannot be moved \(Operation not permitted\); remove it"
    ):
        StateFiles(StateLayout(folder=tmp_path))
    StateLock(StateLayout(folder=tmp_path), "controller.lock").release()
