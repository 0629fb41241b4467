"""What a running HAProxy has loaded, and which differences only a reload can bring to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.core.containers.containers import Container
from proxy.core.haproxy.file_names import CONFIG_FILE
from proxy.core.haproxy.loaded import (
    add_digest,
    fixed_backends,
    listening_ports,
    load_sections,
    port_uses,
    read_digest,
    reload_reasons,
)
from proxy.core.model.port_uses import PortUse
from tests.builders import (
    make_container,
    make_model,
    make_pem,
    make_renderer,
    make_settings,
    one_line,
    read_certificates,
    with_labels,
)


def config_of(*containers: Container, **variables: str) -> str:
    settings = make_settings(**variables)
    model = make_model(*containers, settings=settings, certificates=read_certificates(settings))
    return make_renderer(settings, Path("/state")).render(model).files[CONFIG_FILE]


def container(name: str = "web-1", host: str = "a.com", **labels: str) -> Container:
    return make_container(name, labels=with_labels(VIRTUAL_HOST=host, **labels))


def reasons(before: str, after: str) -> list[str]:
    return [*reload_reasons(load_sections(before, has_runtime_backends=True), after)]


def test_digest_follows_from_the_text_and_is_read_back() -> None:
    one, other = add_digest("global\n    maxconn 1\n"), add_digest("global\n    maxconn 2\n")

    assert one == add_digest("global\n    maxconn 1\n")
    assert read_digest(one) != read_digest(other) != ""
    assert "" == read_digest("global\n")


def test_equal_configurations_need_no_reload() -> None:
    assert [] == reasons(config_of(container()), config_of(container()))


def test_services_and_servers_come_and_go_without_one() -> None:
    before, after = config_of(container()), config_of(container("web-2"), container("api-1", "b.com"))

    assert [] == reasons(before, after)


STICKY = {"APPSESSION": "JSESSIONID len 52 timeout 3h"}
CHANGES = {
    "port": (config_of(container()), config_of(container(host="a.com:8080")), "new listening port 8080"),
    "port-gone": (config_of(container(host="a.com:8080")), config_of(container()), "port 8080 is no longer used"),
    "frontend": (
        config_of(container()),
        config_of(container(), EXTRA_FRONTEND_SETTINGS_80="http-request deny"),
        "port 80 changes its settings",
    ),
    "global": (config_of(container()), config_of(container(), MAXCONN="7"), "section `global` has changed"),
    "profile": (
        config_of(container()),
        config_of(container(BALANCE="leastconn")),
        "section `defaults profile_",
    ),
    "tcp-port": (config_of(container()), config_of(container(TCP_PORTS="9000")), "new TCP port 9000"),
    "own-lines": (config_of(container()), config_of(container(**STICKY)), "section `backend shop:web"),
    "operator": (
        config_of(ADDITIONAL_BACKEND_legacy="server one 127.0.0.1:1"),
        config_of(ADDITIONAL_BACKEND_legacy="server one 127.0.0.1:2"),
        "section `backend legacy from http` has changed",
    ),
}


@pytest.mark.parametrize(("before", "after", "reason"), CHANGES.values(), ids=CHANGES)
def test_what_no_command_can_change_takes_a_reload(before: str, after: str, reason: str) -> None:
    found = reasons(before, after)

    assert any(text.startswith(reason) for text in found), found


def test_last_table_of_sessions_leaves_what_hands_it_over_until_the_next_reload() -> None:
    found = reasons(config_of(container(**STICKY), container("api-1", "b.com")), config_of(container("api-1", "b.com")))

    assert ["section `backend shop:web from"] == [text[: len("section `backend shop:web from")] for text in found]


def test_backends_that_are_no_services_are_known() -> None:
    config = config_of(container(), ADDITIONAL_BACKEND_legacy="server one 127.0.0.1:1")

    assert {"stats", "legacy"} <= fixed_backends(config)
    assert "shop:web" not in fixed_backends(config)


def test_uses_of_ports_are_told_by_the_numbers_that_users_write() -> None:
    certificate = {"DEFAULT_SSL_CERT": one_line(make_pem("default.example"))}
    tcp = make_container("db-1", ports=(9000, 9001), labels=with_labels(TCP_PORTS="9000, 9001/ssl"))

    uses = port_uses(config_of(container(), tcp, PROXY_PORT_OFFSET="10000", **certificate))

    assert {80: PortUse.HTTP, 443: PortUse.HTTPS, 9000: PortUse.TCP, 9001: PortUse.TCP_TLS} == uses


def test_ports_are_those_that_are_really_listened_on() -> None:
    assert {10080, 11936} == listening_ports(config_of(container(), PROXY_PORT_OFFSET="10000"))
