"""Containers without labels of ours are inspected once, in the background, and only where it may help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from proxy.adapters.engine.misplaced_settings import MisplacedSettings
from proxy.core.containers.containers import Container, ProxyContainer
from proxy.core.trigger import Trigger
from proxy.settings import Scope
from tests.builders import make_container
from tests.eventually import eventually

PROXY = ProxyContainer(id="0" * 64, project="shop")


class FakeInspector:
    """Every container has these variables. `calls` are the questions."""

    def __init__(self, *variables: str) -> None:
        self.variables = variables
        self.calls: list[str] = []

    def inspect_container(self, container: str) -> Mapping[str, Any]:
        self.calls.append(container)
        return {"Id": container, "Config": {"Env": ["PATH=/bin", *self.variables]}}


def lay_over(overlay: MisplacedSettings, *containers: Container) -> list[Container]:
    laid_over = overlay.lay_over({(each.source, each.id): each for each in containers}, PROXY, frozenset())
    return [container for container in laid_over.values() if container]


def test_variables_are_found() -> None:
    (found,) = lay_over(MisplacedSettings(FakeInspector("VIRTUAL_HOST=a.com"), Scope(), None), make_container())

    assert {"VIRTUAL_HOST": "a.com"} == found.environment


@pytest.mark.parametrize(
    "container",
    [
        pytest.param(make_container(virtual_host="a.com"), id="has labels of ours"),
        pytest.param(make_container(alias="web"), id="linked"),
        pytest.param(make_container(project="other"), id="outside the scope"),
        pytest.param(make_container(source="file"), id="not of an engine"),
    ],
)
def test_others_are_not_inspected(container: Container) -> None:
    engine = FakeInspector("VIRTUAL_HOST=a.com")

    assert [container] == lay_over(MisplacedSettings(engine, Scope(), None), container)
    assert [] == engine.calls


def test_containers_are_inspected_in_the_background_and_once() -> None:
    engine, triggers = FakeInspector("VIRTUAL_HOST=a.com"), list[Trigger]()
    overlay, container = MisplacedSettings(engine, Scope(), triggers.append), make_container()

    assert [container] == lay_over(overlay, container)
    eventually(lambda: triggers)
    changed = overlay.changed()
    lay_over(overlay, container)
    (found,) = lay_over(overlay, container)

    assert {(container.source, container.id)} == changed
    assert ({"VIRTUAL_HOST": "a.com"}, 1) == (found.environment, engine.calls.count(container.id))
