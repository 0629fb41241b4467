"""Spec 1.2, through a running HAProxy: the effect of each variable of the proxy on requests. TLS is in `test_tls`, the
operator's own lines and files in `test_extra_lines`, reloads in `test_reloads`."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.eventually import eventually
from tests.haproxy.client import HOST, basic_auth
from tests.haproxy.product import Product
from tests.ports import free_port

pytestmark = pytest.mark.haproxy

CRYPTED = "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1"
"""crypt(3) of `secret`, SHA-512."""

PASSWORDS = {
    "plain": ("secret", "secret"),
    "comment-sign": ("a#b", "a#b"),
    "apostrophe": ("it's", "it's"),
    "double-quote": ('say "hi"', 'say "hi"'),
    "blank": ("two words", "two words"),
    "dollar": ('"$HOME"${HOME}$HOME', '"$HOME"${HOME}$HOME'),
    "backslash": ("a\\b", "a\\b"),
    "percent": ("%[env(HOME)]", "%[env(HOME)]"),
    "colon": ("a:b", "a:b"),
    "escaped-comma": ("a\\,b", "a,b"),
}


def test_requests_go_round_by_default(product: Product) -> None:
    containers = [product.backend(name).container(VIRTUAL_HOST=HOST) for name in ("web-1", "web-2")]

    serving = product.serve(*containers)

    assert ["web-1", "web-2"] * 2 == sorted(serving.servers(2)) + sorted(serving.servers(2))


def test_balance_source_keeps_a_client_on_one_server(product: Product) -> None:
    containers = [product.backend(name).container(VIRTUAL_HOST=HOST) for name in ("web-1", "web-2")]

    serving = product.serve(*containers, BALANCE="source")

    assert 1 == len(set(serving.servers()))


def test_route_settings_stand_on_each_server_line(product: Product) -> None:
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST), EXTRA_ROUTE_SETTINGS="send-proxy")

    assert serving.ask().proxied.startswith("PROXY TCP4 127.0.0.1 ")


def test_route_settings_of_a_service_win(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST, EXTRA_ROUTE_SETTINGS="maxconn 100")

    serving = product.serve(container, EXTRA_ROUTE_SETTINGS="send-proxy")

    assert "" == serving.ask().proxied


def test_servers_are_checked_by_default(product: Product) -> None:
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST))

    assert eventually(lambda: serving.stat("check_status", "web-1")) in ("L4OK", "INI")
    assert ("2", "3") == (serving.stat("check_rise", "web-1"), serving.stat("check_fall", "web-1"))


def test_health_check_takes_a_dead_server_out(product: Product) -> None:
    alive = product.backend("web-1").container(VIRTUAL_HOST=HOST)
    dead = product.backend("web-2").container(VIRTUAL_HOST=HOST, ports=(free_port(),))

    serving = product.serve(alive, dead, HEALTH_CHECK="check inter 50ms rise 1 fall 1")

    eventually(lambda: serving.stat("status", "web-2") == "DOWN")
    assert ["web-1"] * 4 == serving.servers(4)


@pytest.mark.parametrize(("written", "password"), PASSWORDS.values(), ids=PASSWORDS)
def test_basic_auth_asks_for_the_password(product: Product, written: str, password: str) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST)

    serving = product.serve(container, HTTP_BASIC_AUTH=f"bob:other,alice:{written}")

    assert 401 == serving.ask().status
    assert 401 == serving.ask(headers=basic_auth("alice", "wrong")).status
    assert 200 == serving.ask(headers=basic_auth("alice", password)).status
    assert 200 == serving.ask(headers=basic_auth("bob", "other")).status


def test_basic_auth_takes_crypted_passwords(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST)

    serving = product.serve(container, HTTP_BASIC_AUTH_SECURE=f"alice:{CRYPTED}")

    assert 401 == serving.ask(headers=basic_auth("alice", CRYPTED)).status
    assert 200 == serving.ask(headers=basic_auth("alice", "secret")).status


def test_4096_connections_are_allowed_by_default(product: Product) -> None:
    assert "4096" == product.serve().info("Maxconn")


def test_number_of_connections_can_be_set(product: Product) -> None:
    assert "123" == product.serve(MAXCONN="123").info("Maxconn")


@pytest.mark.parametrize("variable", ["NBPROC", "NBTHREAD"])
def test_number_of_threads_can_be_set(product: Product, variable: str) -> None:
    assert "2" == product.serve(**{variable: "2"}).info("Nbthread")


def test_mode_tcp_forwards_connections_as_they_are(product: Product) -> None:
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST), MODE="tcp")

    answer = serving.ask(host="another.example")

    assert "web-1" == answer.server
    assert {"host", "accept-encoding"} == set(answer.forwarded)


def test_mode_tcp_serves_a_container_without_virtual_host(product: Product) -> None:
    serving = product.serve(product.backend().container(required="true"), MODE="tcp")

    assert "web-1" == serving.ask().server


def test_mode_health_answers_every_request_itself(product: Product) -> None:
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST), MODE="health")

    answer = serving.ask("/any")

    assert (200, "", "OK") == (answer.status, answer.server, answer.body)


@pytest.mark.parametrize("port", [80, 81, 1936], ids=["shared", "own", "statistics"])
def test_monitor_uri_is_answered_by_the_proxy(product: Product, port: int) -> None:
    serving = product.serve(product.backend().container(VIRTUAL_HOST="*"), MONITOR_PORT=str(port), MONITOR_URI="/ping")

    answer = serving.ask("/ping", port=port)

    assert (200, "") == (answer.status, answer.server)
    assert "web-1" == serving.ask("/other").server


def test_options_of_the_proxy_are_in_force(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST)

    serving = product.serve(container, OPTION="redispatch, forwardfor header X-Client")

    assert "127.0.0.1" == serving.ask().forwarded["x-client"]
    assert "x-forwarded-for" not in serving.ask().forwarded


def test_backends_are_told_who_asked_and_how(product: Product) -> None:
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST))

    forwarded = serving.ask(headers={"X-Forwarded-Proto": "https"}).forwarded

    assert ("127.0.0.1", "http", HOST) == tuple(forwarded[f"x-forwarded-{name}"] for name in ("for", "proto", "host"))


@pytest.fixture
def syslog() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        yield receiver


def test_access_log_goes_to_the_syslog_server(product: Product, syslog: socket.socket) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST)
    serving = product.serve(container, RSYSLOG_DESTINATION=f"127.0.0.1:{syslog.getsockname()[1]}")

    serving.ask("/find-me")

    assert eventually(lambda: b"GET /find-me HTTP/1.1" in syslog.recv(4096))


def test_access_log_goes_to_standard_output_when_no_server_is_named(product: Product) -> None:
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST))

    serving.ask("/find-me")

    assert eventually(lambda: '"GET /find-me HTTP/1.1"' in serving.haproxy.log.read_text())


def test_statistics_are_shown_to_those_who_may_see_them(product: Product) -> None:
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST))

    assert 401 == serving.ask(port=1936).status
    assert 401 == serving.ask(port=1936, headers=basic_auth("stats", "wrong")).status
    assert "shop:web" in serving.ask(port=1936, headers=basic_auth("stats", "stats")).body


@pytest.mark.parametrize(("written", "password"), PASSWORDS.values(), ids=PASSWORDS)
def test_statistics_ask_for_the_password_that_is_set(product: Product, written: str, password: str) -> None:
    serving = product.serve(STATS_AUTH=f"ann:one,alice:{written}")

    assert 401 == serving.ask(port=1936, headers=basic_auth("stats", "stats")).status
    assert 200 == serving.ask(port=1936, headers=basic_auth("ann", "one")).status
    assert 200 == serving.ask(port=1936, headers=basic_auth("alice", password)).status


@pytest.mark.parametrize("port", [81, 80], ids=["of-its-own", "of-virtual-hosts"])
def test_statistics_are_on_the_port_that_is_set(product: Product, port: int) -> None:
    """On a port of virtual hosts only the statistics page is served, because HAProxy would not start with both."""
    serving = product.serve(product.backend().container(VIRTUAL_HOST=f"{HOST}:444"), STATS_PORT=str(port))

    assert 200 == serving.ask(port=port, headers=basic_auth("stats", "stats")).status
    assert "web-1" == serving.ask(port=444).server


def test_statistics_can_be_turned_off(product: Product) -> None:
    """Their port is then one like any other, also for the proxy's own health check."""
    web = product.backend().container(VIRTUAL_HOST=f"{HOST}:1936")

    serving = product.serve(web, STATS_PORT="off", MONITOR_PORT="1936", MONITOR_URI="/ping")

    assert ("web-1", 200, 503) == (
        serving.ask(port=1936).server,
        serving.ask("/ping", port=1936).status,
        serving.ask(port=1936, host="unknown.example").status,
    )
    assert "stats uri" not in (serving.haproxy.folder / "current" / "haproxy.cfg").read_text()


