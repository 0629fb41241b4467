"""Custom and simple routing run side by side from one image, and neither sees the other's labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.compose import Stack
from tests.e2e.conftest import RunFile
from tests.e2e.visitor import fetch
from tests.eventually import eventually

pytestmark = pytest.mark.docker

FILE = Path(__file__).parent / "stacks" / "side-by-side" / "compose.yml"


@pytest.fixture(scope="module")
def stack(run_file: RunFile) -> Stack:
    stack = run_file(FILE)
    eventually(lambda: visit(stack.port, "simple.example.com") == "wordpress")
    eventually(lambda: visit(stack.ports["HTTPS_PORT"], "custom.example.com") == "appone")
    return stack


def visit(port: int, host: str) -> str:
    answer = fetch(port, host=host)
    return str(json.loads(answer.body)["name"]) if answer.status == 200 else str(answer.status)


def test_each_serves_its_own_labels_only(stack: Stack) -> None:
    assert "503" == visit(stack.port, "custom.example.com")
    assert "503" == visit(stack.ports["HTTPS_PORT"], "simple.example.com")


def test_labels_of_the_other_and_of_orchestration_are_no_problem(stack: Stack) -> None:
    for service in ("acsrouting", "lb"):
        assert "problem" not in stack.container(service).logs()


def test_option_reaches_the_controller_that_runs_without_root(stack: Stack) -> None:
    commands = {command: uid for uid, command in stack.container("acsrouting").processes().values()}

    assert any("proxy run --mode acsrouting" in command for command in commands)
    assert 0 not in {uid for command, uid in commands.items() if "proxy control" in command}
