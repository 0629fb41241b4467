"""Files for other people's tools repeat what the Makefile says. They must say the same."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent


def test_hooks_before_a_commit_are_the_commands_of_make_lint() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    commands = recipe.replace("$(PYTHON)", "$(VENV)/bin/python").replace("$(VENV)", ".venv")

    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]

    assert ["local"] == [repository["repo"] for repository in hooks]
    assert [line.lstrip("\t@") for line in commands.splitlines()] == [hook["entry"] for hook in hooks[0]["hooks"]]


def test_workflow_runs_the_script_of_the_repository_and_nothing_else() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())

    runs = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]

    assert ["bash .ci/run"] == runs


def test_engine_starts_the_program_without_a_shell() -> None:
    """A shell would also be between if an instruction were not written as a list."""
    text = (ROOT / "Dockerfile").read_text()

    commands = re.findall(r"^(?:ENTRYPOINT|CMD|HEALTHCHECK .*CMD) (.*)$", text, re.MULTILINE)

    assert [["proxy", "health"], ["proxy"], ["run", "--drop-root"]] == [json.loads(command) for command in commands]


@pytest.mark.parametrize("command", [("launch.py", "health"), ("reload.sh",)], ids=" ".join)
def test_variables_reach_the_program_whatever_their_names(command: tuple[str, ...]) -> None:
    program, *arguments = command
    names = ("ADDITIONAL_BACKEND_my-cdn", "ADDITIONAL_BACKEND_my.cdn")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **dict.fromkeys(names, "backend another")}

    ended = subprocess.run(
        [str(ROOT / program), *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    told = [line.split(": ")[1] for line in ended.stderr.splitlines()]
    assert (2, list(names)) == (ended.returncode, told)


def test_files_of_the_image_are_given_to_its_build() -> None:
    copied = re.findall(r"^COPY (\S+) ", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert [f"!{name}" for name in copied if f"!{name}" not in (ROOT / ".dockerignore").read_text().split()] == []
