"""How PROXY_MODE=acsrouting changes the settings."""

from __future__ import annotations

import pytest

from proxy.errors import SettingsError
from proxy.settings import Scope
from proxy.settings.simple_parser import ERROR_PAGE
from tests.builders import make_settings
from tests.simple import simple_settings


def test_custom_routing_is_as_it_was() -> None:
    routing = make_settings().routing

    assert (None, "", {}) == (routing.monitor_port, routing.monitor_uri, routing.extra_frontend_settings)
    assert not routing.scope.everything


def test_simple_routing_has_its_own_defaults() -> None:
    routing = simple_settings().routing

    assert (80, "/haproxy-monitor") == (routing.monitor_port, routing.monitor_uri)
    assert Scope(everything=True) == routing.scope
    assert "" == routing.health_check
    assert routing.skip_forwarded_proto
    assert f"errorfile 503 '{ERROR_PAGE}'" == routing.extra_frontend_settings[80][0]


def test_what_the_user_sets_stays() -> None:
    variables = {
        "MONITOR_PORT": "81",
        "MONITOR_URI": "/ping",
        "HEALTH_CHECK": "check",
        "PROXY_ERROR_PAGE_503": "/errors/503.http",
        "EXTRA_FRONTEND_SETTINGS_80": "http-request set-header X-Edge yes",
    }

    routing = simple_settings(**variables).routing

    assert (81, "/ping", "check") == (routing.monitor_port, routing.monitor_uri, routing.health_check)
    first, second, *_ = routing.extra_frontend_settings[80]
    assert ("http-request set-header X-Edge yes", "errorfile 503 '/errors/503.http'") == (first, second)


def test_networks_of_local_names_are_the_user_s() -> None:
    lines = simple_settings(PROXY_LOCAL_NETWORKS="10.1.0.0/16, 192.0.2.7").routing.extra_frontend_settings[80]

    assert any(line.endswith("!{ src 10.1.0.0/16 192.0.2.7/32 }") for line in lines)


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        pytest.param({"MODE": "tcp"}, "MODE='tcp': cannot be used with PROXY_MODE=acsrouting", id="tcp"),
        pytest.param({"PROXY_CLUSTER_ID": "c1"}, "has no effect without PROXY_REGION_ID", id="cluster without region"),
        pytest.param({"PROXY_REGION_ID": "r1"}, "has no effect without PROXY_CLUSTER_ID", id="region without cluster"),
        pytest.param({"PROXY_ROOT_DOMAIN": "*.example.com"}, "contains a wildcard", id="wildcard"),
        pytest.param({"PROXY_ROOT_DOMAIN": "exa mple.com"}, "; use letters", id="blank"),
        pytest.param({"PROXY_LOCAL_NETWORKS": "10.0.0.0/8,inside"}, "'inside': is not a network", id="network"),
        pytest.param({"PROXY_STICKY_IDLE_SECONDS": "0"}, "is not a whole number", id="no time"),
    ],
)
def test_setting_at_fault_is_told(variables: dict[str, str], fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        simple_settings(**variables)

    assert fault in str(caught.value)
