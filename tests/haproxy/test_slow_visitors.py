"""A visitor who holds connections, or sends slowly, does not keep others out, through a running HAProxy."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.builders import make_pem, one_line
from tests.eventually import eventually
from tests.haproxy.client import HOST
from tests.haproxy.product import Product, Serving
from tests.haproxy.simple_site import SimpleSite, played_by

pytestmark = pytest.mark.haproxy

REQUEST = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
POST = f"POST / HTTP/1.1\r\nHost: {HOST}\r\n"
REFUSED = ""
"""What a visitor reads whose connection is refused."""

Connect = Callable[..., socket.socket]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return a function that opens a connection, from a source address, and keeps it open until the test ends."""
    with ExitStack() as stack:

        def connect(serving: Serving, port: int = 80, source: str = "127.0.0.1") -> socket.socket:
            address = ("127.0.0.1", serving.haproxy.port(port))
            return stack.enter_context(socket.create_connection(address, timeout=10, source_address=(source, 0)))

        yield connect


def hold(connect: Connect, serving: Serving, ports: list[int], **options: str) -> list[socket.socket]:
    """Open idle connections, one for each of `ports`. Return them when HAProxy has counted them."""
    before = count(serving)
    held = [connect(serving, port, **options) for port in ports]
    eventually(lambda: count(serving) >= before + len(ports))
    return held


def count(serving: Serving) -> int:
    """Return how many connections HAProxy has counted, of all sources together."""
    rows = serving.haproxy.runtime("show table sources").splitlines()[1:]
    return sum(int(row.rpartition("conn_cur=")[2]) for row in rows if "conn_cur=" in row)


def talk(connection: socket.socket, text: str = REQUEST) -> str:
    """Send `text`, and return the first line of the answer."""
    try:
        connection.sendall(text.encode())
        return connection.recv(65536).decode().partition("\r\n")[0]
    except ConnectionError:
        return REFUSED


def ask(connect: Connect, serving: Serving, source: str = "127.0.0.1", *, before: str = "") -> str:
    try:
        return talk(connect(serving, source=source), before + REQUEST)
    except ConnectionError:
        return REFUSED


def is_refused(connect: Connect, serving: Serving, *, before: str = "") -> bool:
    return ask(connect, serving, before=before) == REFUSED


def test_one_source_has_a_bounded_number_of_connections(product: Product, connect: Connect) -> None:
    """They are counted on all ports together. Who has other addresses does not notice it."""
    backend = product.backend()
    web = backend.container(VIRTUAL_HOST=f"{HOST}, {HOST}:81")
    tcp = product.backend("tcp-1", port=product.tcp_port).container(TCP_PORTS=str(product.tcp_port))
    serving = product.serve(web, tcp, PROXY_MAXCONN_PER_SOURCE="4")

    held = hold(connect, serving, [80, 81, product.tcp_port, 1936])

    assert REFUSED == ask(connect, serving)
    assert "200" in ask(connect, serving, source="127.0.0.2")
    held[0].close()
    eventually(lambda: not is_refused(connect, serving))


@pytest.mark.parametrize(
    "variables",
    [{"PROXY_MAXCONN_PER_SOURCE": "off"}, {"PROXY_MAXCONN_PER_SOURCE": "0"}, {"PROXY_TRUSTED_PROXIES": "127.0.0.1"}],
    ids=["off", "zero", "trusted-proxy"],
)
def test_source_without_a_bound_can_have_all_connections(
    product: Product, connect: Connect, variables: dict[str, str]
) -> None:
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST), MAXCONN="8", **variables)

    held = [connect(serving) for _ in range(7)]

    assert 7 == len([connection for connection in held if "200" in talk(connection)])


def test_half_of_all_connections_is_for_others(product: Product, connect: Connect) -> None:
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST), MAXCONN="8")

    hold(connect, serving, [80] * 4)

    assert REFUSED == ask(connect, serving)
    assert "200" in ask(connect, serving, source="127.0.0.2")


