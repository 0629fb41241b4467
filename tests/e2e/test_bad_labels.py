"""A container with a bad label is named. Only its own service is affected."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.compose import Stack
from tests.e2e.conftest import RunFile
from tests.e2e.visitor import fetch
from tests.eventually import eventually

pytestmark = pytest.mark.docker

FILE = Path(__file__).parent / "stacks" / "bad-labels" / "compose.yml"
GOOD_HOSTS = ("one.example.com", "two.example.com")
FAULTS = {
    "bad-check": ("aliyun.proxy.HEALTH_CHECK", "HAProxy rejects it"),
    "bad-certificate": ("aliyun.proxy.SSL_CERT", "key"),
    "bad-line": ("aliyun.proxy.BALANCE", "line"),
}


@pytest.fixture(scope="module")
def stack(run_file: RunFile) -> Stack:
    return run_file(FILE)


def problem_lines(text: str, service: str) -> list[str]:
    return [line for line in text.splitlines() if "problem" in line and f"-{service}-1" in line]


def statuses(stack: Stack, *hosts: str) -> list[int]:
    return [fetch(stack.port, host=host).status for host in hosts]


def test_good_services_are_served(stack: Stack) -> None:
    eventually(lambda: statuses(stack, *GOOD_HOSTS) == [200, 200])

    assert statuses(stack, "check.example.com", "line.example.com") == [503, 503]


@pytest.mark.parametrize("service", FAULTS)
def test_check_names_container_label_and_reason(stack: Stack, service: str) -> None:
    eventually(lambda: statuses(stack, *GOOD_HOSTS) == [200, 200])
    label, reason = FAULTS[service]

    checked = stack.container("lb").exec("proxy", "check")

    assert checked.code == 1
    (line,) = problem_lines(checked.output, service)
    assert label in line
    assert reason in line
    assert "bm8ga2V5" not in checked.output + checked.errors


def test_problem_is_logged_once(stack: Stack) -> None:
    proxy = stack.container("lb")
    eventually(lambda: all(problem_lines(proxy.logs(), service) for service in FAULTS))
    before = {service: len(problem_lines(proxy.logs(), service)) for service in FAULTS}

    proxy.call("/reload.sh")

    assert {service: len(problem_lines(proxy.logs(), service)) for service in FAULTS} == before


def test_problems_go_and_come_with_their_containers(stack: Stack) -> None:
    proxy = stack.container("lb")
    eventually(lambda: proxy.exec("proxy", "check").code == 1)

    stack.remove(*FAULTS)

    eventually(lambda: all("is gone" in problem_lines(proxy.logs(), service)[-1] for service in FAULTS))
    checked = proxy.exec("proxy", "check")
    assert (checked.code, "; 0 problems" in checked.output) == (0, True)
    assert statuses(stack, *GOOD_HOSTS) == [200, 200]

    stack.up()

    eventually(lambda: all("is gone" not in problem_lines(proxy.logs(), service)[-1] for service in FAULTS))
    assert proxy.exec("proxy", "check").code == 1
