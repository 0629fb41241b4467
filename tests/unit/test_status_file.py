"""The status file has the result of the last pass. If the disk is full, only this file is out of date."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from proxy.adapters.files.status_file import STATUS_FILE, Status, StatusFile, read_status
from tests.eventually import eventually


def status(passes: int) -> Status:
    return Status(pid=1, passes=passes, forced=0, sentence="nothing to change", is_success=True, problems=("one", "two"))


def test_last_status_is_what_is_read(tmp_path: Path) -> None:
    file = StatusFile(tmp_path)

    for passes in range(50):
        file.write(status(passes))

    assert eventually(lambda: read_status(tmp_path) == status(49))


def test_nothing_is_known_before_the_first_pass(tmp_path: Path) -> None:
    (tmp_path / STATUS_FILE).write_text("{half a")

    assert read_status(tmp_path) is None


def test_disk_that_cannot_be_written_is_told_of_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "state"
    file = StatusFile(folder)
    with caplog.at_level(logging.WARNING):
        file.write(status(1))
        eventually(lambda: "cannot be written" in caplog.text)
    folder.mkdir()

    file.write(status(2))

    assert eventually(lambda: read_status(folder) == status(2))
