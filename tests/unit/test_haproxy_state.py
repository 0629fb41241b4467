"""The running HAProxy is changed by commands if possible, else by a reload with a reason. The disk follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.core.haproxy.plans import Reload, RuntimeUpdate, Unchanged
from tests.builders import make_container
from tests.controller import Controller
from tests.eventually import eventually

FIRST = make_container("first-1", virtual_host="first.example")
SECOND = make_container("second-1", virtual_host="second.example")


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    controller = Controller(tmp_path)
    controller.run(FIRST)
    controller.haproxy.sent.clear()
    return controller


def test_new_service_is_brought_up_by_commands(controller: Controller) -> None:
    plan = controller.plan(FIRST, SECOND)

    assert isinstance(plan, RuntimeUpdate)
    assert any(text.startswith("add backend shop:second from ") for text in controller.haproxy.sent)
    assert "publish backend shop:second" in controller.haproxy.sent
    assert 0 == controller.haproxy.reloads


def test_pass_without_a_change_sends_nothing(controller: Controller) -> None:
    plan = controller.plan(FIRST)

    assert Unchanged() == plan
    assert [] == controller.haproxy.sent


@pytest.mark.parametrize("refused", ["add backend", "add server", "publish backend", "add map"])
def test_refused_command_becomes_a_reload_that_names_it(controller: Controller, refused: str) -> None:
    controller.haproxy.refused_command = refused

    plan = controller.plan(FIRST, SECOND)

    assert isinstance(plan, Reload)
    assert plan.reasons[0].startswith(f"HAProxy refuses `{refused}")
    assert 1 == controller.haproxy.reloads


def test_older_haproxy_is_reloaded_for_a_new_backend(tmp_path: Path) -> None:
    controller = Controller(tmp_path, has_backends=False)
    controller.run(FIRST)

    plan = controller.plan(FIRST, SECOND)

    assert Reload(("new backend shop:second; this HAProxy version needs a reload for it",)) == plan
    assert [] == controller.haproxy.sent


def test_failed_reload_says_why_and_goes_back_to_the_files_before(controller: Controller) -> None:
    before = controller.fake_disk.current
    controller.haproxy.reload_failure = "no memory"

    outcome = controller.run(FIRST, make_container("new-1", virtual_host="new.example:8080"))

    assert not outcome.is_success
    assert "no memory" in outcome.sentence
    assert before == controller.fake_disk.current


def test_server_with_connections_is_deleted_when_they_have_ended(controller: Controller) -> None:
    second = make_container("first-2", virtual_host="first.example", service="first")
    controller.run(FIRST, second)
    controller.run(FIRST, second)
    controller.haproxy.attached = "del server"
    controller.run(FIRST)
    controller.haproxy.attached = ""
    controller.haproxy.sent.clear()

    too_soon = controller.run(FIRST)
    outcome = controller.run(FIRST, seconds=too_soon.again_in or 0)
    again = controller.run(FIRST)

    assert ["del server"] == [" ".join(text.split()[:2]) for text in controller.haproxy.sent]
    assert [Unchanged()] * 3 == [too_soon.plan, outcome.plan, again.plan]


def test_disk_follows_a_change_without_holding_the_pass_up(controller: Controller) -> None:
    controller.run(FIRST, SECOND)

    waits = controller.run(FIRST, SECOND, seconds=0.1).again_in
    controller.run(FIRST, SECOND, seconds=5.0)

    assert waits is not None
    assert 0 < waits <= 1.0
    assert eventually(lambda: "second.example" in str(controller.fake_disk.current))
