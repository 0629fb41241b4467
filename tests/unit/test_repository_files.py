"""Files for other people's tools repeat what the Makefile says. They must say the same."""

from __future__ import annotations

import re
from pathlib import Path

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
