"""The operator's own lines (`EXTRA_*`, `ADDITIONAL_BACKEND_*`, and files of them), through a running HAProxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.haproxy.client import HOST
from tests.haproxy.product import Product

pytestmark = pytest.mark.haproxy

PAGE = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\n\r\n<h1>Back soon</h1>"
FORWARDED = b"PROXY TCP4 203.0.113.7 127.0.0.1 40000 80\r\n"


def write_lines(path: Path, *lines: str) -> str:
    """Write a file with these lines, and with the comments and blank lines that a person would write."""
    path.write_text("# our own\n\n" + "\n".join(lines) + "\n")
    return str(path)


def test_bind_setting_stands_on_its_port(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=f"{HOST}, {HOST}:81")
    serving = product.serve(container, EXTRA_BIND_SETTINGS="80:accept-proxy, 80:name with-comma\\,")

    behind_a_proxy, direct = serving.ask(preamble=FORWARDED), serving.ask(port=81)

    assert "203.0.113.7" == behind_a_proxy.forwarded["x-forwarded-for"]
    assert "127.0.0.1" == direct.forwarded["x-forwarded-for"]
    with pytest.raises(ConnectionError):
        serving.ask()


def test_bind_setting_stands_on_tcp_ports_too(product: Product) -> None:
    backend = product.backend()
    serving = product.serve(backend.container(TCP_PORTS="9000", ports=(9000,)), EXTRA_BIND_SETTINGS="9000:accept-proxy")

    with pytest.raises(ConnectionError):
        serving.ask(port=9000)


def test_global_lines_are_in_force(product: Product) -> None:
    serving = product.serve(EXTRA_GLOBAL_SETTINGS="description first\\, and second, spread-checks 5")

    assert '"first, and second"' == serving.info("description")


def test_global_lines_come_from_a_file(product: Product, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "global.cfg", "description from a file, with comma", "spread-checks 5")

    assert '"from a file, with comma"' == product.serve(EXTRA_GLOBAL_SETTINGS_FILE=path).info("description")


def test_default_lines_are_in_force(product: Product) -> None:
    serving = product.serve(EXTRA_DEFAULT_SETTINGS="monitor-uri /alive, retries 1")

    assert [200, 503] == [serving.ask(path).status for path in ("/alive", "/other")]


def test_default_lines_come_from_a_file(product: Product, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "defaults.cfg", "monitor-uri /alive", "retries 1")

    serving = product.serve(EXTRA_DEFAULT_SETTINGS_FILE=path)

    assert [200, 503] == [serving.ask(path).status for path in ("/alive", "/other")]


def test_error_page_of_a_port_is_shown(product: Product, tmp_path: Path) -> None:
    (tmp_path / "503.http").write_text(PAGE)

    serving = product.serve(EXTRA_FRONTEND_SETTINGS_80=f"errorfile 503 {tmp_path}/503.http")

    assert (503, "<h1>Back soon</h1>") == (serving.ask().status, serving.ask().body)


def test_routing_sees_the_host_that_a_frontend_line_has_set(product: Product) -> None:
    blue = product.backend("blue-1").container(VIRTUAL_HOST="blue.example.com")
    green = product.backend("green-1").container(VIRTUAL_HOST="green.example.com")

    serving = product.serve(
        blue, green, EXTRA_FRONTEND_SETTINGS_80="http-request set-header HOST %[urlp(backend)].example.com"
    )

    assert ["blue-1", "green-1"] == [serving.ask(f"/x?backend={name}").server for name in ("blue", "green")]


def test_frontend_lines_are_for_their_port_only(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=f"{HOST}, {HOST}:81")

    serving = product.serve(
        container, EXTRA_FRONTEND_SETTINGS_80="http-request deny deny_status 403 if { path -m str /a\\,b }, maxconn 2000"
    )

    assert [403, 200] == [serving.ask("/a,b", port=port).status for port in (80, 81)]


@pytest.mark.parametrize("variable", ["EXTRA_FRONTEND_SETTINGS_FILE_80", "EXTRA_FRONTEND_SETTINGS_80_FILE"])
def test_frontend_lines_come_from_a_file(product: Product, tmp_path: Path, variable: str) -> None:
    path = write_lines(tmp_path / "frontend.cfg", "http-request deny deny_status 403 if { path -m str /a,b }")

    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST), **{variable: path})

    assert [403, 200] == [serving.ask(target).status for target in ("/a,b", "/")]


def test_backend_of_the_operator_is_used_by_frontend_lines(product: Product) -> None:
    legacy = product.backend("legacy")
    shop = product.backend("web-1").container(VIRTUAL_HOST=HOST)

    serving = product.serve(
        shop,
        ADDITIONAL_BACKEND_old=f"balance source, server one 127.0.0.1:{legacy.port} check",
        EXTRA_FRONTEND_SETTINGS_80="acl is_old path_beg /old, use_backend old if is_old",
    )

    assert ["legacy", "web-1"] == [serving.ask(path).server for path in ("/old/x", "/new")]


@pytest.mark.parametrize("name", ["SERVICE_web", "SERVICE_shop_web", "shop:web", "web"])
def test_service_is_used_by_frontend_lines(product: Product, name: str) -> None:
    """Its cookie gives its backend another name than that of the service."""
    other = product.backend("other-1").container(VIRTUAL_HOST=HOST)
    web = product.backend("web-1").container(VIRTUAL_HOST="web.example", COOKIE="SRV insert")

    serving = product.serve(other, web, EXTRA_FRONTEND_SETTINGS_80=f"use_backend {name} if {{ path_beg /web }}")

    assert ["web-1", "other-1", "web-1"] == [
        serving.ask("/web").server,
        serving.ask("/x").server,
        serving.ask(host="web.example").server,
    ]
    assert () == serving.problems


@pytest.mark.parametrize("line", ["use_backend default_service if { path_beg /any }", "default_backend default_service"])
def test_default_service_is_used_by_frontend_lines(product: Product, line: str) -> None:
    host = product.backend("host-1").container(VIRTUAL_HOST=HOST)
    any_host = product.backend("any-1").container(required="true")

    serving = product.serve(host, any_host, FORCE_DEFAULT_BACKEND="no", EXTRA_FRONTEND_SETTINGS_80=line)

    assert ["any-1", "host-1"] == [serving.ask("/any", host="x.example").server, serving.ask("/").server]
    assert "http-request" not in serving.haproxy.log.read_text()


def test_name_that_no_service_has_affects_only_its_requests(product: Product) -> None:
    container = product.backend().container(VIRTUAL_HOST=HOST)

    serving = product.serve(container, EXTRA_FRONTEND_SETTINGS_80="use_backend SERVICE_wbe if { path_beg /wbe }")

    assert [503, 200] == [serving.ask(path).status for path in ("/wbe", "/")]
    assert ["the proxy: EXTRA_FRONTEND_SETTINGS_80='SERVICE_wbe'"] == [
        told.partition(": there")[0] for told in serving.problems
    ]


def test_frontend_lines_that_choose_a_backend_cause_no_warning(product: Product) -> None:
    serving = product.serve(
        ADDITIONAL_BACKEND_old="http-request return status 204",
        EXTRA_FRONTEND_SETTINGS_80="use_backend old if { path_beg /old }, http-request set-header X-A b",
    )

    assert 204 == serving.ask("/old").status
    assert "http-request" not in serving.haproxy.log.read_text()


def test_backend_of_the_operator_comes_from_a_file(product: Product, tmp_path: Path) -> None:
    legacy = product.backend("legacy")
    path = write_lines(tmp_path / "old.cfg", "balance source", f"server one 127.0.0.1:{legacy.port}")

    serving = product.serve(ADDITIONAL_BACKEND_FILE_old=path, EXTRA_FRONTEND_SETTINGS_80="default_backend old")

    assert "legacy" == serving.ask().server


def test_service_never_takes_the_name_of_an_operator_s_backend(product: Product) -> None:
    container = product.backend("old").container(VIRTUAL_HOST=HOST, project="")

    serving = product.serve(container, ADDITIONAL_BACKEND_old="http-request return status 204")

    assert ["service old: VIRTUAL_HOST: ADDITIONAL_BACKEND_old has the same name; rename one of the two"] == list(
        serving.problems
    )
    assert 503 == serving.ask().status


@pytest.mark.parametrize("name", ["stats", "http", "tcp", "workers", "port_80"])
def test_service_may_be_called_like_a_section_of_the_configuration(product: Product, name: str) -> None:
    serving = product.serve(product.backend(name).container(VIRTUAL_HOST=HOST, project=""))

    assert name == serving.ask().server


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [("", {400, 431}), ("tune.bufsize 65536, tune.http.maxhdr 500", {200})],
    ids=["ordinary", "raised"],
)
def test_limits_of_headers_can_be_raised(product: Product, lines: str, statuses: set[int]) -> None:
    """The README says which settings allow more than 15 KB of headers, and more than 100 of them."""
    many = {f"X-Header-{number}": "x" * 200 for number in range(200)}

    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST), EXTRA_GLOBAL_SETTINGS=lines)

    assert serving.ask(headers=many).status in statuses
