"""Visitors and backends over IPv6: every port has both families, and addresses are what they are."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.builders import make_pem, make_settings, one_line
from tests.eventually import eventually
from tests.haproxy.backend_server import run_backend
from tests.haproxy.client import HOST, any_tls, ask
from tests.haproxy.product import Product
from tests.haproxy.reconciled import Reconciled
from tests.ports import free_offset

pytestmark = pytest.mark.haproxy

ADDRESSES = ("127.0.0.1", "::1")


@pytest.mark.parametrize("address", ADDRESSES)
def test_backend_is_told_the_visitor_s_own_address(product: Product, address: str) -> None:
    web = product.backend().container(VIRTUAL_HOST=f"{HOST}, https://{HOST}", SSL_CERT=one_line(make_pem(HOST)))
    serving = product.serve(web, EXTRA_BIND_SETTINGS="80:name plain")

    plain = serving.ask(address=address).forwarded["x-forwarded-for"]
    encrypted = serving.ask(port=443, tls=any_tls(), address=address).forwarded["x-forwarded-for"]

    assert [address] * 2 == [plain, encrypted]


def test_rule_about_addresses_sees_each_family_as_it_is(product: Product) -> None:
    rules = "http-request deny deny_status 404 if { src 127.0.0.0/8 }, http-request deny deny_status 410 if { src ::1 }"
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST), EXTRA_FRONTEND_SETTINGS_80=rules)

    assert [404, 410] == [serving.ask(address=address).status for address in ADDRESSES]


@pytest.mark.parametrize("address", ADDRESSES)
def test_tcp_ports_and_the_statistics_page_have_both_families(product: Product, address: str) -> None:
    web = product.backend(port=product.tcp_port)
    serving = product.serve(web.container(TCP_PORTS=str(product.tcp_port)))

    assert "web-1" == serving.ask(port=product.tcp_port, address=address).server
    assert 401 == serving.ask(port=1936, address=address).status


def test_port_that_somebody_has_over_ipv6_is_served_over_ipv4(product: Product) -> None:
    port = 80 + product.port_offset
    with socket.create_server(("::1", port), family=socket.AF_INET6):
        serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST))

        assert "web-1" == serving.ask().server


def test_backends_with_only_an_ipv6_address_come_and_go_without_a_reload(haproxy_binary: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(run_backend(f"web-{number}", "::1")) for number in (1, 2))
        settings = make_settings(PROXY_PORT_OFFSET=str(free_offset(80, 443, 1936)), ADDITIONAL_SERVICES="*")
        haproxy = Reconciled(haproxy_binary, tmp_path / "state", settings)
        one, other = (backend.container(VIRTUAL_HOST=HOST) for backend in (first, second))
        stack.enter_context(haproxy.run([one]))

        def servers() -> set[str]:
            return {ask(80 + settings.haproxy.port_offset).server for _ in range(4)}

        seen = [servers()]
        haproxy.apply([one, other])
        eventually(lambda: servers() == {"web-1", "web-2"})
        haproxy.apply([other])
        eventually(lambda: servers() == {"web-2"})

        assert [{"web-1"}] == seen
        assert [] == haproxy.reload_reasons()
