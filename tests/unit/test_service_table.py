"""Services are grouped again only where something changed. The order of changes does not matter."""

from proxy.core.labels.labels import parse_container
from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.service_table import ServiceTable
from proxy.core.model.services import group_services, join_keys
from tests.builders import make_container


def specs(name: str, host: str) -> tuple[ContainerSpec, ...]:
    spec, _ = parse_container(make_container(f"{name}-1", virtual_host=host))
    assert spec is not None
    return (spec,)


def make_table() -> ServiceTable:
    table = ServiceTable(group_services, join_keys)
    table.apply({"shop:a": specs("a", "a.example"), "shop:b": specs("b", "b.example")})
    return table


def test_change_tells_of_its_service_only() -> None:
    removed, added = make_table().apply({"shop:a": specs("a", "new.example")})

    assert (["shop:a"], ["shop:a"]) == ([s.name for s in removed], [s.name for s in added])


def test_same_specs_change_nothing() -> None:
    assert ([], []) == make_table().apply({"shop:a": specs("a", "a.example")})


def test_service_that_takes_anothers_hosts_joins_it() -> None:
    table = make_table()

    removed, added = table.apply({"shop:b": specs("b", "a.example")})

    assert ["shop:a", "shop:b"] == sorted(service.name for service in removed)
    assert [("shop:a", "shop:b")] == [service.labels for service in added]


def test_services_that_part_are_two_again() -> None:
    table = make_table()
    before = table.services()
    table.apply({"shop:b": specs("b", "a.example")})

    table.apply({"shop:b": specs("b", "b.example")})

    assert before == table.services()


def test_nothing_is_left_of_a_removed_service() -> None:
    table = make_table()

    table.apply({"shop:a": ()})

    assert ["shop:b"] == [service.name for service in table.services()]
    assert ["shop:b"] == [spec.label for spec in table.specs()]
