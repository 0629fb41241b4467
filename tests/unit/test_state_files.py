"""The last good files are never damaged: not by a full disk, not by a crash, not by a second proxy."""

import os
import resource
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.adapters.haproxy.state_files import StateFiles
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.core.haproxy.file_names import CONFIG_FILE
from proxy.core.haproxy.loaded import add_digest, read_digest
from proxy.errors import StateError

FIRST = {"haproxy.cfg": "global\n", "maps/80-hosts.map": "a.test shop\n", "certs/shop.pem": "key one\r\nline two\n"}
SECOND = {**FIRST, "maps/80-hosts.map": "b.test shop\n"}


@pytest.fixture
def layout(tmp_path: Path) -> StateLayout:
    return StateLayout(folder=tmp_path / "state")


@pytest.fixture
def store(layout: StateLayout) -> Iterator[StateFiles]:
    with StateFiles(layout) as files:
        yield files


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Refuse files of more than 64 KiB, as a full disk does: the kernel writes a part, then refuses."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def generation_names(layout: StateLayout) -> set[str]:
    return {path.name for path in layout.generations.iterdir()}


def test_nothing_is_in_force_at_first(store: StateFiles) -> None:
    assert store.read_current() is None


def test_promoted_files_are_read_back_byte_for_byte(store: StateFiles, layout: StateLayout) -> None:
    store.promote(store.write_candidate(FIRST))

    assert FIRST == store.read_current()
    assert FIRST["haproxy.cfg"] == layout.config.read_text()


def test_candidate_changes_nothing_until_it_is_promoted(store: StateFiles) -> None:
    store.promote(store.write_candidate(FIRST))

    candidate = store.write_candidate(SECOND)

    assert FIRST == store.read_current()
    assert SECOND["maps/80-hosts.map"] == (candidate / "maps/80-hosts.map").read_text()


def test_files_and_folders_are_for_the_owner_only(store: StateFiles) -> None:
    previous = os.umask(0)
    try:
        candidate = store.write_candidate(FIRST)
    finally:
        os.umask(previous)

    paths = [candidate, *candidate.rglob("*")]
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths}

    assert {(True, 0o700), (False, 0o600)} == modes


def test_unchanged_file_is_the_same_file_and_a_changed_one_is_not(store: StateFiles, layout: StateLayout) -> None:
    store.promote(store.write_candidate(FIRST))

    candidate = store.write_candidate(SECOND)

    assert (candidate / "certs/shop.pem").samefile(layout.current / "certs/shop.pem")
    assert not (candidate / "maps/80-hosts.map").samefile(layout.current / "maps/80-hosts.map")


def test_rollback_brings_the_files_before_the_promotion_back(store: StateFiles) -> None:
    store.promote(store.write_candidate(FIRST))
    store.promote(store.write_candidate(SECOND))

    store.rollback()

    assert FIRST == store.read_current()


def test_rollback_of_the_very_first_files_leaves_none_in_force(store: StateFiles) -> None:
    store.promote(store.write_candidate(FIRST))

    store.rollback()

    assert store.read_current() is None


def test_second_rollback_is_refused_and_keeps_what_is_in_force(store: StateFiles) -> None:
    store.promote(store.write_candidate(FIRST))
    store.promote(store.write_candidate(SECOND))
    store.rollback()

    with pytest.raises(StateError, match="go back"):
        store.rollback()

    assert FIRST == store.read_current()


def test_discarded_candidate_leaves_nothing(store: StateFiles, layout: StateLayout) -> None:
    candidate = store.write_candidate(FIRST)

    store.discard(candidate)

    assert set() == generation_names(layout)


def test_two_generations_are_kept(store: StateFiles, layout: StateLayout) -> None:
    for number in range(5):
        store.promote(store.write_candidate({"haproxy.cfg": f"# {number}\n"}))

    assert 2 == len(generation_names(layout))
    assert {"haproxy.cfg": "# 4\n"} == store.read_current()


def test_full_disk_is_told_and_leaves_the_files_in_force(store: StateFiles, layout: StateLayout, small_disk: None) -> None:
    store.promote(store.write_candidate(FIRST))
    before = generation_names(layout)

    with pytest.raises(StateError, match="cannot be written"):
        store.write_candidate({**SECOND, "haproxy.cfg": "#" * (1 << 17)})

    assert FIRST == store.read_current()
    assert before == generation_names(layout)


def test_name_outside_the_folder_is_refused(store: StateFiles, layout: StateLayout) -> None:
    with pytest.raises(StateError, match="not the name of a file"):
        store.write_candidate({"haproxy.cfg": "", "../escaped": ""})

    assert not (layout.folder / "escaped").exists()
    assert set() == generation_names(layout)


def test_leftovers_of_a_crash_are_removed_once_it_is_known_what_haproxy_runs_from(layout: StateLayout) -> None:
    """Before that, HAProxy may run from any of them."""
    running, newer = add_digest("global\n    # the running one\n"), add_digest("global\n    # a newer one\n")
    with StateFiles(layout) as store:
        store.promote(store.write_candidate({CONFIG_FILE: running}))
        store.write_candidate(SECOND)

    with StateFiles(layout) as restarted:
        kept = len(generation_names(layout))
        pinned = restarted.pin(read_digest(running))
        for _ in range(3):
            restarted.promote(restarted.write_candidate({CONFIG_FILE: newer}))
        left = len(generation_names(layout))
        still_there = restarted.pin(read_digest(running))

    assert 2 == kept
    assert {CONFIG_FILE: running} == pinned == still_there
    assert 3 == left, "the one that runs, the one in force, and the one before it"


def test_files_that_nobody_has_cannot_be_pinned(store: StateFiles) -> None:
    store.promote(store.write_candidate(FIRST))

    assert (None, None) == (store.pin("0123"), store.pin(""))


def test_deleted_state_folder_is_made_again(store: StateFiles, layout: StateLayout) -> None:
    store.promote(store.write_candidate(FIRST))
    shutil.rmtree(layout.folder)

    store.promote(store.write_candidate(SECOND))

    assert SECOND == store.read_current()


def test_files_to_be_checked_are_apart_from_those_in_force(store: StateFiles, layout: StateLayout) -> None:
    folder = store.write_scratch(FIRST)
    text = (folder / "haproxy.cfg").read_text()
    store.discard(folder)

    assert FIRST["haproxy.cfg"] == text
    assert (None, set()) == (store.read_current(), generation_names(layout))


def test_generation_without_a_configuration_counts_as_none(store: StateFiles, layout: StateLayout) -> None:
    store.promote(store.write_candidate(FIRST))

    layout.config.unlink()

    assert store.read_current() is None


def test_dangling_symlink_counts_as_none_and_can_be_replaced(layout: StateLayout) -> None:
    layout.folder.mkdir()
    layout.current.symlink_to("generations/gone")

    with StateFiles(layout) as store:
        at_first = store.read_current()
        store.promote(store.write_candidate(FIRST))

        assert at_first is None
        assert FIRST == store.read_current()


def test_second_writer_is_refused_until_the_first_is_closed(layout: StateLayout) -> None:
    first = StateFiles(layout)

    with pytest.raises(StateError, match="another proxy uses the state folder"):
        StateFiles(layout)
    first.close()

    with StateFiles(layout) as second:
        assert second.read_current() is None


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StateError, match="cannot be used"):
        StateFiles(StateLayout(folder=tmp_path / "file" / "state"))


def test_relative_folder_is_refused() -> None:
    with pytest.raises(StateError, match="absolute"):
        StateLayout(folder=Path("state"))
