"""Servers that get no requests become problems of the pass and of its status, with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from proxy.controller.unserved_servers import PATIENCE_SECONDS
from proxy.core.containers.containers import Health, State
from proxy.core.model.model import UNHEALTHY, WAITING
from tests.builders import make_container
from tests.controller import Controller

WEB = make_container("web-1", virtual_host="a.com")
DOWN = "down: its health check fails (L7STS/404, Not Found)"


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    """A controller that serves `WEB`."""
    controller = Controller(tmp_path)
    controller.run(WEB)
    return controller


def reasons(controller: Controller, *, seconds: float) -> list[str]:
    """Return the problems of the next pass, after some time."""
    controller.now += seconds
    return [problem.reason for problem in controller.look().problems]


def server_of(controller: Controller) -> tuple[str, str]:
    assert controller.haproxy.running
    (name,) = controller.haproxy.running.servers["shop:web"]
    return "shop:web", name


def test_server_that_is_down_is_a_problem_until_it_is_up(controller: Controller) -> None:
    place = server_of(controller)

    controller.haproxy.down = {place: DOWN}
    while_down = reasons(controller, seconds=10)
    told = controller.look().servers
    controller.haproxy.down = {}
    afterwards = reasons(controller, seconds=10)

    assert ([f"server {place[1]} gets no requests: {DOWN}"], []) == (while_down, afterwards)
    assert {"/".join(place): DOWN} == told


def test_server_that_is_not_in_the_model_is_no_problem(controller: Controller) -> None:
    controller.haproxy.down = {("legacy", "one"): DOWN, ("shop:web", "web-0"): DOWN}

    assert [] == reasons(controller, seconds=10)


def test_haproxy_is_not_asked_at_every_pass(controller: Controller) -> None:
    asked: list[str] = []
    controller.now += 10
    controller.haproxy.fault = asked.append

    for _ in range(5):
        controller.look()

    assert 1 == asked.count("read_down")


def test_server_that_is_waited_for_is_a_problem_after_a_while(controller: Controller) -> None:
    controller.prober.answers_at_once = False
    controller.run(WEB, make_container("web-2", virtual_host="a.com"))

    at_once, later = reasons(controller, seconds=1), reasons(controller, seconds=PATIENCE_SECONDS)
    told = [*controller.look().servers.values()]
    controller.prober.answer()
    afterwards = reasons(controller, seconds=1)

    assert ([], [], [WAITING]) == (at_once, afterwards, told)
    assert [True] == [reason.endswith(f"maint: {WAITING}") for reason in later]


def test_unhealthy_server_is_a_problem_at_once_and_a_paused_one_is_none(controller: Controller) -> None:
    controller.run(replace(WEB, health=Health.UNHEALTHY))
    unhealthy = reasons(controller, seconds=1)
    controller.run(replace(WEB, state=State.PAUSED))

    assert [True] == [reason.endswith(f"maint: {UNHEALTHY}") for reason in unhealthy]
    assert [] == reasons(controller, seconds=60)
