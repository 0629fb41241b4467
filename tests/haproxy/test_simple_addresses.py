"""Simple routing through a real HAProxy: which address leads to which service, and what the proxy itself answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.builders import make_container
from tests.haproxy.places import Where, everywhere
from tests.haproxy.product import Serving
from tests.haproxy.simple_site import SimpleSite, played_by
from tests.ports import free_port
from tests.simple import CLUSTER

pytestmark = [pytest.mark.haproxy, everywhere(Where.PUBLISHED)]

HTTP = {"X-Forwarded-Proto": "http"}


def test_prefix_and_own_domain_reach_the_service_under_its_path(site: SimpleSite) -> None:
    """The example of 4.8: wordpress;http://wp.sample.com/context."""
    backend = site.backend()
    serving = site.serve(
        played_by(backend, "wordpress;http://wp.sample.com/context"),
        PROXY_CLUSTER_ID=CLUSTER,
        PROXY_REGION_ID="cn-beijing",
    )

    wordpress = serving.ask("/any", host=f"wordpress.{CLUSTER}.cn-beijing.alicontainer.com")
    context = serving.ask("/context/post?id=1", host="wp.sample.com")

    assert ("web-1", "web-1") == (wordpress.server, context.server)
    assert ("GET", "/context/post?id=1") in backend.targets()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/context", "part-1"),
        ("/context/", "part-1"),
        ("/context?x=1", "part-1"),
        ("/Context/Below", "part-1"),
        ("/context/deep/er", "deep-1"),
        ("/contextual", "rest-1"),
        ("/", "rest-1"),
    ],
)
def test_context_path_ends_at_a_boundary_and_the_longest_wins(site: SimpleSite, path: str, expected: str) -> None:
    serving = site.serve(
        played_by(site.backend("rest-1"), "wp.sample.com"),
        played_by(site.backend("part-1"), "wp.sample.com:context"),
        played_by(site.backend("deep-1"), "wp.sample.com/context/deep"),
    )

    assert expected == serving.ask(path, host="wp.sample.com").server


def test_every_scheme_is_served_alike(site: SimpleSite) -> None:
    serving = site.serve(played_by(site.backend(), "http://a.com;https://b.com;ws://c.com;wss://d.com"))

    assert ["web-1"] * 4 == [serving.ask(host=host).server for host in ("a.com", "B.com:9080", "c.com", "d.com")]


def test_ports_of_a_container_have_addresses_of_their_own(site: SimpleSite) -> None:
    web, admin = site.backend("web-1"), site.backend("admin-1")
    labels = {f"aliyun.routing.port_{web.port}": "www.example.com", f"aliyun.routing.port_{admin.port}": "admin.example.com"}
    serving = site.serve(make_container("web-1", ports=(web.port, admin.port), labels=labels))

    assert ["web-1", "admin-1"] == [serving.ask(host=host).server for host in ("www.example.com", "admin.example.com")]


def test_monitor_answers_whatever_the_host(site: SimpleSite) -> None:
    serving = site.serve(played_by(site.backend(), "www.example.com"))

    assert [200, 200, 200] == [
        serving.ask("/haproxy-monitor", host=host).status for host in ("", "10.0.0.1", "www.example.com")
    ]


def assert_is_the_page(serving: Serving, **options: Any) -> None:
    answer = serving.ask(**options)
    assert 503 == answer.status
    assert "text/html;charset=UTF-8" == answer.headers["content-type"]
    assert "没有可以处理该请求的服务" in answer.body
    assert "No service is available for this request" in answer.body


def test_unknown_host_gets_a_page_in_chinese_and_english(site: SimpleSite) -> None:
    serving = site.serve(played_by(site.backend(), "www.example.com/only"))

    assert_is_the_page(serving, host="other.example.com")
    assert_is_the_page(serving, host="www.example.com", path="/else")


def test_service_without_a_living_container_gets_the_page_too(site: SimpleSite) -> None:
    port = free_port()
    serving = site.serve(make_container(labels={f"aliyun.routing.port_{port}": "www.example.com"}))

    assert_is_the_page(serving, host="www.example.com")


def test_page_can_be_replaced(site: SimpleSite, tmp_path: Path) -> None:
    page = tmp_path / "503.http"
    page.write_text("HTTP/1.0 503 Service Unavailable\nContent-Type: text/plain\n\nOurs, with {{ braces }}\n")
    serving = site.serve(PROXY_ERROR_PAGE_503=str(page))

    answer = serving.ask(host="other.example.com")

    assert (503, "Ours, with {{ braces }}\n") == (answer.status, answer.body)


def test_local_name_answers_callers_inside(site: SimpleSite) -> None:
    serving = site.serve(played_by(site.backend(), "restserver.local"))

    assert "web-1" == serving.ask(host="restserver.local").server


def test_local_name_is_unknown_to_what_came_through_the_balancer(site: SimpleSite) -> None:
    serving = site.serve(played_by(site.backend(), "restserver.local"))

    assert_is_the_page(serving, host="RestServer.local.:80", headers={"X-Forwarded-For": "10.0.0.1"})


def test_local_name_is_unknown_outside_of_the_networks(site: SimpleSite) -> None:
    serving = site.serve(played_by(site.backend(), "restserver.local;www.example.com"), PROXY_LOCAL_NETWORKS="10.0.0.0/8")

    assert_is_the_page(serving, host="restserver.local")
    assert "web-1" == serving.ask(host="www.example.com").server


def test_redirect_keeps_path_and_query(site: SimpleSite) -> None:
    serving = site.serve(played_by(site.backend(), "http://www.example.com", routing__force_https="true"))

    answer = serving.ask("/a/b?c=d&e", host="www.example.com:80", headers=HTTP)

    assert (301, "https://www.example.com/a/b?c=d&e") == (answer.status, answer.headers["location"])


@pytest.mark.parametrize("headers", [{}, {"X-Forwarded-Proto": "https"}], ids=["no balancer", "https"])
def test_what_did_not_come_over_http_is_not_redirected(site: SimpleSite, headers: dict[str, str]) -> None:
    serving = site.serve(played_by(site.backend(), "www.example.com", routing__force_https="true"))

    answer = serving.ask(host="www.example.com", headers=headers)

    assert "web-1" == answer.server
    assert headers.get("X-Forwarded-Proto") == answer.forwarded.get("x-forwarded-proto")


def test_redirect_is_for_the_domains_it_names(site: SimpleSite) -> None:
    serving = site.serve(played_by(site.backend(), "a.com;b.com", routing__force_https="b.com"))

    assert [200, 301] == [serving.ask(host=host, headers=HTTP).status for host in ("a.com", "b.com")]


def test_dead_container_without_a_probe_is_passed_over(site: SimpleSite) -> None:
    alive, port = site.backend("web-1"), free_port()
    dead = make_container("web-2", labels={f"aliyun.routing.port_{port}": "www.example.com"})
    serving = site.serve(played_by(alive, "www.example.com"), dead)

    assert ["web-1"] * 20 == serving.servers(20, host="www.example.com")
