"""What backends learn about visitors, through a running HAProxy: the truth, unless a trusted proxy is in front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.builders import make_pem, one_line
from tests.haproxy.client import HOST
from tests.haproxy.product import Product, Serving
from tests.haproxy.simple_site import SimpleSite, played_by

pytestmark = pytest.mark.haproxy

CLAIMS = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "8443",
    "X-Forwarded-Server": "evil",
    "X-Real-IP": "203.0.113.7",
    "Forwarded": "for=203.0.113.7;proto=https",
    "X_Forwarded_For": "203.0.113.7",
    "X_Real-Ip": "203.0.113.7",
}
"""What a visitor says about where the request comes from."""


def told_to_the_backend(serving: Serving, claims: Mapping[str, str], **options: Any) -> dict[str, str]:
    """Return the headers about the visitor that reach the backend."""
    forwarded = serving.ask(headers=claims, **options).forwarded
    return {
        name: value for name, value in forwarded.items() if name.replace("_", "-") in {claim.lower() for claim in CLAIMS}
    }


@pytest.mark.parametrize("trusted", ["", "192.0.2.0/24, 2001:db8::/32"], ids=["nobody", "others"])
def test_what_visitors_say_about_themselves_is_replaced(product: Product, trusted: str) -> None:
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST), PROXY_TRUSTED_PROXIES=trusted)
    truth = {
        "x-forwarded-for": "127.0.0.1",
        "x-real-ip": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": HOST,
    }

    assert truth == told_to_the_backend(serving, CLAIMS)
    assert truth == told_to_the_backend(serving, {})
    assert truth == told_to_the_backend(serving, {name.upper(): value for name, value in CLAIMS.items()})


def test_what_a_trusted_proxy_says_is_passed_on(product: Product) -> None:
    """The proxy adds its own peer to `X-Forwarded-For`, and tells what the other one has not told."""
    networks = ", ".join(f"192.0.2.{number}" for number in range(60))  # more than a line of HAProxy takes
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST), PROXY_TRUSTED_PROXIES=f"{networks}, 127.0.0.0/8")

    told = told_to_the_backend(serving, CLAIMS)
    alone = told_to_the_backend(serving, {})

    assert {name.lower(): value for name, value in CLAIMS.items()} | {"x-forwarded-for": "203.0.113.7, 127.0.0.1"} == told
    assert {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-host": HOST} == alone


def test_visitor_of_a_trusted_proxy_over_tls_is_not_redirected(product: Product) -> None:
    """Else the visitor would be redirected for ever."""
    container = product.backend().container(VIRTUAL_HOST=f"https://{HOST}", FORCE_SSL="yes")
    serving = product.serve(
        container, PROXY_TRUSTED_PROXIES="127.0.0.1", DEFAULT_SSL_CERT=one_line(make_pem("default.example"))
    )

    assert [200, 301] == [serving.ask(headers={"X-Forwarded-Proto": scheme}).status for scheme in ("https", "http")]


def test_header_that_an_option_names_is_replaced_too(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST)

    serving = product.serve(container, OPTION="forwardfor header X-Client")

    assert "127.0.0.1" == serving.ask(headers={"X-Client": "203.0.113.7"}).forwarded["x-client"]


def test_trusted_networks_also_hold_where_the_proxy_adds_nothing(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST)

    serving = product.serve(container, SKIP_FORWARDED_PROTO="yes", PROXY_TRUSTED_PROXIES="192.0.2.1")

    assert {"x-real-ip": "127.0.0.1"} == told_to_the_backend(serving, CLAIMS)


def test_what_another_proxy_tells_passes_when_asked_so(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST)
    told = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": "public.example"}

    forwarded = product.serve(container, SKIP_FORWARDED_PROTO="yes").ask(headers=told).forwarded

    assert told == {name: forwarded.get(name.lower()) for name in told}


@pytest.mark.parametrize("trusted", ["", "127.0.0.1"], ids=["private-networks", "named"])
def test_simple_routing_believes_its_load_balancer(site: SimpleSite, trusted: str) -> None:
    serving = site.serve(played_by(site.backend(), f"{HOST}"), PROXY_TRUSTED_PROXIES=trusted)

    told = told_to_the_backend(serving, CLAIMS)

    assert {name.lower(): value for name, value in CLAIMS.items()} | {"x-forwarded-for": "203.0.113.7, 127.0.0.1"} == told


def test_simple_routing_does_not_believe_visitors(site: SimpleSite) -> None:
    container = played_by(site.backend(), f"{HOST};inside.local", routing__force_https="true")
    serving = site.serve(container, PROXY_TRUSTED_PROXIES="192.0.2.1")

    told = told_to_the_backend(serving, {**CLAIMS, "X-Forwarded-Proto": "http"})
    inside = serving.ask(host="inside.local", headers={"X-Forwarded-For": "10.0.0.1"})

    assert {"x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1"} == told
    assert 503 == inside.status  # it came through somebody, who is outside
