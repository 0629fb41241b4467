"""Services get their weight's share of the visitors, however many containers they have."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.containers.containers import Container, Health
from proxy.core.model.server_weights import HAPROXY_MAX_WEIGHT, share_out
from tests.builders import make_container, make_model, with_labels
from tests.simple import simple_container, simple_model


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        pytest.param({"a": (100, 1), "b": (100, 1)}, {"a": 1, "b": 1}, id="equal"),
        pytest.param({"a": (100, 3), "b": (100, 1)}, {"a": 1, "b": 3}, id="three containers and one"),
        pytest.param({"a": (90, 1), "b": (10, 1)}, {"a": 9, "b": 1}, id="a tenth"),
        pytest.param({"a": (100, 2), "b": (0, 1)}, {"a": 1, "b": 0}, id="nothing"),
        pytest.param({"a": (0, 1), "b": (0, 2)}, {"a": 0, "b": 0}, id="nobody"),
        pytest.param({"a": (1_000_000, 1), "b": (1, 1)}, {"a": 256, "b": 1}, id="hardly anything is more than nothing"),
    ],
)
def test_servers_get_the_smallest_numbers_that_are_right(
    services: dict[str, tuple[int, int]], expected: dict[str, int]
) -> None:
    assert expected == share_out(services)


SERVICE = st.tuples(st.integers(10, 1000), st.integers(1, 5))
"""HAProxy's weights go from 1 to 256. So beside a very large share, a very small one becomes larger than it should be."""


@given(st.lists(SERVICE, min_size=1, max_size=4))
def test_shares_are_within_five_percent_of_the_whole(services: list[tuple[int, int]]) -> None:
    named = {str(number): service for number, service in enumerate(services)}

    given_weights = share_out(named)

    assert all(1 <= weight <= HAPROXY_MAX_WEIGHT for weight in given_weights.values())
    whole = sum(given_weights[name] * count for name, (_, count) in named.items())
    wanted = sum(weight for weight, _ in services)
    deviations = [abs(given_weights[name] * count / whole - weight / wanted) for name, (weight, count) in named.items()]
    assert max(deviations) < 0.05


def test_container_that_cannot_answer_does_not_count() -> None:
    """Two of three containers share the weight when one is unhealthy."""
    blue, *green = (simple_container(name) for name in ("blue-1", "green-1", "green-2", "green-3"))
    green[2] = dataclasses.replace(green[2], health=Health.UNHEALTHY)

    (backend,) = simple_model(blue, *green).backends

    expected = {"blue-1": 2, "green-1": 1, "green-2": 1, "green-3": 1}
    assert expected == {server.container: server.weight for server in backend.servers}


def custom(name: str, **labels: str) -> Container:
    return make_container(name, labels=with_labels(VIRTUAL_HOST="www.example.com", **labels))


def test_custom_services_without_weights_share_by_container() -> None:
    model = make_model(custom("blue-1"), custom("green-1"), custom("green-2"))

    (backend,) = model.backends
    assert [None, None, None] == [server.weight for server in backend.servers]


def test_custom_services_share_by_weight_once_one_has_any() -> None:
    model = make_model(custom("blue-1"), custom("green-1", WEIGHT="50"), custom("green-2", WEIGHT="50"))

    (backend,) = model.backends
    assert {"blue-1": 4, "green-1": 1, "green-2": 1} == {server.container: server.weight for server in backend.servers}
    assert [100, 50, 50] == [server.service_weight for server in backend.servers]


@pytest.mark.parametrize(
    ("cookie", "state"), [({}, "ready"), ({"COOKIE": "SRV insert indirect"}, "maint")], ids=["without cookie", "sticky"]
)
def test_sticky_visitors_leave_a_service_of_weight_0(cookie: dict[str, str], state: str) -> None:
    """HAProxy follows a cookie to a server of weight 0, but not to one in maintenance."""
    model = make_model(custom("blue-1", WEIGHT="0", **cookie), custom("green-1", **cookie))

    (backend,) = model.backends
    assert [(0, state), (1, "ready")] == [(server.weight, server.state) for server in backend.servers]
