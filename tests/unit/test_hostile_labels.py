"""Whatever stands in labels and variables: no exception, one clear line for each problem, and nobody else is touched.

`make soak` tries a hundred thousand of each, or SOAK_EXAMPLES.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given

from proxy.core.containers.containers import Container
from proxy.core.containers.links import parse_link_variables
from proxy.core.labels import simple_routing
from proxy.core.labels.labels import parse_container
from proxy.core.model.model import Backend, RoutingModel, Server
from proxy.errors import Problem, SettingsError
from proxy.settings import ExtraSettings, Settings
from proxy.settings.parser import parse_settings
from tests.builders import make_model, make_pem, make_renderer, make_settings, one_line
from tests.hostile_labels import (
    BYSTANDER_HOST,
    SOAK_EXAMPLES,
    bystander,
    containers,
    examples,
    groups,
    link_variables,
    routing_label_sets,
    variable_sets,
)

FEW, MANY = examples(150), examples(SOAK_EXAMPLES)
LONGEST_LINE = 2000
PIECES_OF_KEY = re.findall(r".{10}", "\n".join(make_pem("a.example").splitlines()[1:4]))
"""The private key that some values hold."""
UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of what changes how a line is shown, or begins another one."""
SAFE, SIMPLE = make_settings(PROXY_ALLOW_EXTRA_SETTINGS="false"), make_settings(PROXY_MODE="acsrouting")
RENDERERS = {settings.routing.routing_mode: make_renderer(settings, Path("/state")) for settings in (SAFE, SIMPLE)}


def expect_safe_lines(problems: tuple[Problem, ...]) -> None:
    for problem in map(str, problems):
        assert not any(piece in problem for piece in PIECES_OF_KEY), problem
        assert not {unicodedata.category(letter) for letter in problem} & UNSAFE, problem
        assert len(problem) <= LONGEST_LINE


def check_container(container: Container) -> None:
    for extra_settings in ExtraSettings:
        expect_safe_lines(parse_container(container, extra_settings=extra_settings)[1])
    expect_safe_lines(simple_routing.parse_container(container, SIMPLE.routing.simple)[1])


def backend_of_bystander(model: RoutingModel) -> tuple[Backend, list[Server]]:
    backend = next(backend for backend in model.backends if "calm:bystander" in backend.name)
    return backend, [*backend.servers]


def check_group(others: list[Container], settings: Settings = SAFE) -> None:
    """The bystander's backend is what it is without the others, and all of it can be printed."""
    alone = make_model(bystander(), settings=settings)

    together = make_model(bystander(), *others, settings=settings)

    assert backend_of_bystander(alone) == backend_of_bystander(together)
    expect_safe_lines(together.problems)
    expect_safe_lines(together.notes)
    files = RENDERERS[settings.routing.routing_mode].render(together).files
    assert BYSTANDER_HOST in files["maps/80-hosts.map"]


def check_links(variables: dict[str, str]) -> None:
    linked = parse_link_variables(variables)
    for container in linked:
        expect_safe_lines(parse_container(container, extra_settings=ExtraSettings.OWN_SERVICE)[1])
    check_group([*linked])


def check_variables(variables: dict[str, str]) -> None:
    try:
        parse_settings(variables, read_nothing)
    except SettingsError as error:
        expect_safe_lines(tuple(Problem(service="proxy", reason=line) for line in error.faults))


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
@given(groups(label_sets=routing_label_sets))
def test_containers_of_simple_routing_beside_a_service_that_was_there_before(others: list[Container]) -> None:
    check_group(others, SIMPLE)


@FEW
@given(link_variables())
def test_variables_of_links(variables: dict[str, str]) -> None:
    check_links(variables)


@FEW
@example({"BALANCE": "\u202e" * 195})
@example({"EXTRA_SSL_CERTS": "http-request" * 160})
@example({"EXTRA_SSL_CERTS": one_line(make_pem("a.example"))})
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
@pytest.mark.timeout(14400)
@MANY
@given(groups(label_sets=routing_label_sets))
def test_containers_of_simple_routing_beside_a_service_that_was_there_before_many_times(others: list[Container]) -> None:
    check_group(others, SIMPLE)


@pytest.mark.soak
@pytest.mark.timeout(14400)
@MANY
@given(link_variables())
def test_variables_of_links_many_times(variables: dict[str, str]) -> None:
    check_links(variables)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@MANY
@example({"BALANCE": "\u202e" * 195})
@example({"EXTRA_SSL_CERTS": "http-request" * 160})
@example({"EXTRA_SSL_CERTS": one_line(make_pem("a.example"))})
@given(variable_sets)
def test_variables_of_the_proxy_many_times(variables: dict[str, str]) -> None:
    check_variables(variables)
