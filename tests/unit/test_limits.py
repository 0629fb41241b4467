"""HAProxy takes what the limit of open files allows, and it is said."""

from __future__ import annotations

import pytest

from proxy.core.model.limits import fit_connections
from tests.builders import make_model, make_settings


@pytest.mark.parametrize(
    ("variables", "open_files", "expected"),
    [
        pytest.param({}, 1_048_576, 4096, id="enough"),
        pytest.param({}, 4096, 1856, id="ulimit-of-4096"),
        pytest.param({"MAXCONN": "50000"}, 20_000, 9311, id="more-than-the-machine-has"),
        pytest.param({"MAXCONN": "1000"}, 4096, 1000, id="few-wanted"),
        pytest.param({"NBTHREAD": "2"}, 4096, 1886, id="threads-that-are-set"),
        pytest.param({}, 64, 1, id="next-to-nothing"),
    ],
)
def test_connections_fit_into_the_open_files(variables: dict[str, str], open_files: int, expected: int) -> None:
    settings = fit_connections(make_settings(**variables), open_files, cpus=18)

    assert expected == settings.haproxy.maxconn


def test_too_few_files_are_told_with_what_to_do() -> None:
    settings = fit_connections(make_settings(MAXCONN="50000"), 20_000, cpus=2)

    (problem,) = make_model(settings=settings).problems

    assert (
        "the proxy: MAXCONN='50000': the system allows the proxy too few open files, so HAProxy takes at most 9341 "
        "connections at the same time; raise the limit (--ulimit nofile=106923), or lower MAXCONN"
    ) == str(problem)
    raised = fit_connections(make_settings(MAXCONN="50000"), 106_923, cpus=2)
    assert () == make_model(settings=raised).problems


def test_enough_files_are_no_problem() -> None:
    assert () == make_model(settings=fit_connections(make_settings(), 20_000, cpus=2)).problems