@pytest.mark.parametrize(
    "variables",
    [{"EXTRA_BIND_SETTINGS": "80:accept-proxy"}, {"PROXY_ACCEPT_PROXY_FROM": "127.0.0.1"}],
    ids=["of-all", "of-a-balancer"],
)
def test_visitors_behind_the_proxy_protocol_are_counted_by_their_own_address(
    product: Product, connect: Connect, variables: dict[str, str]
) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST)
    serving = product.serve(container, PROXY_MAXCONN_PER_SOURCE="2", **variables)
    one, other = (f"PROXY TCP4 203.0.113.{number} 127.0.0.1 40000 80\r\n" for number in (1, 2))
    for connection in (connect(serving), connect(serving)):
        connection.sendall(one.encode())
    eventually(lambda: count(serving) == 2)

    assert REFUSED == ask(connect, serving, before=one)
    assert "200" in ask(connect, serving, before=other)


def test_visitors_beside_a_balancer_are_counted_before_the_tls_handshake(product: Product, connect: Connect) -> None:
    """Together with those of the same address who come through the balancer."""
    container = product.backend().container(
        VIRTUAL_HOST=f"{HOST}, https://{HOST}", DEFAULT_SSL_CERT=one_line(make_pem(HOST))
    )
    serving = product.serve(container, PROXY_MAXCONN_PER_SOURCE="2", PROXY_ACCEPT_PROXY_FROM="127.0.0.1")

    hold(connect, serving, [443, 443], source="127.0.0.2")

    assert REFUSED == ask(connect, serving, source="127.0.0.2")
    assert REFUSED == ask(connect, serving, before="PROXY TCP4 127.0.0.2 127.0.0.1 40000 80\r\n")
    assert "200" in ask(connect, serving, before="PROXY TCP4 127.0.0.3 127.0.0.1 40000 80\r\n")


def test_visitors_of_one_ipv6_network_are_one_source(product: Product, connect: Connect) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST)
    serving = product.serve(container, PROXY_MAXCONN_PER_SOURCE="1", EXTRA_BIND_SETTINGS="80:accept-proxy")
    sources = ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1")
    first, second, elsewhere = (f"PROXY TCP6 {source} ::1 40000 80\r\n" for source in sources)
    connect(serving).sendall(first.encode())
    eventually(lambda: count(serving) == 1)

    assert REFUSED == ask(connect, serving, before=second)
    assert "200" in ask(connect, serving, before=elsewhere)


def test_load_balancer_of_simple_routing_is_not_bounded(site: SimpleSite, connect: Connect) -> None:
    serving = site.serve(played_by(site.backend(), HOST), PROXY_MAXCONN_PER_SOURCE="1")

    held = [connect(serving) for _ in range(3)]

    assert 3 == len([connection for connection in held if "200" in talk(connection)])


SLOW = {
    "headers": f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Drip: ",
    "no-body": f"{POST}Content-Length: 100\r\n\r\n",
    "short-body": f"{POST}Content-Length: 100\r\n\r\nabc",
    "long-body": f"{POST}Content-Length: 100000000\r\n\r\nabc",
    "body-of-a-get": f"GET / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9\r\n\r\nabc",
}


@pytest.mark.parametrize("start", SLOW.values(), ids=SLOW)
def test_slow_request_ends_before_it_reaches_a_server(product: Product, connect: Connect, start: str) -> None:
    backend = product.backend()
    serving = product.serve(backend.container(VIRTUAL_HOST=HOST, HEALTH_CHECK="no-check"), TIMEOUT="http-request 200ms")

    assert "HTTP/1.1 408 Request Time-out" == talk(connect(serving), start)
    assert not backend.seen


QUICK = {
    "stream": f"{POST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "body": f"{POST}Content-Length: 3\r\n\r\nabc",
    "start-of-a-long-body": f"{POST}Content-Length: 100000\r\n\r\n" + "a" * 20_000,
}


@pytest.mark.parametrize("start", QUICK.values(), ids=QUICK)
def test_body_that_comes_is_passed_on(product: Product, connect: Connect, start: str) -> None:
    """A server gets a stream, or a long body, before its end."""
    backend = product.backend()
    serving = product.serve(backend.container(VIRTUAL_HOST=HOST, HEALTH_CHECK="no-check"))

    connect(serving).sendall(start.encode())

    eventually(lambda: {("POST", "/")} == backend.targets())
