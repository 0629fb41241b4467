"""Names and files in the proxy's own settings that are not there: HAProxy gets lines that it can load."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.core.haproxy.own_lines import Substitutes, adapt, file_paths, log_hosts, server_hosts
from tests.builders import make_model, make_renderer, make_settings

KNOWN = Substitutes(addresses={"logs": "10.0.0.9", "logs6": "fd00::9", "legacy": "10.0.0.8"})


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("logs", "10.0.0.9:514", id="name"),
        pytest.param("logs6:515", "[fd00::9]:515", id="IPv6"),
        pytest.param("gone:514", "stdout", id="no-address"),
        pytest.param("10.0.0.7", "10.0.0.7:514", id="address"),
        pytest.param("/dev/log", "/dev/log", id="socket"),
    ],
)
def test_log_goes_to_the_server_s_address_or_to_standard_output(target: str, expected: str) -> None:
    assert expected == adapt(make_settings(RSYSLOG_DESTINATION=target), KNOWN).haproxy.log_target


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("log logs:514 local0", ("log 10.0.0.9:514 local0",), id="name"),
        pytest.param("log udp@logs:514 len 4096 local0", ("log 10.0.0.9:514 len 4096 local0",), id="family"),
        pytest.param("log gone local0", (), id="no-address"),
        pytest.param("log 10.0.0.7:514 local0", ("log 10.0.0.7:514 local0",), id="address"),
        pytest.param("log stdout format raw local0", ("log stdout format raw local0",), id="stdout"),
        pytest.param("log ring@one local0", ("log ring@one local0",), id="ring"),
        pytest.param("log global", ("log global",), id="global"),
        pytest.param("retries 2", ("retries 2",), id="other"),
    ],
)
@pytest.mark.parametrize("section", ["EXTRA_GLOBAL_SETTINGS", "EXTRA_DEFAULT_SETTINGS", "EXTRA_FRONTEND_SETTINGS_80"])
def test_log_line_of_the_operator_follows_the_same_rule(section: str, line: str, expected: tuple[str, ...]) -> None:
    settings = adapt(make_settings(**{section: line}), KNOWN)

    found = {
        "EXTRA_GLOBAL_SETTINGS": settings.haproxy.extra_global_settings,
        "EXTRA_DEFAULT_SETTINGS": settings.haproxy.extra_default_settings,
        "EXTRA_FRONTEND_SETTINGS_80": settings.routing.extra_frontend_settings.get(80),
    }
    assert expected == found[section]


@pytest.mark.parametrize(
    ("line", "added"),
    [
        pytest.param("server one legacy:80 check", " init-addr last,libc,none", id="name"),
        pytest.param("server one gone:80 check", " init-addr last,none", id="no-address"),
        pytest.param("server-template one 3 gone:80", " init-addr last,none", id="template"),
        pytest.param("server one 10.0.0.8:80 check", "", id="address"),
        pytest.param("server one [fd00::8]:80", "", id="IPv6"),
        pytest.param("server one unix@/run/one.sock", "", id="socket"),
        pytest.param("server one gone:80 init-addr none", "", id="own-init-addr"),
        pytest.param("server one gone:80 resolvers dns", "", id="resolvers"),
        pytest.param("balance source", "", id="other"),
    ],
)
def test_server_of_the_operator_may_have_no_address(line: str, added: str) -> None:
    settings = adapt(make_settings(ADDITIONAL_BACKEND_legacy=line), KNOWN)

    assert (line + added,) == settings.routing.additional_backends["legacy"]


def test_names_are_told_apart_by_what_they_are_for() -> None:
    settings = make_settings(
        RSYSLOG_DESTINATION="logs:514",
        EXTRA_GLOBAL_SETTINGS="log more:514 local0, log 10.0.0.7 local0",
        ADDITIONAL_BACKEND_a="server one one.example:80, server two 10.0.0.8:80",
    )

    assert [["logs", "more"], ["one.example"]] == [sorted(log_hosts(settings)), sorted(server_hosts(settings))]


def test_paths_of_files_are_found_wherever_they_stand() -> None:
    settings = make_settings(
        EXTRA_FRONTEND_SETTINGS_80="errorfile 503 /e/503.http, http-request deny if { src -f /e/bad.lst }",
        EXTRA_GLOBAL_SETTINGS="lua-load /e/a.lua",
        ADDITIONAL_BACKEND_a="http-request set-header A %[path\\,map(/e/a.map\\,none)], server one 10.0.0.0/8:80",
        EXTRA_BIND_SETTINGS="443:crt /e/one.pem",
        EXTRA_ROUTE_SETTINGS="ca-file /e/ca.pem",
    )

    names = ("503.http", "bad.lst", "a.lua", "a.map", "one.pem", "ca.pem")
    assert {f"/e/{name}" for name in names} == file_paths(settings)


def test_copy_takes_the_place_of_the_whole_path_alone(tmp_path: Path) -> None:
    settings = make_settings(
        EXTRA_FRONTEND_SETTINGS_80="http-request deny if { src -f /e/bad }, http-request deny if { src -f /e/bad.more }"
    )
    substitutes = Substitutes(files={"/e/bad": "/state/kept/1-bad"})

    config = make_renderer(settings, tmp_path, lambda: substitutes).render_config(make_model(), show_secrets=True)

    assert (True, True) == ("{ src -f /state/kept/1-bad }" in config, "{ src -f /e/bad.more }" in config)
