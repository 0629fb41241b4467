"""Whatever stands in labels and variables: no exception, one clear line for each problem, and nobody else is touched.

`make soak` tries a hundred thousand of each.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from proxy.core.containers.containers import Container
from proxy.core.labels import simple_routing
from proxy.core.labels.labels import parse_container
from proxy.core.model.model import Backend, RoutingModel, Server
from proxy.errors import Problem, SettingsError
from proxy.settings import ExtraSettings
from proxy.settings.parser import parse_settings
from tests.builders import make_model, make_renderer, make_settings
from tests.hostile_labels import BYSTANDER_HOST, bystander, containers, groups, variable_sets

FEW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=100_000, deadline=None, suppress_health_check=list(HealthCheck))
LONGEST_LINE = 2000
UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of what changes how a line is shown, or begins another one."""
SAFE, SIMPLE = make_settings(PROXY_ALLOW_EXTRA_SETTINGS="false"), make_settings(PROXY_ROUTING_MODE="acsrouting")


def expect_one_line_each(problems: tuple[Problem, ...]) -> None:
    for problem in map(str, problems):
        assert not {unicodedata.category(letter) for letter in problem} & UNSAFE, problem
        assert len(problem) <= LONGEST_LINE


def check_container(container: Container) -> None:
    for extra_settings in ExtraSettings:
        expect_one_line_each(parse_container(container, extra_settings=extra_settings)[1])
    expect_one_line_each(simple_routing.parse_container(container, SIMPLE.routing.simple)[1])


def backend_of_bystander(model: RoutingModel) -> tuple[Backend, list[Server]]:
    backend = next(backend for backend in model.backends if "calm:bystander" in backend.name)
    return backend, [*backend.servers]


def check_group(others: list[Container]) -> None:
    """The bystander's backend is what it is without the others, and all of it can be printed."""
    alone = make_model(bystander(), settings=SAFE)

    together = make_model(bystander(), *others, settings=SAFE)

    assert backend_of_bystander(alone) == backend_of_bystander(together)
    expect_one_line_each(together.problems)
    expect_one_line_each(together.notes)
    files = make_renderer(SAFE, Path("/state")).render(together).files
    assert BYSTANDER_HOST in files["maps/80-hosts.map"]


def check_variables(variables: dict[str, str]) -> None:
    try:
        parse_settings(variables, read_nothing)
    except SettingsError as error:
        expect_one_line_each(tuple(Problem(service="proxy", reason=line) for line in error.faults))


def read_nothing(path: Path) -> str:
    raise FileNotFoundError(2, "No such file or directory", str(path))


@FEW
@given(containers())
def test_labels_of_one_container(container: Container) -> None:
    check_container(container)


@FEW
@given(groups())
def test_containers_beside_a_service_that_was_there_before(others: list[Container]) -> None:
    check_group(others)


@FEW
@given(variable_sets)
def test_variables_of_the_proxy(variables: dict[str, str]) -> None:
    check_variables(variables)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@MANY
@given(containers())
def test_labels_of_one_container_many_times(container: Container) -> None:
    check_container(container)


@pytest.mark.soak
@pytest.mark.timeout(14400)
@MANY
@given(groups())
def test_containers_beside_a_service_that_was_there_before_many_times(others: list[Container]) -> None:
    check_group(others)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@MANY
@given(variable_sets)
def test_variables_of_the_proxy_many_times(variables: dict[str, str]) -> None:
    check_variables(variables)
