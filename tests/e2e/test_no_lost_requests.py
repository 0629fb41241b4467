"""No visitor loses a request: not by reloads, not by containers that come and go."""

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


@pytest.fixture(scope="module")
def stack(run_file: RunFile) -> Stack:
    stack = run_file(EXAMPLES / "basic" / "compose.yml")
    eventually(lambda: fetch(stack.port, host=HOST).status == 200)
    return stack


def expect_all_served(load: Load) -> None:
    assert load.failures == []
    assert set(load.statuses) == {200}


def test_reload_under_load(stack: Stack) -> None:
    proxy = stack.container("lb")

    with under_load(stack.port, host=HOST) as load:
        for _ in range(RELOADS):
            before = len(load.statuses)
            assert proxy.call("/reload.sh") == "reload: signal SIGUSR1"
            eventually(lambda before=before: len(load.statuses) > before + 20)

    expect_all_served(load)


def test_scaling_under_load(stack: Stack) -> None:
    """Up by as many, then down again, each time while visitors ask."""
    with under_load(stack.port, host=HOST) as load:
        for count in (3, 1, 4, 1):
            before = len(load.statuses)
            stack.scale("appone", count)
            eventually(lambda before=before: len(load.statuses) > before + 100)

    expect_all_served(load)
