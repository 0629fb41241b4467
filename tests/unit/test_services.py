"""From containers to services: scope (ADDITIONAL_SERVICES), grouping, merging, and which container's settings are used."""

import pytest

from proxy.core.containers.containers import Container, ProxyContainer
from proxy.core.labels.labels import parse_container
from proxy.core.model.services import Service, group_services, is_in_scope
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
