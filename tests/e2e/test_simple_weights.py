"""Blue-green releases: weights move visitors while they keep visiting, and weights set by a user are kept."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.compose import Stack
from tests.e2e.conftest import RunFile
from tests.e2e.engine import CommandError
from tests.e2e.load import under_load
from tests.e2e.visitor import ADDRESS, exchange, fetch
from tests.eventually import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

FILE = Path(__file__).parent / "stacks" / "simple-weights" / "compose.yml"
HOST = "weights.example.com"
REQUESTS = 10_000
PROXIES = {"acsrouting": "HTTP_PORT", "lb": "HTTPS_PORT"}


@pytest.fixture
def stack(run_file: RunFile) -> Stack:
    stack = run_file(FILE)
    eventually(lambda: all(count(stack.ports[port], 20)["blue"] == 20 for port in PROXIES.values()), timeout=30.0)
    return stack


def count(port: int, requests: int) -> Counter[str]:
    """Return who answers this many requests without cookies over one connection, with the status for failed ones."""
    counter: Counter[str] = Counter()
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=15)
    try:
        for _ in range(requests):
            answer = exchange(connection, "/", host=HOST)
            counter[str(json.loads(answer.body)["name"]) if answer.status == 200 else str(answer.status)] += 1
    finally:
        connection.close()
    return counter


def weigh(stack: Stack, proxy: str, service: str, weight: str) -> str:
    return stack.call(proxy, "proxy", "weight", f"{stack.project}:{service}", weight)


def reloads(stack: Stack, proxy: str) -> int:
    return stack.container(proxy).logs().count(": reload: ")


@pytest.mark.parametrize("proxy", PROXIES)
def test_release_under_load_loses_no_request_and_shares_follow_the_weights(stack: Stack, proxy: str) -> None:
    """One test for the whole release, because each step starts where the one before has ended."""
    port = stack.ports[PROXIES[proxy]]
    reloads_before = reloads(stack, proxy)

    with under_load(port, host=HOST) as load:
        for weight in ("0", "25", "100"):
            weigh(stack, proxy, "green", weight)
            counter = count(port, REQUESTS)
            wanted = REQUESTS * int(weight) / (100 + int(weight))
            assert abs(counter["green"] - wanted) <= 0.05 * REQUESTS, (weight, counter)
            assert {"blue", "green"} >= counter.keys()
        weigh(stack, proxy, "blue", "0")
        assert {"green"} == count(port, 100).keys()
        assert reloads_before == reloads(stack, proxy)
        stack.remove("blue")
        assert {"green"} == count(port, 100).keys()

    assert [] == load.failures
    assert {200} == set(load.statuses)


def test_sticky_visitor_stays_until_the_old_version_has_no_weight(stack: Stack) -> None:
    old, _ = stack.containers("blue")
    cookie = {"Cookie": f"CONTAINERID={old.inspect('{{.Id}}')}"}

    def hosts_of_visits() -> set[str]:
        return {str(json.loads(fetch(stack.port, host=HOST, headers=cookie).body)["hostname"]) for _ in range(10)}

    weigh(stack, "acsrouting", "green", "1000")
    assert {old.inspect("{{.Config.Hostname}}")} == hosts_of_visits()
    weigh(stack, "acsrouting", "blue", "0")
    assert {stack.container("green").inspect("{{.Config.Hostname}}")} == hosts_of_visits()


def test_weights_are_kept_over_reloads_and_restarts_and_shown(stack: Stack) -> None:
    weigh(stack, "acsrouting", "green", "100")
    weigh(stack, "acsrouting", "blue", "0")

    stack.call("acsrouting", "/reload.sh")
    assert {"green"} == count(stack.port, 20).keys()
    stack.stop("acsrouting")
    stack.start("acsrouting")
    eventually(lambda: {"green"} == count(stack.port, 20).keys(), timeout=30.0)

    listed = stack.call("acsrouting", "proxy", "weight").splitlines()
    assert [f"{stack.project}:blue", "0", "proxy", "weight"] == listed[1].split()
    assert "maint: its weight is 0" in stack.call("acsrouting", "proxy", "routes")
    weigh(stack, "acsrouting", "blue", "default")
    assert {"blue", "green"} == count(stack.port, 20).keys()


def test_command_helps_where_it_cannot_do_what_is_asked(stack: Stack) -> None:
    result = stack.container("acsrouting").exec("proxy", "weight", f"{stack.project}:bleu", "10")
    assert 1 == result.code
    assert f"there is no service '{stack.project}:bleu'; there is {stack.project}:blue" in result.errors

    assert 2 == stack.container("acsrouting").exec("proxy", "weight", f"{stack.project}:blue", "much").code
    with pytest.raises(CommandError, match="the weight is missing"):
        stack.call("acsrouting", "proxy", "weight", f"{stack.project}:blue")
