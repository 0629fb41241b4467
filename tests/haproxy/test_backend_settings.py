"""Spec 1.3, through a running HAProxy: the effect of each label of a service on requests. Health checks and lines in
HAProxy's own language are in `test_backend_lines`, certificates in `test_tls`, ports in `test_tcp`, hosts and paths in
`test_routing_matches_reference`."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.builders import make_pem, one_line
from tests.haproxy.client import HOST, any_tls, basic_auth
from tests.haproxy.places import Where, everywhere
from tests.haproxy.product import Product
from tests.ports import free_port

pytestmark = [pytest.mark.haproxy, everywhere(Where.ROUTED)]


def test_service_of_a_higher_weight_is_asked_first(product: Product) -> None:
    narrow = product.backend("narrow-1").container(VIRTUAL_HOST=f"{HOST}/path")
    wide = product.backend("wide-1").container(VIRTUAL_HOST="*", VIRTUAL_HOST_WEIGHT="1")

    serving = product.serve(narrow, wide)

    assert "wide-1" == serving.ask("/path").server


def test_services_with_equal_virtual_hosts_are_one(product: Product) -> None:
    containers = [product.backend(name).container(VIRTUAL_HOST=HOST) for name in ("old-1", "new-1")]

    serving = product.serve(*containers)

    assert {"old-1", "new-1"} == set(serving.servers())
    assert () == serving.problems


def test_required_service_is_the_default_backend(product: Product) -> None:
    serving = product.serve(product.backend().container(required="true"))

    assert ["web-1"] * 2 == [serving.ask(host=host).server for host in ("10.0.0.1", "any.example")]


@pytest.mark.parametrize("is_exposed", [True, False])
def test_named_port_gets_the_requests_exposed_or_not(product: Product, *, is_exposed: bool) -> None:
    backend, database = product.backend(), product.backend("database")
    exposed = (backend.port, database.port) if is_exposed else (database.port,)

    serving = product.serve(backend.container(VIRTUAL_HOST=HOST, ports=exposed, PORTS=str(backend.port)))

    assert {"web-1"} == set(serving.servers())


def test_excluded_port_gets_no_request(product: Product) -> None:
    backend, database = product.backend(), product.backend("database")
    container = backend.container(
        VIRTUAL_HOST=HOST, ports=(backend.port, database.port), EXCLUDE_PORTS=f"3307, {database.port}"
    )

    serving = product.serve(container)

    assert {"web-1"} == set(serving.servers())


def test_balance_of_a_service_wins_over_that_of_the_proxy(product: Product) -> None:
    containers = [product.backend(name).container(VIRTUAL_HOST=HOST, BALANCE="source") for name in ("web-1", "web-2")]

    serving = product.serve(*containers, BALANCE="roundrobin")

    assert 1 == len(set(serving.servers()))


@pytest.mark.parametrize("balance", ["static-rr", "leastconn", "uri whole", "hdr(X-User)", "random"])
def test_balance_takes_every_algorithm(product: Product, balance: str) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST, BALANCE=balance)

    assert "web-1" == product.serve(container).ask().server


@pytest.mark.parametrize(
    "cookie", ["SRV insert indirect nocache", "CONTAINERID insert indirect", "JSESSIONID prefix nocache"]
)
def test_cookie_keeps_a_visitor_on_one_server(product: Product, cookie: str) -> None:
    containers = [product.backend(name).container(VIRTUAL_HOST=HOST, COOKIE=cookie) for name in ("web-1", "web-2")]
    serving = product.serve(*containers)

    first = serving.ask("/login")

    assert cookie.split()[0] == first.cookie.partition("=")[0]
    assert {first.server} == set(serving.servers(headers={"Cookie": first.cookie}))
    assert {"web-1", "web-2"} == set(serving.servers())


def test_inserted_cookie_is_the_id_of_the_container(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST, COOKIE="CONTAINERID insert indirect")

    assert f"CONTAINERID={container.id}" == product.serve(container).ask().cookie


def test_cookie_keeps_a_visitor_on_one_of_several_ports(product: Product) -> None:
    """If two servers had the same cookie value, both would set cookies that lead to the first of them."""
    first, second = product.backend("first"), product.backend("second")
    container = first.container(VIRTUAL_HOST=HOST, ports=(first.port, second.port), COOKIE="SRV insert indirect")
    serving = product.serve(container)

    visits = [serving.ask() for _ in range(2)]
    returns = [serving.ask(headers={"Cookie": visit.cookie}).server for visit in visits]

    assert {"first", "second"} == {visit.server for visit in visits}
    assert [visit.server for visit in visits] == returns


def test_application_s_session_keeps_a_visitor_on_one_server(product: Product) -> None:
    session: dict[str, Any] = {"APPSESSION": "JSESSIONID len 52 timeout 3h", "VIRTUAL_HOST": HOST}
    containers = [product.backend(name).container(**session) for name in ("web-1", "web-2")]
    serving = product.serve(*containers)

    logins = [serving.ask("/login") for _ in range(2)]
    returns = [set(serving.servers(headers={"Cookie": login.cookie})) for login in logins]

    assert {"web-1", "web-2"} == {login.server for login in logins}
    assert [{login.server} for login in logins] == returns


@pytest.mark.parametrize("value", ["yes", "true", "1"])
def test_force_ssl_sends_visitors_to_https(product: Product, value: str) -> None:
    container = product.backend().container(
        VIRTUAL_HOST=f"https://{HOST}", FORCE_SSL=value, SSL_CERT=one_line(make_pem(HOST))
    )
    serving = product.serve(container)

    plain, secure = serving.ask("/a?b=c"), serving.ask(port=443, tls=any_tls())

    assert (301, f"https://{HOST}:{443 + product.port_offset}/a?b=c") == (plain.status, plain.headers["location"])
    assert "web-1" == secure.server


def test_force_ssl_redirects_a_service_that_also_has_a_plain_virtual_host(product: Product) -> None:
    container = product.backend().container(
        VIRTUAL_HOST=f"http://{HOST}, https://{HOST}", FORCE_SSL="yes", SSL_CERT=one_line(make_pem(HOST))
    )

    assert 301 == product.serve(container).ask().status


def test_force_ssl_redirects_before_it_asks_for_a_password(product: Product) -> None:
    container = product.backend().container(
        VIRTUAL_HOST=f"https://{HOST}", FORCE_SSL="yes", SSL_CERT=one_line(make_pem(HOST))
    )

    serving = product.serve(container, HTTP_BASIC_AUTH="alice:secret")

    assert [301, 401] == [serving.ask().status, serving.ask(port=443, tls=any_tls()).status]


def test_force_ssl_means_nothing_without_a_certificate(product: Product) -> None:
    assert "web-1" == product.serve(product.backend().container(VIRTUAL_HOST=HOST, FORCE_SSL="yes")).ask().server


def test_answers_over_tls_carry_strict_transport_security(product: Product) -> None:
    container = product.backend().container(
        VIRTUAL_HOST=f"{HOST}, https://{HOST}", HSTS_MAX_AGE="31536000", SSL_CERT=one_line(make_pem(HOST))
    )
    serving = product.serve(container)

    plain, secure = serving.ask(), serving.ask(port=443, tls=any_tls())

    assert "max-age=31536000; includeSubDomains" == secure.headers["strict-transport-security"]
    assert "strict-transport-security" not in plain.headers  # RFC 6797, section 7.2


def test_answers_of_the_named_types_are_compressed(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST, GZIP_COMPRESSION_TYPE="text/html text/plain text/css")
    serving = product.serve(container)
    accepts = {"Accept-Encoding": "gzip"}

    text, other = serving.ask("/text", headers=accepts), serving.ask("/", headers=accepts)

    assert "gzip" == text.headers["content-encoding"]
    assert "All work and no play" in text.body
    assert "content-encoding" not in other.headers
    assert "content-encoding" not in serving.ask("/text", headers={"Accept-Encoding": "identity"}).headers


def test_service_can_do_without_basic_auth(product: Product) -> None:
    open_to_all = product.backend("open-1").container(VIRTUAL_HOST="open.example", EXCLUDE_BASIC_AUTH="true")
    guarded = product.backend("web-1").container(VIRTUAL_HOST=HOST)

    serving = product.serve(open_to_all, guarded, HTTP_BASIC_AUTH="alice:secret")

    assert [200, 401] == [serving.ask(host=host).status for host in ("open.example", HOST)]
    assert 200 == serving.ask(headers=basic_auth("alice", "secret")).status


def test_failover_service_answers_only_when_the_others_are_down(product: Product) -> None:
    """Two services with equal virtual hosts are one backend, and only the servers of one of them are backup."""
    main = product.backend("main-1").container(VIRTUAL_HOST=HOST)
    spare = product.backend("spare-1").container(VIRTUAL_HOST=HOST, FAILOVER="yes")
    serving = product.serve(main, spare)

    while_up = set(serving.servers())
    serving.haproxy.runtime(f"set server shop:main/{serving.stat('svname', 'main-1')} state maint")

    assert {"main-1"} == while_up
    assert {"spare-1"} == set(serving.servers())


def test_visitors_are_shared_by_the_weights_of_services(product: Product) -> None:
    old = product.backend("old-1").container(VIRTUAL_HOST=HOST, WEIGHT="75")
    new = product.backend("new-1").container(VIRTUAL_HOST=HOST, WEIGHT="25")
    waiting = product.backend("next-1").container(VIRTUAL_HOST=HOST, WEIGHT="0")

    servers = product.serve(old, new, waiting).servers(8)

    assert {"old-1": 6, "new-1": 2} == Counter(servers)


def test_fault_in_a_label_costs_only_its_own_service(product: Product, place: Where) -> None:
    broken = product.backend("broken-1").container(VIRTUAL_HOST="broken.example", BALANCE="no-such-algorithm")
    shop = product.backend("web-1").container(VIRTUAL_HOST=HOST)

    serving = product.serve(broken, shop)

    assert [503, 200] == [serving.ask(host=host).status for host in ("broken.example", HOST)]
    (problem,) = serving.problems
    assert problem.startswith(
        f"container broken-1{place.of_node}: aliyun.proxy.BALANCE='no-such-algorithm': 'no-such-algorithm' is not "
    )


def test_server_that_cannot_be_reached_costs_no_request(product: Product) -> None:
    alive = product.backend("web-1").container(VIRTUAL_HOST=HOST)
    dead = product.backend("web-2").container(VIRTUAL_HOST=HOST, ports=(free_port(),))

    assert ["web-1"] * 4 == product.serve(alive, dead).servers(4)
