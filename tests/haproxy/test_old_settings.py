"""Settings that were written for old images, as their users have published them, still have their effect."""

from __future__ import annotations

import pytest

from tests.eventually import eventually
from tests.haproxy.backend_server import BackendServer
from tests.haproxy.client import HOST
from tests.haproxy.product import Product
from tests.ports import free_port

pytestmark = pytest.mark.haproxy

CHECK = r"httpchk HEAD /ping HTTP/1.1\r\nHost:\ www"
FAST = "check inter 50ms"
DNS = "resolvers docker init-addr none"


def was_checked(backend: BackendServer) -> bool:
    """Return whether the backend has got the check, with its header."""
    checks = [seen for seen in [*backend.seen] if (seen.method, seen.target) == ("HEAD", "/ping")]
    return any(seen.headers.get("host") == "www" for seen in checks)


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({"OPTION": CHECK}, id="OPTION"),
        pytest.param({"OPTION": f"redispatch, option {CHECK}"}, id="OPTION with the word"),
        pytest.param({"OPTION": "httpchk HEAD /ping HTTP/1.1\r\nHost: www"}, id="OPTION with YAML's line breaks"),
        pytest.param({"EXTRA_SETTINGS": f"option {CHECK}"}, id="EXTRA_SETTINGS"),
    ],
)
def test_check_with_a_header_in_a_label(product: Product, labels: dict[str, str]) -> None:
    backend = product.backend()
    option, extra = labels.get("OPTION", "redispatch"), labels.get("EXTRA_SETTINGS", "balance roundrobin")
    container = backend.container(VIRTUAL_HOST=HOST, HEALTH_CHECK=FAST, OPTION=option, EXTRA_SETTINGS=extra)
    serving = product.serve(container)

    eventually(lambda: was_checked(backend))

    eventually(lambda: serving.ask().server == "web-1")


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"OPTION": f"redispatch, {CHECK}"}, id="OPTION"),
        pytest.param({"EXTRA_DEFAULT_SETTINGS": f"option {CHECK}"}, id="EXTRA_DEFAULT_SETTINGS"),
    ],
)
def test_check_with_a_header_in_a_variable(product: Product, variables: dict[str, str]) -> None:
    backend, other = product.backend(), product.backend("api-1")
    own = other.container(VIRTUAL_HOST="api.example", HEALTH_CHECK=FAST, OPTION="httpchk GET /own HTTP/1.0")

    product.serve(backend.container(VIRTUAL_HOST=HOST, HEALTH_CHECK=FAST), own, **variables)

    eventually(lambda: was_checked(backend))
    eventually(lambda: ("GET", "/own") in other.targets())
    assert not was_checked(other)


def test_check_with_a_header_of_a_tcp_port(product: Product) -> None:
    backend, port = product.backend(), free_port()

    product.serve(
        backend.container(TCP_PORTS=str(port), ports=(port,), OPTION=CHECK, HEALTH_CHECK=f"{FAST} port {backend.port}")
    )

    eventually(lambda: was_checked(backend))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(r"reqrep ^([^\ ]*\ /)blog[/]?(.*) \1\2", id="slash in the group"),
        pytest.param(r"reqirep ^([^\ :]*)\ /BLOG/?(.*) \1\ /\2", id="as in the manual"),
        pytest.param(r"reqrep ^([^\ ]*\ )/blog(.*) \1\2", id="blank in the group"),
        pytest.param(r"reqirep ^([^\ ]*)\ /blog(/.*) \1\ \2", id="slash in the path"),
        pytest.param(r"reqirep ^([^\ ]*)\ /blog/([^\ ]*)\ (.*)$ \1\ /\2\ \3", id="with the version"),
        pytest.param(r"reqirep ^([^\ ].*)blog/(.*) \1\2 if { path_beg /blog }", id="from anywhere"),
        pytest.param(r"reqrep ^(GET|HEAD)\ /blog/(.*) \1\ /\2", id="of some methods"),
        pytest.param(r"reqrep ^GET\ /blog(.*) GET\ \1", id="of one method"),
    ],
)
def test_path_is_stripped(product: Product, line: str) -> None:
    """Also a long one: the steps that a pattern may take are enough for it."""
    backend = product.backend()
    serving = product.serve(backend.container(VIRTUAL_HOST=HOST, EXTRA_SETTINGS=line))

    for path in ("/post?a=/b%20c", "/" + "a/" * 6_000):
        assert "web-1" == serving.ask(f"/blog{path}").server
        assert path == backend.seen[-1].target


def test_words_about_the_dns_change_nothing(product: Product) -> None:
    own = product.backend().container(VIRTUAL_HOST=HOST, EXTRA_ROUTE_SETTINGS=f"send-proxy {DNS}")
    other = product.backend("api-1").container(VIRTUAL_HOST="api.example")

    serving = product.serve(own, other, EXTRA_ROUTE_SETTINGS=DNS)

    assert serving.ask().proxied.startswith("PROXY TCP4 ")
    assert "api-1" == serving.ask(host="api.example").server
