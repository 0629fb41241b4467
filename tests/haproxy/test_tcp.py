"""Spec 1.6, through a running HAProxy: TCP_PORTS with and without TLS, shared by services, beside HTTP ports. The whole
proxy in TCP mode is in `test_proxy_settings`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.core.containers.containers import Container
from tests.builders import make_pem, one_line
from tests.haproxy.client import HOST, any_tls
from tests.haproxy.places import Where, everywhere
from tests.haproxy.product import Product

pytestmark = [pytest.mark.haproxy, everywhere(Where.PUBLISHED)]

BaseContainer = Callable[..., Container]


@pytest.fixture
def one(product: Product) -> BaseContainer:
    """Return a function that makes the container of a service that listens on the TCP port."""
    return product.backend("one-1", "127.0.0.2", product.tcp_port).container


@pytest.fixture
def two(product: Product) -> BaseContainer:
    """Return the same for another service."""
    return product.backend("two-1", "127.0.0.3", product.tcp_port).container


def test_tcp_port_forwards_bytes_as_they_are(product: Product, one: BaseContainer) -> None:
    serving = product.serve(one(TCP_PORTS=f"{product.tcp_port}"))

    answer = serving.ask(port=product.tcp_port)

    assert "one-1" == answer.server
    assert {"host", "accept-encoding"} == set(answer.forwarded)
    assert answer.headers["server-name"] == "one-1"


def test_tcp_port_is_balanced_over_every_service_that_names_it(
    product: Product, one: BaseContainer, two: BaseContainer
) -> None:
    serving = product.serve(one(TCP_PORTS=f"{product.tcp_port}"), two(TCP_PORTS=f"9000, {product.tcp_port}"))

    assert {"one-1", "two-1"} == set(serving.servers(port=product.tcp_port))


def test_tcp_port_with_ssl_is_decrypted_by_the_proxy(product: Product, one: BaseContainer) -> None:
    pem = one_line(make_pem(HOST))

    serving = product.serve(one(TCP_PORTS=f"{product.tcp_port}/ssl", SSL_CERT=pem))

    assert "one-1" == serving.ask(port=product.tcp_port, tls=any_tls()).server
    with pytest.raises(ConnectionError):
        serving.ask(port=product.tcp_port)


def test_tcp_port_with_ssl_needs_a_certificate(product: Product, one: BaseContainer) -> None:
    serving = product.serve(one(TCP_PORTS=f"{product.tcp_port}/ssl"))

    with pytest.raises(ConnectionRefusedError):
        serving.ask(port=product.tcp_port)
    assert (
        f"service shop:one: TCP_PORTS: {product.tcp_port}/ssl needs a certificate, but there is none; set SSL_CERT",
    ) == serving.problems


def test_other_ports_of_the_service_stay_http(product: Product, one: BaseContainer) -> None:
    """Without a virtual host they are the default backend, as in the reference."""
    web = product.backend("web", "127.0.0.2")
    container = one(TCP_PORTS=f"{product.tcp_port}", ports=(product.tcp_port, web.port))

    serving = product.serve(container)

    assert {"web"} == set(serving.servers())
    assert {"one-1"} == set(serving.servers(port=product.tcp_port))
    assert "127.0.0.1" == serving.ask().forwarded["x-forwarded-for"]


def test_service_with_virtual_host_keeps_it_beside_its_tcp_port(product: Product, one: BaseContainer) -> None:
    web = product.backend("web", "127.0.0.2")
    container = one(TCP_PORTS=f"{product.tcp_port}", ports=(product.tcp_port, web.port), VIRTUAL_HOST=HOST)

    serving = product.serve(container)

    assert {"web"} == set(serving.servers())
    assert 503 == serving.ask(host="10.0.0.1").status


def test_settings_of_a_tcp_service_are_in_force_on_its_port(product: Product, one: BaseContainer) -> None:
    serving = product.serve(
        one(
            TCP_PORTS=f"{product.tcp_port}",
            BALANCE="source",
            OPTION="tcplog",
            EXTRA_SETTINGS="timeout server 100",
            EXTRA_ROUTE_SETTINGS="send-proxy",
        )
    )

    assert serving.ask(port=product.tcp_port).proxied.startswith("PROXY TCP4 127.0.0.1 ")
    with pytest.raises(ConnectionError):
        serving.ask("/slow", port=product.tcp_port)


def test_settings_of_one_tcp_service_do_not_reach_another(product: Product, one: BaseContainer) -> None:
    """Both have no virtual host, but this does not make them one service."""
    other = product.backend("other-1")
    cut = one(TCP_PORTS=f"{product.tcp_port}", EXTRA_SETTINGS="timeout server 100")
    plain = other.container(TCP_PORTS="9000", ports=(9000,), EXTRA_ROUTE_SETTINGS=f"port {other.port}")

    serving = product.serve(cut, plain)

    listener = next(listener for listener in serving.model.listeners if listener.port == 9000)
    assert ("balance roundrobin",) == listener.backend.lines
    assert ("shop:other",) == listener.backend.services


def test_plain_and_tls_on_one_port_is_a_conflict(product: Product, one: BaseContainer, two: BaseContainer) -> None:
    port = product.tcp_port

    serving = product.serve(
        one(TCP_PORTS=f"{port}"), two(TCP_PORTS=f"{port}/ssl"), DEFAULT_SSL_CERT=one_line(make_pem(HOST))
    )

    assert {"two-1"} == set(serving.servers(port=port, tls=any_tls()))
    assert (
        f"service shop:one: TCP_PORTS: port {port} is already used with TLS by another service; "
        f"write {port}/ssl, or use another port",
    ) == serving.problems


@pytest.mark.parametrize(
    ("variables", "use"),
    [
        ({"STATS_PORT": "9000"}, "the statistics page uses port 9000 (STATS_PORT)"),
        ({"MONITOR_PORT": "9000", "MONITOR_URI": "/ping"}, "the proxy's own health check uses port 9000 (MONITOR_PORT)"),
        ({}, "port 9000 is used by a virtual host"),
    ],
    ids=["statistics", "monitor", "virtual-host"],
)
def test_port_that_is_in_use_is_a_conflict(
    product: Product, one: BaseContainer, variables: dict[str, str], use: str
) -> None:
    web = product.backend().container(VIRTUAL_HOST=HOST if variables else f"{HOST}, {HOST}:9000")

    serving = product.serve(one(TCP_PORTS="9000"), web, **variables)

    assert "web-1" == serving.ask().server
    assert (f"service shop:one: TCP_PORTS: {use}",) == serving.problems


def test_tcp_port_may_be_the_usual_one_of_http(product: Product) -> None:
    serving = product.serve(product.backend().container(TCP_PORTS="80", ports=(80,), HEALTH_CHECK="no-check"))

    assert ["tcp"] == [listener.backend.mode for listener in serving.model.listeners]
    assert [] == [frontend.port for frontend in serving.model.frontends]
    assert "no check" == serving.stat("status", "web-1")
