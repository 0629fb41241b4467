"""Spec 1.3, through a running HAProxy: labels in HAProxy's own language (checks, options, lines), also obsolete ones."""

from __future__ import annotations

import pytest

from tests.eventually import eventually
from tests.haproxy.client import HOST
from tests.haproxy.places import Where, everywhere
from tests.haproxy.product import Product
from tests.ports import free_port

pytestmark = [pytest.mark.haproxy, everywhere(Where.PUBLISHED)]

FAST_CHECK = "check inter 50ms rise 1 fall 1"


def test_health_check_of_a_service_wins_over_that_of_the_proxy(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST, HEALTH_CHECK="check inter 70ms rise 4 fall 5")

    serving = product.serve(container, HEALTH_CHECK="no-check")

    assert ("4", "5") == (serving.stat("check_rise", "web-1"), serving.stat("check_fall", "web-1"))


def test_empty_health_check_is_no_health_check_of_its_own(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST, HEALTH_CHECK=" ")

    serving = product.serve(container, HEALTH_CHECK="")

    assert ("2", "3") == (serving.stat("check_rise", "web-1"), serving.stat("check_fall", "web-1"))


def test_server_without_health_check_is_never_taken_out(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST, HEALTH_CHECK="no-check", ports=(free_port(),))

    serving = product.serve(container)

    assert "no check" == serving.stat("status", "web-1")


@pytest.mark.parametrize(
    ("check", "asked"),
    [
        ("OPTIONS * HTTP/1.1\\r\\nHost:\\ www", ("OPTIONS", "*", "www")),
        ("GET /text HTTP/1.1\\r\\nHost:\\ www", ("GET", "/text", "www")),
        ("HEAD /", ("HEAD", "/", None)),
    ],
    ids=["of-the-reference", "with-path", "short"],
)
def test_http_check_asks_what_is_written(product: Product, check: str, asked: tuple[str, str, str | None]) -> None:
    backend = product.backend()

    product.serve(backend.container(VIRTUAL_HOST=HOST, HTTP_CHECK=check, HEALTH_CHECK=FAST_CHECK))

    first = eventually(lambda: backend.seen)[0]
    assert asked == (first.method, first.target, first.headers.get("host"))


def test_server_that_fails_its_http_check_gets_no_request(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST, HTTP_CHECK="GET /broken", HEALTH_CHECK=FAST_CHECK)

    serving = product.serve(container)

    assert eventually(lambda: serving.ask().status == 503)
    assert "L7STS" == serving.stat("check_status", "web-1")


def test_option_of_a_service_wins_over_that_of_the_proxy(product: Product) -> None:
    own = product.backend().container(VIRTUAL_HOST=HOST, OPTION="forwardfor header X-Client, httpclose")
    other = product.backend("api-1").container(VIRTUAL_HOST="api.example")

    serving = product.serve(own, other)

    assert ("127.0.0.1", None) == tuple(map(serving.ask().forwarded.get, ("x-client", "x-forwarded-for")))
    assert "127.0.0.1" == serving.ask(host="api.example").forwarded["x-forwarded-for"]


@pytest.mark.parametrize("written", ["no option allbackups", "no allbackups"])
def test_option_of_the_proxy_can_be_switched_off_for_a_service(product: Product, written: str) -> None:
    names = ("web-1", "web-2", "api-1", "api-2")
    web = [product.backend(name).container(VIRTUAL_HOST=HOST, FAILOVER="yes", OPTION=written) for name in names[:2]]
    api = [product.backend(name).container(VIRTUAL_HOST="api.example", FAILOVER="yes") for name in names[2:]]

    serving = product.serve(*web, *api, OPTION="redispatch, allbackups")

    assert {"api-1", "api-2"} == set(serving.servers(host="api.example"))
    assert 1 == len(set(serving.servers()))


def test_text_of_a_service_stands_at_the_end_of_its_server_lines(product: Product) -> None:
    sending = product.backend().container(VIRTUAL_HOST=HOST, EXTRA_ROUTE_SETTINGS="send-proxy # since 2016")
    other = product.backend("api-1").container(VIRTUAL_HOST="api.example")

    serving = product.serve(sending, other)

    assert serving.ask().proxied.startswith("PROXY TCP4 127.0.0.1 ")
    assert "" == serving.ask(host="api.example").proxied


def test_lines_of_a_service_are_in_force_for_it_alone(product: Product) -> None:
    lines = "http-request deny deny_status 403 if { path -m str /a\\,b }, timeout server 100"
    own = product.backend().container(VIRTUAL_HOST=HOST, EXTRA_SETTINGS=lines)
    other = product.backend("api-1").container(VIRTUAL_HOST="api.example")

    serving = product.serve(own, other)

    assert [403, 200] == [serving.ask("/a,b", host=host).status for host in (HOST, "api.example")]
    assert 504 == serving.ask("/slow").status


def test_line_of_a_service_wins_over_its_balance(product: Product) -> None:
    containers = [
        product.backend(name).container(VIRTUAL_HOST=HOST, EXTRA_SETTINGS="balance source") for name in ("web-1", "web-2")
    ]

    assert 1 == len(set(product.serve(*containers).servers()))


def test_conditions_reach_the_lines_that_only_a_backend_takes(product: Product) -> None:
    """Lines of a backend cannot use an ACL of a `defaults` section."""
    lines = "acl is_old path_beg /old, redirect code 302 location /new if is_old, http-response set-header X-A b"
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST, EXTRA_SETTINGS=lines))

    moved, new = serving.ask("/old/x"), serving.ask("/new")

    assert (302, "/new") == (moved.status, moved.headers["location"])
    assert ("web-1", "b") == (new.server, new.headers["x-a"])


@pytest.mark.parametrize(
    ("line", "side", "expected"),
    [
        ("reqadd X-A:\\ 100%\\,\\ sure", "request", "100%, sure"),
        ("rspadd X-A:\\ b", "response", "b"),
        ("reqirep ^X-Old:\\ (.*) X-Old:\\ \\1-new", "old", "is-new"),
        ("reqidel ^X-Old:", "old", None),
    ],
    ids=["reqadd", "rspadd", "reqirep", "reqidel"],
)
def test_header_lines_of_old_keep_their_effect(product: Product, line: str, side: str, expected: str | None) -> None:
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST, EXTRA_SETTINGS=line))

    answer = serving.ask(headers={"X-Old": "is"})

    found = {
        "request": answer.forwarded.get("x-a"),
        "response": answer.headers.get("x-a"),
        "old": answer.forwarded.get("x-old"),
    }
    assert expected == found[side]


def test_line_that_would_leave_its_section_costs_only_its_own_service(product: Product) -> None:
    intruder = product.backend("bad-1").container(VIRTUAL_HOST="bad.example", EXTRA_SETTINGS="frontend mine, bind :1")
    shop = product.backend("web-1").container(VIRTUAL_HOST=HOST)

    serving = product.serve(intruder, shop)

    assert [503, 200] == [serving.ask(host=host).status for host in ("bad.example", HOST)]
    assert any("bad-1" in problem and "starts a new section ('frontend')" in problem for problem in serving.problems)
