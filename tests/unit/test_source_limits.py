"""How much one visitor can occupy. Tests with real HAProxies check what the lines do."""

from __future__ import annotations

import pytest

from proxy.core.haproxy.source_limits import body_lines, connection_lines
from proxy.errors import SettingsError
from tests.builders import make_settings


@pytest.mark.parametrize(
    ("variables", "limit"),
    [
        pytest.param({}, 2048, id="half-of-the-default"),
        pytest.param({"MAXCONN": "1001"}, 500, id="half-of-what-is-set"),
        pytest.param({"MAXCONN": "1"}, 1, id="at-least-one"),
        pytest.param({"PROXY_MAXCONN_PER_SOURCE": "7"}, 7, id="number"),
        pytest.param({"PROXY_MAXCONN_PER_SOURCE": "Off"}, 0, id="off"),
        pytest.param({"PROXY_MAXCONN_PER_SOURCE": "0"}, 0, id="zero"),
    ],
)
def test_limit_of_one_source(variables: dict[str, str], limit: int) -> None:
    settings = make_settings(**variables)

    assert limit == settings.haproxy.maxconn_per_source
    assert (limit > 0) == any(f"gt {limit} }}" in line for line in connection_lines(settings, 80))


def test_limit_that_is_no_number_is_a_fault() -> None:
    with pytest.raises(SettingsError, match="PROXY_MAXCONN_PER_SOURCE='many': is not a whole number, 0 or more, or off"):
        make_settings(PROXY_MAXCONN_PER_SOURCE="many")


@pytest.mark.parametrize("variable", ["PROXY_TRUSTED_PROXIES", "PROXY_ACCEPT_PROXY_FROM"])
def test_networks_stand_in_lines_that_haproxy_can_read(variable: str) -> None:
    networks = [f"192.0.2.{number}/32" for number in range(120)]

    lines = [line for line in connection_lines(make_settings(**{variable: ",".join(networks)}), 80) if "acl" in line]

    assert networks == [word for line in lines for word in line.split()[3:]]
    assert all(len(line.split()) < 64 for line in lines)


@pytest.mark.parametrize(
    ("timeout", "time"),
    [("10s", "10s"), ("200ms", "200ms"), ("1000", "1000"), ("0", None), ("0s", None)],
    ids=["seconds", "milliseconds", "no-unit", "none", "none-with-unit"],
)
def test_body_has_the_time_of_a_request(timeout: str, time: str | None) -> None:
    lines = body_lines(make_settings(TIMEOUT=f"http-request {timeout}").haproxy)

    assert ([f"wait-for-body time {time} if"] if time else []) == [
        line.removeprefix("http-request ").partition(" {")[0] for line in lines
    ]
