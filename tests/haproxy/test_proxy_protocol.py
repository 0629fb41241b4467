"""The PROXY protocol through a running HAProxy: in from a balancer (PROXY_ACCEPT_PROXY_FROM), out to containers."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.builders import make_pem, one_line
from tests.eventually import eventually
from tests.haproxy.backend_server import PROXY_V2, TCP_OVER_IPV4
from tests.haproxy.client import HOST, any_tls
from tests.haproxy.product import Product, Serving

pytestmark = pytest.mark.haproxy

BALANCER = "127.0.0.2"
VISITOR = "203.0.113.7"


def version_1(visitor: str = VISITOR) -> bytes:
    family, destination = ("TCP6", "::1") if ":" in visitor else ("TCP4", "127.0.0.1")
    return f"PROXY {family} {visitor} {destination} 40000 80\r\n".encode()


def version_2(visitor: str = VISITOR) -> bytes:
    addresses = socket.inet_aton(visitor) + socket.inet_aton("127.0.0.1") + struct.pack("!HH", 40000, 80)
    return PROXY_V2 + struct.pack("!BBH", 0x21, TCP_OVER_IPV4, len(addresses)) + addresses


NOBODY = PROXY_V2 + struct.pack("!BBH", 0x20, 0, 0)
"""What a balancer's own health check sends (command LOCAL)."""

EVERY_HEADER = pytest.mark.parametrize("preamble", [version_1(), version_2()], ids=["version-1", "version-2"])


def serve(product: Product, *, balancers: str = BALANCER, **variables: str) -> Serving:
    """Serve one host over http and https."""
    container = product.backend().container(
        VIRTUAL_HOST=f"{HOST}, https://{HOST}", DEFAULT_SSL_CERT=one_line(make_pem(HOST)), HEALTH_CHECK="no-check"
    )
    return product.serve(container, PROXY_ACCEPT_PROXY_FROM=balancers, **variables)


@EVERY_HEADER
@pytest.mark.parametrize("balancers", [f"192.0.2.0/24,{BALANCER}", "127.0.0.2/31, ::1", f"::ffff:{BALANCER}"])
def test_balancer_says_for_whom_a_request_is(product: Product, balancers: str, preamble: bytes) -> None:
    """The address counts in headers and in the log, with TLS and without it."""
    serving = serve(product, balancers=balancers)

    plain = serving.ask(source=BALANCER, preamble=preamble).forwarded
    secure = serving.ask(port=443, tls=any_tls(), source=BALANCER, preamble=preamble).forwarded

    assert (VISITOR, VISITOR, "http") == (plain["x-forwarded-for"], plain["x-real-ip"], plain["x-forwarded-proto"])
    assert (VISITOR, VISITOR, "https") == (secure["x-forwarded-for"], secure["x-real-ip"], secure["x-forwarded-proto"])
    eventually(lambda: serving.haproxy.log.read_text().count(f"{VISITOR}:40000 ") == 2)


def test_balancer_may_come_over_ipv6(product: Product) -> None:
    serving = serve(product, balancers="::1")

    told = [
        serving.ask(address="::1", preamble=version_1(visitor)).forwarded["x-forwarded-for"]
        for visitor in (VISITOR, "2001:db8::7")
    ]

    assert [VISITOR, "2001:db8::7"] == told


def test_balancer_that_does_not_say_it_gets_no_answer(product: Product) -> None:
    """Else the balancer would be taken for a visitor. Its own health checks say that they are for nobody."""
    serving = serve(product)

    for port, tls in ((80, None), (443, any_tls())):
        with pytest.raises(OSError, match=r"reset|closed|EOF|no answer"):
            serving.ask(port=port, tls=tls, source=BALANCER)
    assert BALANCER == serving.ask(source=BALANCER, preamble=NOBODY).forwarded["x-forwarded-for"]


@EVERY_HEADER
def test_nobody_else_can_say_who_they_are(product: Product, preamble: bytes) -> None:
    backend = product.backend()
    container = backend.container(VIRTUAL_HOST=HOST, HEALTH_CHECK="no-check")
    serving = product.serve(container, PROXY_ACCEPT_PROXY_FROM=BALANCER)

    assert "127.0.0.1" == serving.ask().forwarded["x-forwarded-for"]
    assert 400 == serving.ask(preamble=preamble).status
    assert ["127.0.0.1"] == [seen.headers["x-forwarded-for"] for seen in backend.seen]