def test_port_of_statistics_that_are_off_is_not_listened_on(product: Product) -> None:
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST), STATS_PORT="off")

    assert "web-1" == serving.ask().server
    with pytest.raises(ConnectionRefusedError):
        serving.ask(port=1936)


def test_timeouts_that_are_set_are_in_force(product: Product) -> None:
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST), TIMEOUT="server 100")

    assert 504 == serving.ask("/slow").status


def test_half_a_request_does_not_hold_a_connection_for_ever(product: Product) -> None:
    serving = product.serve(TIMEOUT="http-request 100")

    with socket.create_connection(("127.0.0.1", serving.haproxy.port(80)), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
        answer = connection.recv(4096)

    assert answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.0 408 "))


def test_service_without_virtual_host_answers_what_nobody_else_does(product: Product) -> None:
    rest = product.backend("rest-1").container(required="true")
    shop = product.backend("web-1").container(VIRTUAL_HOST=HOST)

    serving = product.serve(rest, shop)

    assert ["web-1", "rest-1"] == [serving.ask(host=host).server for host in (HOST, "10.0.0.1")]


def test_default_backend_can_be_left_to_proxies_without_virtual_hosts(product: Product) -> None:
    rest = product.backend("rest-1").container(required="true")
    shop = product.backend("web-1").container(VIRTUAL_HOST=HOST)

    serving = product.serve(rest, shop, FORCE_DEFAULT_BACKEND="False")

    assert [200, 503] == [serving.ask(host=host).status for host in (HOST, "10.0.0.1")]
