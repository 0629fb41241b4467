"""Links are understood from the variables alone."""

from __future__ import annotations

import pytest

from proxy.adapters.engine.link_source import LinkSource
from proxy.core.containers.containers import Container, ContainerPort, Snapshot
from proxy.core.containers.links import parse_link_variables, service_of_alias

WEBAPP = {
    "PATH": "/bin",
    "WEBAPP_PORT": "tcp://172.17.0.5:80",
    "WEBAPP_PORT_80_TCP": "tcp://172.17.0.5:80",
    "WEBAPP_PORT_80_TCP_ADDR": "172.17.0.5",
    "WEBAPP_PORT_80_TCP_PORT": "80",
    "WEBAPP_PORT_80_TCP_PROTO": "tcp",
    "WEBAPP_PORT_443_TCP": "tcp://172.17.0.5:443",
    "WEBAPP_PORT_53_UDP": "udp://172.17.0.5:53",
    "WEBAPP_NAME": "/proxy/webapp",
    "WEBAPP_ENV_VIRTUAL_HOST": "www.example.com",
}


def aliases_of(environment: dict[str, str]) -> list[str]:
    return [container.alias for container in parse_link_variables(environment)]


def test_link_becomes_a_container_with_ports_address_and_environment() -> None:
    snapshot = LinkSource(WEBAPP).read()

    assert snapshot == Snapshot(
        containers=(
            Container(
                id="webapp",
                name="webapp",
                source="links",
                service="webapp",
                alias="webapp",
                environment={"VIRTUAL_HOST": "www.example.com"},
                ports=(ContainerPort(number=80), ContainerPort(number=443)),
                address="172.17.0.5",
            ),
        )
    )


def test_alias_comes_from_the_name_since_variables_cannot_have_a_dash() -> None:
    environment = {"WEB_APP_2_PORT_80_TCP": "tcp://172.17.0.5:80", "WEB_APP_2_NAME": "/proxy/Web-App-2"}

    (container,) = parse_link_variables(environment)

    assert (container.alias, container.service) == ("web-app-2", "web-app")


def test_alias_without_a_name_is_the_variables_prefix() -> None:
    assert aliases_of({"WEB_1_PORT_80_TCP": "tcp://172.17.0.5:80"}) == ["web_1"]


def test_address_may_be_of_version_six() -> None:
    (container,) = parse_link_variables({"WEB_PORT_80_TCP": "tcp://[fd00::5]:80"})

    assert container.address == "fd00::5"


def test_containers_are_sorted_whatever_the_order_of_variables() -> None:
    environment = {"B_PORT_80_TCP": "tcp://172.17.0.6:80", "A_PORT_80_TCP": "tcp://172.17.0.5:80"}

    assert aliases_of(environment) == ["a", "b"]


def test_several_aliases_of_one_container_count_as_the_shortest() -> None:
    """The first Compose gave each linked container three aliases."""
    value = "tcp://172.17.0.5:80"
    environment = {"SHOP_WEB_1_PORT_80_TCP": value, "WEB_PORT_80_TCP": value, "WEB_1_PORT_80_TCP": value}

    assert aliases_of(environment) == ["web"]


def test_links_of_a_linked_container_are_not_ours() -> None:
    environment = WEBAPP | {"WEBAPP_ENV_DB_PORT_3306_TCP": "tcp://172.17.0.9:3306"}

    assert aliases_of(environment) == ["webapp"]


@pytest.mark.parametrize(
    "value", ["", "80", "udp://172.17.0.5:80", "tcp://172.17.0.5", "tcp://172.17.0.500:80", "tcp://172.17.0.5:99999"]
)
def test_malformed_value_is_no_link(value: str) -> None:
    assert parse_link_variables({"WEB_PORT_80_TCP": value}) == ()


@pytest.mark.parametrize(
    ("alias", "expected"),
    [("web-1", "web"), ("web_12", "web"), ("web", "web"), ("web-1-2", "web-1"), ("web1", "web1"), ("-1", "-1")],
)
def test_number_at_the_end_of_an_alias_is_not_part_of_the_service(alias: str, expected: str) -> None:
    assert service_of_alias(alias) == expected
