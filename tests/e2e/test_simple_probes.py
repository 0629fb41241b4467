"""Containers get no traffic while their probe fails, and get it back when it passes. No request fails."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.compose import Stack
from tests.e2e.conftest import RunFile
from tests.e2e.load import under_load
from tests.e2e.visitor import basic_auth, fetch
from tests.eventually import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]

FILE = Path(__file__).parent / "stacks" / "simple-probes" / "compose.yml"
PATIENCE_SECONDS = 30.0
VISITS = 8
HANG = "touch /tmp/hang"
COUNT_PROBES = ("sh", "-c", "wc -l < /tmp/probes")


@pytest.fixture(scope="module")
def stack(run_file: RunFile) -> Stack:
    stack = run_file(FILE)
    names = ("http", "tcp", "cmd")
    eventually(
        lambda: all({name, "other"} <= visits(stack, f"{name}.example.com") for name in names), timeout=PATIENCE_SECONDS
    )
    return stack


def visits(stack: Stack, host: str) -> set[str]:
    """Return the names of the containers that answer, or the status code if none does."""
    answers = [fetch(stack.port, host=host) for _ in range(VISITS)]
    return {str(json.loads(a.body)["name"]) if a.status == 200 else str(a.status) for a in answers}


def server_row(stack: Stack, service: str) -> dict[str, str]:
    """Return the row of the service's container on the statistics page."""
    page = fetch(stack.ports["STATS_PAGE_PORT"], "/;csv", headers=basic_auth("stats", "stats"))
    header, *rows = csv.reader(page.body.lstrip("# ").splitlines())
    own = f"{stack.project}:{service}:80"
    servers = [row for row in rows if row and row[1] not in ("FRONTEND", "BACKEND")]
    row = next(row for row in servers if row[0].partition("::")[0] == own)
    return dict(zip(header, row, strict=False))


def failed_checks(stack: Stack, service: str) -> int:
    """Return how many checks of the service's container HAProxy has counted as failed."""
    return int(server_row(stack, service)["chkfail"])


def break_http(stack: Stack) -> None:
    stack.call("http", "curl", "-s", "-X", "POST", "http://127.0.0.1/health/500")


def mend_http(stack: Stack) -> None:
    stack.call("http", "curl", "-s", "-X", "POST", "http://127.0.0.1/health/200")


def break_tcp(stack: Stack) -> None:
    """End the process that listens on the probed port."""
    script = 'for p in /proc/[0-9]*; do grep -qz "^PORTS=9000" $p/environ 2> /dev/null && kill -9 ${p#/proc/}; done; true'
    stack.call("tcp", "sh", "-c", script)


def mend_tcp(stack: Stack) -> None:
    stack.call("tcp", "sh", "-c", "PORTS=9000 nohup python3 -u /backend.py > /dev/null 2>&1 &")


@pytest.mark.parametrize(
    ("name", "break_it", "mend_it"), [("http", break_http, mend_http), ("tcp", break_tcp, mend_tcp)], ids=["http", "tcp"]
)
def test_url_probe_moves_traffic_without_a_failed_request(
    stack: Stack, name: str, break_it: Callable[[Stack], None], mend_it: Callable[[Stack], None]
) -> None:
    host = f"{name}.example.com"
    # A server that has not passed a check yet goes down at the first failed one, and HAProxy does not count that one.
    eventually(lambda: server_row(stack, name)["check_status"] in ("L7OK", "L4OK"), timeout=PATIENCE_SECONDS)
    failed_before = failed_checks(stack, name)

    with under_load(stack.port, host=host, visitors_of_each_kind=1) as load:
        break_it(stack)
        # By chance a few visits may all go to the other container, so HAProxy itself is asked first.
        eventually(lambda: server_row(stack, name)["status"] == "DOWN", timeout=PATIENCE_SECONDS)
        failed = failed_checks(stack, name) - failed_before
        assert {"other"} == visits(stack, host)
        mend_it(stack)
        eventually(lambda: visits(stack, host) == {name, "other"}, timeout=PATIENCE_SECONDS)

    assert 1 <= failed <= 3
    assert [] == load.failures
    assert {200} == set(load.statuses)


def test_command_probe_moves_traffic_without_a_failed_request(stack: Stack) -> None:
    """The command itself counts its runs. It may run once more while the last visits are made."""
    host = "cmd.example.com"

    def probes_until(expected: set[str]) -> int:
        before = int(stack.call("cmd", *COUNT_PROBES))
        eventually(lambda: visits(stack, host) == expected, timeout=PATIENCE_SECONDS)
        return int(stack.call("cmd", *COUNT_PROBES)) - before

    with under_load(stack.port, host=host, visitors_of_each_kind=1) as load:
        stack.call("cmd", "touch", "/tmp/broken")
        until_lost = probes_until({"other"})
        stack.call("cmd", "rm", "/tmp/broken")
        until_back = probes_until({"cmd", "other"})

    assert until_lost <= 3
    assert until_back <= 2 + 1
    assert [] == load.failures
    assert {200} == set(load.statuses)


def test_command_that_hangs_is_ended_and_never_runs_twice_at_a_time(stack: Stack) -> None:
    host = "slow.example.com"
    eventually(lambda: visits(stack, host) == {"slow"}, timeout=PATIENCE_SECONDS)

    stack.call("slow", "touch", "/tmp/hang")
    eventually(lambda: visits(stack, host) == {"503"}, timeout=PATIENCE_SECONDS)
    eventually(lambda: "sleep 600" not in running_commands(stack), timeout=PATIENCE_SECONDS)
    stack.call("slow", "sh", "-c", "rm -f /tmp/hang; rmdir /tmp/running; rm -f /tmp/two-at-a-time")
    eventually(lambda: visits(stack, host) == {"slow"}, timeout=PATIENCE_SECONDS)

    assert 0 != stack.container("slow").exec("test", "-e", "/tmp/two-at-a-time").code


def running_commands(stack: Stack) -> str:
    return "\n".join(command for _, command in stack.container("slow").processes().values())


def test_container_gets_nothing_before_its_initial_delay(stack: Stack) -> None:
    host = "delayed.example.com"
    eventually(lambda: visits(stack, host) != {"503"}, timeout=PATIENCE_SECONDS)

    stack.recreate("delayed")
    assert {"503"} == visits(stack, host)
    assert 0 != stack.container("delayed").exec("test", "-e", "/tmp/probes").code
    eventually(lambda: "503" not in visits(stack, host), timeout=PATIENCE_SECONDS)

    assert int(stack.call("delayed", *COUNT_PROBES)) >= 1


def test_both_kinds_of_probe_are_reported_and_url_is_used(stack: Stack) -> None:
    eventually(lambda: "503" not in visits(stack, "both.example.com"), timeout=PATIENCE_SECONDS)

    (line,) = [line for line in stack.call("acsrouting", "proxy", "routes").splitlines() if "problem: " in line]
    assert f"container {stack.container('both').name}: aliyun.probe.cmd: is ignored, because aliyun.probe.url is set" in line


def test_healthcheck_of_the_engine_counts_too(stack: Stack) -> None:
    host = "healthcheck.example.com"
    eventually(lambda: "503" not in visits(stack, host), timeout=PATIENCE_SECONDS)

    stack.call("healthcheck", "touch", "/tmp/broken")

    eventually(lambda: visits(stack, host) == {"503"}, timeout=PATIENCE_SECONDS)
