"""Files are brought up to date beside the deciding thread; nothing else uses the store meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

from proxy.controller.disk_writer import DiskWriter
from proxy.core.haproxy.rendering import DesiredState
from proxy.core.model.model import RoutingModel
from proxy.errors import StateError
from tests.eventually import eventually
from tests.fakes import FakeHaproxy, FakeStore


def state(text: str) -> DesiredState:
    return DesiredState(model=RoutingModel(), files={"haproxy.cfg": text})


def test_every_other_use_of_the_store_waits_for_the_write(tmp_path: Path) -> None:
    writer, may_go_on = DiskWriter(FakeStore(tmp_path), FakeHaproxy()), threading.Event()

    def render() -> DesiredState:
        may_go_on.wait(10)
        return state("new")

    writer.begin(render)
    was_busy = writer.is_busy()
    may_go_on.set()

    assert {"haproxy.cfg": "new"} == writer.read_current()
    assert (True, False) == (was_busy, writer.is_busy())


def test_files_that_haproxy_refuses_do_not_replace_those_in_force(tmp_path: Path) -> None:
    store = FakeStore(tmp_path)
    writer = DiskWriter(store, FakeHaproxy(refuses="bad"))
    writer.promote(writer.write_candidate(state("good").files))

    writer.begin(lambda: state("bad"))

    assert {"haproxy.cfg": "good"} == writer.read_current()
    assert not writer.take_failure()


def test_disk_that_fails_is_told_of_once(tmp_path: Path) -> None:
    writer = DiskWriter(FakeStore(tmp_path), FakeHaproxy())

    def render() -> DesiredState:
        raise StateError("no space")

    writer.begin(render)
    eventually(lambda: not writer.is_busy())

    assert (True, False) == (writer.take_failure(), writer.take_failure())
