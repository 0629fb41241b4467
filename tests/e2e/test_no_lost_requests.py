"""No visitor loses a request, neither through reloads nor through containers that come and go."""

from __future__ import annotations

import pytest

from tests.e2e.compose import Stack
from tests.e2e.conftest import EXAMPLES, RunFile
from tests.e2e.load import Load, under_load
from tests.e2e.visitor import fetch
from tests.eventually import eventually

pytestmark = pytest.mark.docker

HOST = "appone.example.com"
RELOADS = 10
SERVED = " 200 "
LOG_OF_VISIT = 'HTTP/1.1"'


@pytest.fixture(scope="module")
def stack(run_file: RunFile) -> Stack:
    stack = run_file(EXAMPLES / "basic" / "compose.yml")
    eventually(lambda: fetch(stack.port, host=HOST).status == 200)
    return stack


def expect_all_served(load: Load, stack: Stack) -> None:
    """The lines of HAProxy's log say how an answer that is not 200 came about, and at what moment."""
    assert load.failures == []
    others = [line for line in stack.container("lb").logs().splitlines() if SERVED not in line and LOG_OF_VISIT in line]
    assert set(load.statuses) == {200}, "\n".join(others[-20:])


def test_reload_under_load(stack: Stack) -> None:
    proxy = stack.container("lb")

    with under_load(stack.port, host=HOST) as load:
        for _ in range(RELOADS):
            assert proxy.call("/reload.sh") == "reload: signal SIGUSR1"
            load.wait_for(20)

    expect_all_served(load, stack)


def test_scaling_under_load(stack: Stack) -> None:
    """Two more, two fewer, three more, three fewer; each time while visitors send requests."""
    with under_load(stack.port, host=HOST) as load:
        for count in (3, 1, 4, 1):
            stack.scale("appone", count)
            load.wait_for(100)

    expect_all_served(load, stack)
