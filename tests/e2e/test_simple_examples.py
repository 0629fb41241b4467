"""Each example of simple routing does what its first lines promise."""

from __future__ import annotations

import re

import pytest

from tests.e2e.compose import Stack
from tests.e2e.conftest import RunExample
from tests.e2e.visitor import fetch, is_nginx
from tests.eventually import eventually

pytestmark = pytest.mark.docker


def ids_of(stack: Stack, service: str) -> set[str]:
    return {container.inspect("{{.Id}}") for container in stack.containers(service)}


def test_basic_answers_all_its_names_and_is_sticky(run_example: RunExample) -> None:
    stack = run_example("simple-basic")
    stack.scale("web", 3)
    expected = {f"CONTAINERID={container_id}; path=/" for container_id in ids_of(stack, "web")}

    names = ("wordpress.localhost", "www.example.com", "www.nice.com")
    eventually(lambda: all(is_nginx(fetch(stack.port, host=name)) for name in names), timeout=30.0)
    lines = eventually(lambda: _all_cookies(stack, "www.example.com", count=3), timeout=30.0)

    assert expected == lines
    cookie = min(expected).partition(";")[0]
    again = [fetch(stack.port, host="www.example.com", headers={"Cookie": cookie}) for _ in range(6)]
    assert not [line for answer in again for line in answer.set_cookies if line.startswith("CONTAINERID=")]


def _all_cookies(stack: Stack, host: str, *, count: int) -> set[str] | None:
    """Return the first Set-Cookie lines of several visitors, as soon as they name `count` containers."""
    lines = {fetch(stack.port, host=host).set_cookies[0] for _ in range(4 * count)}
    return lines if len(lines) == count else None


def test_basic_answers_the_balancer_and_strangers_itself(run_example: RunExample) -> None:
    stack = run_example("simple-basic")

    eventually(lambda: fetch(stack.port, "/haproxy-monitor", host="").status == 200)
    stranger = fetch(stack.port, host="10.0.0.1")
    assert 503 == stranger.status
    assert "如果您是应用的维护者" in stranger.body
    assert "If you are the maintainer" in stranger.body


def test_context_path_divides_a_domain(run_example: RunExample) -> None:
    stack = run_example("simple-context-path")

    def visit(path: str) -> str:
        answer = fetch(stack.port, path, host="wp.sample.com")
        return "context" if "Server name:" in answer.body else f"web {answer.status}"

    eventually(lambda: [visit("/"), visit("/context")] == ["web 200", "context"])
    assert ["context", "context", "web 404"] == [visit("/context/"), visit("/context/a?b=c"), visit("/contextual")]


def test_local_name_is_for_callers_inside(run_example: RunExample) -> None:
    """The restclient of 7.6 sees the cookies of both containers in its log, one after the other."""
    stack = run_example("simple-local")
    expected = ids_of(stack, "restserver")

    def seen() -> set[str]:
        return set(re.findall(r" CONTAINERID=([0-9a-f]{64}); path=/", stack.container("restclient").logs()))

    eventually(lambda: seen() == expected, timeout=30.0)
    assert is_nginx(fetch(stack.port, host="restserver.local"))
    balanced = fetch(stack.port, host="restserver.local", headers={"X-Forwarded-For": "203.0.113.7"})
    assert 503 == balanced.status


def test_redirect_is_decided_by_the_balancer_s_word(run_example: RunExample) -> None:
    stack = run_example("simple-redirect")
    http = {"X-Forwarded-Proto": "http"}

    eventually(lambda: is_nginx(fetch(stack.port, host="www.example.com")))
    redirected = fetch(stack.port, "/a?b=c", host="www.example.com", headers=http)

    assert (301, "https://www.example.com/a?b=c") == (redirected.status, redirected.headers["location"])
    assert is_nginx(fetch(stack.port, host="www.example.com", headers={"X-Forwarded-Proto": "https"}))
    assert is_nginx(fetch(stack.port, host="plain.example.com", headers=http))


def test_blue_green_raises_the_new_version_by_a_command(run_example: RunExample) -> None:
    stack = run_example("simple-blue-green")
    host, (green,) = "shop.example.com", ids_of(stack, "green")
    of_green = f"CONTAINERID={green}; path=/"

    def visitors_of_green() -> int:
        return sum(fetch(stack.port, host=host).set_cookies[:1] == (of_green,) for _ in range(30))

    eventually(lambda: is_nginx(fetch(stack.port, host=host)), timeout=30.0)
    assert 0 == visitors_of_green()
    done = stack.call("acsrouting", "proxy", "weight", f"{stack.project}:green", "50")
    assert done.startswith(f"{stack.project}:green: weight 50")
    assert 9 <= visitors_of_green() <= 11
    routes = stack.call("acsrouting", "proxy", "routes")
    assert {"blue": "100", "green": "50"} == dict(re.findall(r"-(blue|green)-1\.[0-9a-f]+:80 +(\d+) +up", routes))
