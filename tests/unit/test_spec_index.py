"""What containers ask for, kept up to date. A route outlives the last container of its service for a while."""

from __future__ import annotations

from proxy.core.containers.containers import Container, State
from proxy.core.labels.labels import parse_container
from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.spec_index import SpecIndex
from proxy.errors import Problem
from tests.builders import make_container, make_settings

WEB = make_container("web-1", virtual_host="a.com")
KEY = (WEB.source, WEB.id)
LINGER = make_settings(ROUTE_LINGER="10").routing.linger_seconds


def parse(container: Container) -> tuple[tuple[ContainerSpec, ...], tuple[Problem, ...]]:
    spec, problems = parse_container(container)
    return (spec,) if spec else (), problems


def index_with(*containers: Container, keep_seconds: float = LINGER) -> SpecIndex:
    index = SpecIndex(parse, keep_seconds=keep_seconds)
    index.update({(c.source, c.id): c for c in containers}, 0)
    return index


def test_change_of_a_container_touches_its_service() -> None:
    index = index_with(WEB, make_container("api-1", virtual_host="b.com"))

    touched = index.update({KEY: make_container("web-1", virtual_host="c.com")}, 1)

    assert {"shop:web"} == touched
    assert ["c.com"] == [spec.virtual_host_text for spec in index.specs("shop:web")]


def test_route_of_a_service_lingers_after_its_last_container() -> None:
    index = index_with(WEB)

    index.update({KEY: None}, 100)

    assert [State.STOPPED] == [spec.container.state for spec in index.specs("shop:web")]
    assert 100 + LINGER == index.next_expiry()


def test_lingering_route_goes_when_its_time_is_over() -> None:
    index = index_with(WEB)
    index.update({KEY: None}, 100)

    too_early, in_time = index.expire(100 + LINGER - 1), index.expire(100 + LINGER)

    assert (set(), {"shop:web"}) == (too_early, in_time)
    assert () == index.specs("shop:web")


def test_new_container_ends_the_lingering() -> None:
    index = index_with(WEB)
    index.update({KEY: None}, 100)

    index.update({KEY: WEB}, 101)

    assert [State.RUNNING] == [spec.container.state for spec in index.specs("shop:web")]
    assert index.next_expiry() is None


def test_nothing_lingers_where_that_is_switched_off() -> None:
    index = index_with(WEB, keep_seconds=0)

    index.update({KEY: None}, 100)

    assert () == index.specs("shop:web")


def test_other_containers_of_the_service_leave_nothing_to_linger() -> None:
    index = index_with(WEB, make_container("web-2", virtual_host="a.com"))

    index.update({KEY: None}, 100)

    assert ["web-2"] == [spec.container.name for spec in index.specs("shop:web")]


def test_problem_goes_with_its_container() -> None:
    index = index_with(make_container("web-1", virtual_host="a.com:x"))
    before = len(index.problems())

    index.update({KEY: None}, 1)

    assert (1, 0) == (before, len(index.problems()))
