"""While a new version of a service starts, the old one decides on the routes; the new one does as soon as it is ready."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from proxy.core.containers.containers import Container, Health
from tests.builders import make_container, with_labels
from tests.controlled import Controlled
from tests.unit.test_transaction_examples import bring, rows

OLD = make_container("web-1", created=1, labels=with_labels(VIRTUAL_HOST="old.example"))


def make_new(**labels: str) -> Container:
    return make_container("web-2", created=2, labels=with_labels(VIRTUAL_HOST="new.example", **labels))


@pytest.fixture
def world(tmp_path: Path) -> Controlled:
    """A controller that serves the old version. New servers accept connections when the test says so."""
    world = Controlled(tmp_path)
    world.haproxy.refuses = ("broken",)
    bring(world, OLD)
    world.prober.answers_at_once = False
    return world


def test_new_version_decides_when_it_accepts_connections(world: Controlled) -> None:
    bring(world, OLD, make_new())
    assert ["old.example"] == rows(world)

    world.prober.answer()
    bring(world, OLD, make_new())

    assert ["new.example"] == rows(world)


def test_old_version_decides_again_when_the_new_one_becomes_unhealthy(world: Controlled) -> None:
    world.prober.answers_at_once = True
    bring(world, OLD, make_new())
    assert ["new.example"] == rows(world)

    bring(world, OLD, dataclasses.replace(make_new(), health=Health.UNHEALTHY))

    assert ["old.example"] == rows(world)


def test_settings_of_a_new_version_are_checked_before_it_is_ready(world: Controlled) -> None:
    """When it becomes ready, its settings count at once."""
    bring(world, OLD, make_new(EXTRA_SETTINGS="description broken"))

    (problem,) = world.controller.desired.problems()
    assert "aliyun.proxy.EXTRA_SETTINGS" == problem.setting


def test_new_version_that_haproxy_refuses_leaves_the_old_one_in_place(world: Controlled) -> None:
    bring(world, OLD, make_new(EXTRA_SETTINGS="description broken"))

    assert ["old.example"] == rows(world)
    (backend,) = world.model().backends
    assert ["web-1"] == [server.container for server in backend.servers]
