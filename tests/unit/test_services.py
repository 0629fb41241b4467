"""From containers to services: scope (ADDITIONAL_SERVICES), grouping, merging, and which container's settings are used."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest

from proxy.core.containers.containers import Container, Health, ProxyContainer, State
from proxy.core.labels.labels import parse_container
from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.services import Service, group_services, is_in_scope, join_keys
from tests.builders import make_container, make_settings, with_labels

PROXY = ProxyContainer(id="0" * 64, project="shop", service="proxy")
LONE_PROXY = ProxyContainer(id="0" * 64)
OWN = make_container(project="shop", service="web")
OTHER = make_container(project="blog", service="web")
LONE = make_container(project="", service="web")
LINKED = make_container(project="blog", service="web", alias="web")
FILED = make_container(project="blog", service="web", source="file")

SCOPES = {
    "own-project": ("", PROXY, OWN, True),
    "other-project": ("", PROXY, OTHER, False),
    "outside-of-projects": ("", PROXY, LONE, False),
    "named": ("blog:web", PROXY, OTHER, True),
    "own-project-beside-the-named": ("blog:web", PROXY, OWN, True),
    "one-of-two-named": ("x:y, blog:web", PROXY, OTHER, True),
    "other-service-named": ("blog:api", PROXY, OTHER, False),
    "everything": ("*", PROXY, OTHER, True),
    "everything-outside-of-projects": ("*", PROXY, LONE, True),
    "link": ("", PROXY, LINKED, True),
    "file": ("", PROXY, FILED, True),
    "proxy-without-project": ("", LONE_PROXY, OTHER, True),
    "proxy-outside-of-docker": ("", None, OTHER, True),
}


@pytest.mark.parametrize(("variable", "proxy", "container", "expected"), SCOPES.values(), ids=SCOPES)
def test_scope(variable: str, proxy: ProxyContainer | None, container: Container, expected: bool) -> None:
    scope = make_settings(ADDITIONAL_SERVICES=variable).routing.scope

    assert expected == is_in_scope(container, proxy, scope)


def services_of(*containers: Container) -> tuple[Service, ...]:
    return group_services(spec for spec, _ in map(parse_container, containers) if spec)


def test_containers_of_one_service_are_one() -> None:
    (service,) = services_of(make_container("web-2", virtual_host="a.com"), make_container("web-1", virtual_host="a.com"))

    assert ["web-1", "web-2"] == [member.container.name for member in service.members]
    assert ("shop:web", ("shop:web",)) == (service.name, service.labels)


def test_equal_names_in_two_projects_are_two_services() -> None:
    services = services_of(
        make_container(project="blog", virtual_host="b.com"), make_container(project="shop", virtual_host="a.com")
    )

    assert ["blog:web", "shop:web"] == [service.name for service in services]


def test_newest_container_s_settings_are_the_service_s() -> None:
    (service,) = services_of(
        make_container("web-1", created=20, labels=with_labels(VIRTUAL_HOST="new.com", BALANCE="source")),
        make_container("web-2", created=10, labels=with_labels(VIRTUAL_HOST="old.com", BALANCE="leastconn")),
    )

    assert (["new.com"], "source") == ([host.domain for host in service.virtual_hosts], service.settings.balance)
    assert 2 == len(service.members)


NOT_READY = {
    "paused": ({"state": State.PAUSED}, ()),
    "stopping": ({"state": State.STOPPING}, ()),
    "health check has not passed": ({"health": Health.STARTING}, ()),
    "unhealthy": ({"health": Health.UNHEALTHY}, ()),
    "does not accept connections": ({}, (80, 81)),
}


def make_two_versions(waiting_ports: Iterable[int] = (), **newest: Any) -> list[ContainerSpec]:
    """Return the specs of an older container for old.com that is ready, and of a newer one for new.com."""
    new, old = (
        make_container("web-1", created=20, ports=(80, 81), labels=with_labels(VIRTUAL_HOST="new.com"), **newest),
        make_container("web-2", created=10, labels=with_labels(VIRTUAL_HOST="old.com")),
    )
    specs = [spec for spec, _ in map(parse_container, (new, old)) if spec]
    return [dataclasses.replace(specs[0], waiting_ports=frozenset(waiting_ports)), specs[1]]


@pytest.mark.parametrize(("newest", "waiting_ports"), NOT_READY.values(), ids=NOT_READY)
def test_newest_container_that_is_ready_decides(newest: dict[str, Any], waiting_ports: tuple[int, ...]) -> None:
    specs = make_two_versions(waiting_ports, **newest)

    (service,) = group_services(specs)

    assert ["old.com"] == [host.domain for host in service.virtual_hosts]
    assert 2 == len(service.members)
    assert frozenset({service.virtual_hosts}) == join_keys(specs)


def test_container_decides_as_soon_as_one_of_its_ports_accepts_connections() -> None:
    (service,) = group_services(make_two_versions(waiting_ports=(81,)))

    assert ["new.com"] == [host.domain for host in service.virtual_hosts]


def test_newest_container_decides_where_none_is_ready() -> None:
    new, old = make_two_versions(waiting_ports=(80, 81))

    (service,) = group_services([new, dataclasses.replace(old, waiting_ports=frozenset({80}))])

    assert ["new.com"] == [host.domain for host in service.virtual_hosts]


def test_tcp_ports_of_a_container_that_is_not_ready_are_open() -> None:
    """Otherwise it would have no server that could accept a connection, and would never be ready."""
    new, old, oldest = (
        make_container(f"web-{created}", created=created, ports=(port,), labels=with_labels(TCP_PORTS=str(port)), **keys)
        for created, port, keys in ((3, 6380, {"health": Health.STARTING}), (2, 6379, {}), (1, 6378, {}))
    )

    (service,) = services_of(new, old, oldest)

    assert [6379, 6380] == [port.number for port in service.tcp_ports]


def test_services_with_equal_virtual_hosts_are_one() -> None:
    (service,) = services_of(
        make_container("a-1", labels=with_labels(VIRTUAL_HOST="x.com", COOKIE="SRV insert")),
        make_container("b-1", labels=with_labels(VIRTUAL_HOST="http://X.com:80", BALANCE="source", FAILOVER="yes")),
    )

    assert ("shop:a", ("shop:a", "shop:b")) == (service.name, service.labels)
    assert ("SRV insert", "source") == (service.settings.cookie, service.settings.balance)
    assert [False, True] == [member.settings.is_backup for member in service.members]


def test_services_whose_virtual_hosts_differ_are_two() -> None:
    services = services_of(make_container("a-1", virtual_host="x.com"), make_container("b-1", virtual_host="x.com, y.com"))

    assert ["shop:a", "shop:b"] == [service.name for service in services]


def test_services_without_virtual_host_are_one_default() -> None:
    (service,) = services_of(
        make_container("a-1", labels=with_labels(required="true")),
        make_container("b-1", labels=with_labels(required="true")),
    )

    assert ("shop:a", "shop:b") == service.labels
