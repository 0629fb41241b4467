"""Docker's documents, as engines from 1.24 on write them, become the right values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proxy.core.containers.containers import Attachment, ContainerPort, Health, ProxyContainer, State
from proxy.core.containers.docker_json import (
    EngineEvent,
    parse_event,
    parse_inspected,
    parse_links,
    parse_listed,
    parse_proxy,
)
from proxy.core.containers.link_table import Link

ID = "e633d906076b200dcf607fb1a89b27a28583fd970aadd0961e87f3b5dc83527f"
NETWORKS = {
    "shop_default": {"IPAddress": "172.30.1.2", "Gateway": "172.30.1.1", "GlobalIPv6Address": "", "Links": None},
    "edge": {"IPAddress": "", "GlobalIPv6Address": "fd00::2", "IPv6Gateway": "fd00::1"},
}
LABELS = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "aliyun.proxy.required": "true"}


def make_entry(**keys: Any) -> dict[str, Any]:
    """Return an entry of the list."""
    return {
        "Id": ID,
        "Names": ["/shop-web-1"],
        "Created": 1700000000,
        "Ports": [
            {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"PrivatePort": 443, "Type": "tcp"},
            {"PrivatePort": 53, "Type": "udp"},
        ],
        "Labels": LABELS,
        "State": "running",
        "Status": "Up 3 minutes (healthy)",
        "HostConfig": {"NetworkMode": "shop_default"},
        "NetworkSettings": {"Networks": NETWORKS},
    } | keys


def make_document(**keys: Any) -> dict[str, Any]:
    """Return the inspection of the same container."""
    return {
        "Id": ID,
        "Name": "/shop-web-1",
        "Created": "2023-11-14T22:13:20.987654321Z",
        "State": {"Status": "running", "Health": {"Status": "healthy"}},
        "Config": {"Labels": LABELS, "Env": ["PATH=/bin", "NOTE=a=b", "BROKEN"], "ExposedPorts": {"80/tcp": {}}},
        "HostConfig": {"NetworkMode": "shop_default", "Links": None},
        "NetworkSettings": {
            "Ports": {
                "443/tcp": None,
                "53/udp": None,
                "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
            },
            "Networks": NETWORKS,
        },
    } | keys


def test_list_gives_each_tcp_port_once_and_the_address_of_every_network() -> None:
    container = parse_listed(make_entry())

    assert container.ports == (ContainerPort(number=80, published=True, host_port=8080), ContainerPort(number=443))
    assert container.networks == (
        Attachment(network="edge", address="fd00::2", gateway="fd00::1"),
        Attachment(network="shop_default", address="172.30.1.2", gateway="172.30.1.1"),
    )
    assert (container.project, container.service, container.created) == ("shop", "web", 1700000000)


def test_list_and_inspection_give_equal_containers_but_for_the_environment() -> None:
    inspected = parse_inspected(make_document())

    assert inspected.environment == {"PATH": "/bin", "NOTE": "a=b"}
    assert replace(inspected, environment={}) == parse_listed(make_entry())


def test_paused_container_has_no_health_in_either_document() -> None:
    """The list's status text says "(Paused)" instead of the health."""
    entry = make_entry(State="paused", Status="Up 3 minutes (Paused)")
    document = make_document(State={"Status": "paused", "Health": {"Status": "healthy"}})

    assert parse_listed(entry) == replace(parse_inspected(document), environment={})
    assert parse_listed(entry).state == State.PAUSED


def test_names_of_links_are_not_the_containers_name() -> None:
    container = parse_listed(make_entry(Names=["/proxy/webapp", "/webapp"], Labels=None))

    assert (container.name, container.project, container.service) == ("webapp", "", "webapp")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param(
            {"com.docker.stack.namespace": "shop", "com.docker.swarm.service.name": "shop_web"},
            ("shop", "web"),
            id="stack",
        ),
        pytest.param({"com.docker.swarm.service.name": "web"}, ("", "web"), id="service without stack"),
        pytest.param({}, ("", "shop-web-1"), id="plain container"),
    ],
)
def test_service_is_known_outside_of_compose(labels: dict[str, str], expected: tuple[str, str]) -> None:
    container = parse_listed(make_entry(Labels=labels))

    assert (container.project, container.service) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param({"Status": "Up 2 seconds (health: starting)"}, Health.STARTING, id="starting"),
        pytest.param({"Status": "Up 2 seconds (unhealthy)"}, Health.UNHEALTHY, id="unhealthy"),
        pytest.param({"Status": "Up 2 seconds"}, Health.NONE, id="no health check"),
        pytest.param({"Status": "Up 2 seconds", "Health": {"Status": "unhealthy"}}, Health.UNHEALTHY, id="newer API"),
        pytest.param({"Status": "Up 2 seconds", "Health": {"Status": "none"}}, Health.NONE, id="newer API, none"),
    ],
)
def test_health_is_read_from_the_list(keys: dict[str, Any], expected: Health) -> None:
    assert parse_listed(make_entry(**keys)).health == expected