def test_visitors_behind_a_balancer_are_told_to_containers_of_a_tcp_port(product: Product) -> None:
    """A header that a visitor forges is behind the one of the proxy, and so it is data like any other."""
    backend = product.backend(port=product.tcp_port)
    container = backend.container(
        TCP_PORTS=str(product.tcp_port), EXTRA_ROUTE_SETTINGS="send-proxy-v2", HEALTH_CHECK="no-check"
    )
    serving = product.serve(container, PROXY_ACCEPT_PROXY_FROM=BALANCER)

    told = serving.ask(port=product.tcp_port, source=BALANCER, preamble=version_1()).proxied

    assert f"PROXY2 TCP4 {VISITOR} 127.0.0.1 40000 80" == told
    assert serving.ask(port=product.tcp_port, preamble=version_1()).proxied.startswith("PROXY2 TCP4 127.0.0.1 ")
    assert ("PROXY", "TCP4") == (backend.seen[-1].method, backend.seen[-1].target)


def test_balance_by_source_means_the_visitor(product: Product) -> None:
    containers = [
        product.backend(name).container(VIRTUAL_HOST=HOST, BALANCE="source", HEALTH_CHECK="no-check")
        for name in ("web-1", "web-2")
    ]
    serving = product.serve(*containers, PROXY_ACCEPT_PROXY_FROM=BALANCER)

    chosen = {
        number: set(serving.servers(2, source=BALANCER, preamble=version_1(f"203.0.113.{number}"))) for number in range(1, 9)
    }

    assert {1} == {len(servers) for servers in chosen.values()}
    assert {"web-1", "web-2"} == set().union(*chosen.values())


def test_headers_are_believed_by_the_address_of_the_visitor(product: Product) -> None:
    """A balancer that speaks the PROXY protocol passes on what visitors write. A proxy behind it is one of them."""
    serving = serve(product, PROXY_TRUSTED_PROXIES=f"{BALANCER}, 198.51.100.0/24")
    claims = {"X-Forwarded-For": "192.0.2.1"}

    told = [
        serving.ask(headers=claims, source=BALANCER, preamble=version_2(peer)).forwarded["x-forwarded-for"]
        for peer in (VISITOR, "198.51.100.9")
    ]

    assert [VISITOR, "192.0.2.1, 198.51.100.9"] == told


def test_statistics_page_answers_a_balancer_without_the_protocol(product: Product) -> None:
    """Many balancers cannot send it with their health checks."""
    serving = serve(product, MONITOR_PORT="1936", MONITOR_URI="/ping")

    assert [200, 200] == [serving.ask("/ping", port=1936, source=source).status for source in (BALANCER, "127.0.0.1")]


def test_port_of_which_all_visitors_speak_the_protocol_reads_it_once(product: Product) -> None:
    serving = serve(product, EXTRA_BIND_SETTINGS="80:accept-proxy")

    told = [serving.ask(source=source, preamble=version_1()).forwarded for source in (BALANCER, "127.0.0.1")]

    assert [VISITOR, VISITOR] == [headers["x-forwarded-for"] for headers in told]


@pytest.mark.parametrize(("word", "shown"), [("send-proxy", "PROXY"), ("send-proxy-v2", "PROXY2")])
def test_health_check_speaks_the_protocol_that_the_container_wants(product: Product, word: str, shown: str) -> None:
    """The addresses in it are those of the proxy, or none."""
    backend = product.backend()
    container = backend.container(
        VIRTUAL_HOST=HOST, EXTRA_ROUTE_SETTINGS=word, HEALTH_CHECK="check inter 50ms", HTTP_CHECK="GET /check"
    )
    serving = product.serve(container)

    eventually(lambda: ("GET", "/check") in backend.targets())
    assert serving.ask().proxied.startswith(f"{shown} TCP4 127.0.0.1 ")
    assert {shown} == {seen.proxied.partition(" ")[0] for seen in backend.seen}
