"""A master is identified by its number, its start time and its command line, and never by the number alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.adapters.haproxy.master_identity import (
    MasterIdentity,
    find_masters,
    is_master,
    read_identity,
    read_mark,
    write_mark,
)
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.supervision.adopted_haproxy import AdoptedHaproxy
from proxy.supervision.haproxy_starts import find_obstacle
from tests.eventually import eventually

SLEEP = "import time; time.sleep(600)"


@pytest.fixture
def layout(tmp_path: Path) -> StateLayout:
    return StateLayout(folder=tmp_path)


@pytest.fixture
def process(layout: StateLayout) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process with the command line of a master on `layout`."""
    command = [sys.executable, "-c", SLEEP, "-S", f"{layout.master_socket},mode,600"]
    with subprocess.Popen(command, start_new_session=True) as process:
        yield process
        process.kill()


def identity_of(process: subprocess.Popen[bytes]) -> MasterIdentity:
    return read_identity(process.pid) or pytest.fail("it does not run")


def test_process_that_has_ended_but_was_not_waited_for_does_not_run(process: subprocess.Popen[bytes]) -> None:
    process.kill()

    assert eventually(lambda: read_identity(process.pid) is None)


def test_mark_tells_what_was_written(layout: StateLayout) -> None:
    identity = MasterIdentity(pid=12, start_time=3456)

    write_mark(layout.start_mark, identity)

    assert identity == read_mark(layout.start_mark)
    assert 0o600 == layout.start_mark.stat().st_mode & 0o777


@pytest.mark.parametrize("text", ["", "12", "12 x", "12 34 56", "\udcff"], ids=["empty", "short", "word", "long", "bytes"])
def test_mark_that_cannot_be_read_names_nobody(layout: StateLayout, text: str) -> None:
    layout.start_mark.write_text(text, errors="surrogateescape")

    assert read_mark(layout.start_mark) is None


def test_disk_that_refuses_leaves_the_mark_before_and_no_draft(layout: StateLayout) -> None:
    layout.start_mark.mkdir()

    with pytest.raises(OSError, match="directory"):
        write_mark(layout.start_mark, MasterIdentity(pid=12, start_time=3456))

    assert [layout.start_mark] == list(layout.folder.iterdir())


def test_process_is_a_master_of_its_own_socket_alone(process: subprocess.Popen[bytes], layout: StateLayout) -> None:
    identity = identity_of(process)

    assert eventually(lambda: is_master(identity, layout.master_socket))
    assert not is_master(identity, layout.folder / "other.sock")
    assert not is_master(MasterIdentity(pid=identity.pid, start_time=identity.start_time - 1), layout.master_socket)


def test_marked_master_is_found_first_and_other_ones_after_it(process: subprocess.Popen[bytes], layout: StateLayout) -> None:
    with subprocess.Popen(process.args, start_new_session=True) as newer:
        eventually(lambda: len(find_masters(layout)) == 2)
        unmarked = find_masters(layout)
        write_mark(layout.start_mark, identity_of(process))

        marked = find_masters(layout)
        newest = identity_of(newer)
        newer.kill()

    assert [identity_of(process), newest] == list(marked)
    assert newest in unmarked


def test_process_that_leads_no_session_is_a_worker(layout: StateLayout) -> None:
    command = [sys.executable, "-c", SLEEP, "-S", str(layout.master_socket)]
    with subprocess.Popen(command) as worker:
        eventually(lambda: is_master(identity_of(worker), layout.master_socket))
        found = find_masters(layout)
        worker.kill()

    assert () == found


def test_number_that_leads_to_another_process_meanwhile_is_not_adopted(process: subprocess.Popen[bytes]) -> None:
    identity = identity_of(process)

    assert AdoptedHaproxy.adopt(MasterIdentity(pid=identity.pid, start_time=identity.start_time + 1)) is None


@pytest.mark.parametrize("has_pidfd", [True, False], ids=["pidfd", "start time"])
def test_adopted_process_is_signalled_until_it_has_ended(process: subprocess.Popen[bytes], has_pidfd: bool) -> None:
    pidfd = os.pidfd_open(process.pid) if has_pidfd else None
    adopted = AdoptedHaproxy(identity_of(process), pidfd)
    before = adopted.poll()

    adopted.send_signal(signal.SIGTERM)
    eventually(lambda: adopted.poll() is not None)
    process.wait()
    adopted.send_signal(signal.SIGTERM)

    assert before is None
    assert has_pidfd == adopted.announces_end


def test_file_in_the_place_of_a_socket_is_no_obstacle(layout: StateLayout) -> None:
    """HAProxy replaces it [tried: 2.6 and 3.4]."""
    layout.master_socket.write_text("a file")

    assert find_obstacle(layout) is None


def test_file_of_another_user_that_may_not_be_replaced_is_told(layout: StateLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    layout.runtime_socket.write_text("a file")
    layout.folder.chmod(0o1777)
    monkeypatch.setattr(os, "geteuid", lambda: layout.folder.stat().st_uid + 12345)

    obstacle = find_obstacle(layout)

    assert f"{layout.runtime_socket} belongs to user {layout.folder.stat().st_uid}" in (obstacle or "")