@pytest.mark.parametrize("mode", ["host", f"container:{ID}"])
def test_container_without_a_network_of_its_own_has_the_exposed_ports(mode: str) -> None:
    document = make_document(HostConfig={"NetworkMode": mode}, NetworkSettings={"Ports": {}, "Networks": {}})

    assert parse_inspected(document).ports == (ContainerPort(number=80),)


@pytest.mark.parametrize("status", ["created", "restarting", "exited", "dead", "removing"])
def test_container_that_does_not_run_is_stopped(status: str) -> None:
    document = make_document(State={"Status": status})

    assert State.STOPPED == parse_inspected(document).state


def test_missing_and_null_keys_are_no_error() -> None:
    container = parse_listed({"Id": ID, "Names": None, "Ports": None, "Labels": None, "NetworkSettings": None})

    assert container == replace(parse_inspected({"Id": ID, "Config": None, "State": None}), created=0)
    assert container.name == ID[:12]


def test_proxy_container_has_project_and_networks() -> None:
    proxy = parse_proxy(make_document())

    assert proxy == ProxyContainer(
        id=ID,
        project="shop",
        service="web",
        networks=parse_listed(make_entry()).networks,
        network_mode="shop_default",
    )


def test_links_of_the_default_bridge_give_name_and_alias() -> None:
    links = parse_links(make_document(HostConfig={"Links": ["/webapp:/proxy/web-1", "/db:/proxy/db"]}))

    assert links == (Link(target="db", names=("db",)), Link(target="webapp", names=("web-1",)))


def test_of_several_aliases_of_compose_the_shortest_counts() -> None:
    aliases = ["shop-web-1:shop-web-1", "shop-web-1:web-1", "shop-web-1:web", "shop-web-1:app"]
    document = make_document(NetworkSettings={"Networks": {"shop_default": {"Links": aliases}, "edge": None}})

    (link,) = parse_links(document)

    assert link.alias == "app"


BINDINGS = {"80/tcp": [{"HostIp": "", "HostPort": ""}]}


@pytest.mark.parametrize(
    ("reported", "wanted", "expected"),
    [
        pytest.param({}, None, {80: False, 443: False}, id="network without forwarding"),
        pytest.param(None, BINDINGS, {80: True, 443: False}, id="port to publish there"),
        pytest.param({"80/tcp": None, "443/tcp": None}, BINDINGS, {80: False, 443: False}, id="reported"),
    ],
)
def test_exposed_ports_that_the_engine_does_not_report(reported: Any, wanted: Any, expected: dict[int, bool]) -> None:
    """A container in a macvlan, or in an `internal` network, has ports only in the settings of its image."""
    document = make_document(
        Config={"ExposedPorts": {"80/tcp": {}, "443/tcp": {}, "53/udp": {}}},
        HostConfig={"NetworkMode": "lan", "PortBindings": wanted},
        NetworkSettings={"Ports": reported},
    )

    assert {port.number: port.published for port in parse_inspected(document).ports} == expected


@pytest.mark.parametrize(("word", "is_part"), [("True", False), ("true", False), ("False", True), ("", True)])
def test_one_off_container_is_not_part_of_its_service(word: str, *, is_part: bool) -> None:
    labels = {**LABELS, "com.docker.compose.oneoff": word}
    entry = make_entry(Names=["/shop-web-run-f00"], Labels=labels)
    document = make_document(Name="/shop-web-run-f00", Config={"Labels": labels})

    found = {(made.project, made.service, bool(made.labels)) for made in (parse_listed(entry), parse_inspected(document))}

    assert found == {("shop", "web", True) if is_part else ("shop", "shop-web-run-f00", False)}


def test_proxy_that_is_a_one_off_container_keeps_its_project() -> None:
    labels = {**LABELS, "com.docker.compose.oneoff": "True"}

    assert parse_proxy(make_document(Config={"Labels": labels})).project == "shop"


def test_event_of_a_container_names_it() -> None:
    document = {
        "Type": "container",
        "Action": "health_status: unhealthy",
        "Actor": {"ID": ID, "Attributes": {"name": "shop-web-1", "aliyun.proxy.VIRTUAL_HOST": "a.com"}},
        "time": 1700000000,
    }

    event = parse_event(document)

    assert event == EngineEvent(
        action="health_status",
        detail="unhealthy",
        container_id=ID,
        name="shop-web-1",
        time=1700000000,
        service="shop-web-1",
    )
    assert str(event) == "container shop-web-1: health_status unhealthy"


def test_event_of_a_network_is_about_the_container_that_joins() -> None:
    attributes = {"container": ID, "name": "edge", "type": "bridge"}

    event = parse_event({"Type": "network", "Action": "connect", "Actor": {"ID": "n1", "Attributes": attributes}})

    assert event is not None
    assert (event.container_id, str(event)) == (ID, f"container {ID[:12]}: connect network edge")


def test_event_of_a_network_alone_is_passed_over() -> None:
    assert parse_event({"Type": "network", "Action": "destroy", "Actor": {"ID": "n1", "Attributes": {}}}) is None
