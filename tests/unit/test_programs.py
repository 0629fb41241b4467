"""Whatever a test, a benchmark, an example or the set-up starts is named in tests/real/programs.py, with its package."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.real import programs
from tests.real.bare import conclude
from tests.real.steps import Step, StepError
from tests.shell_words import programs_of_make, programs_of_shell
from tests.started_programs import Start, programs_of_python, python_sources

ROOT = Path(__file__).parent.parent.parent
TABLES = (programs.SYSTEM, programs.TESTS, programs.ENGINE, programs.BENCH)
OWN_PROGRAMS = {"proxy"}
READ_BY_HAND = {
    "EnvFile(ROOT / '.cache' / 'real.env').read().get": "HAProxy of tests.real",
    "os.environ.get": "HAProxy of tests.real",
    "binary": "HAProxy of tests.real",
    "self.binary": "HAProxy of tests.real",
    "program.master_command": "HAProxy of tests.real",
    "process.args": "the same program once more",
    "name": "tests/real/programs.py itself",
    "values.get": "HAProxy of tests.real, which the fixture `seen` of tests/e2e starts",
    "pytest.fail": "the same where there is none",
}
"""Expressions that do not say which program they start, and what it is."""


@cache
def starts() -> list[Start]:
    """Return everything that the sources start on this machine; the scripts in tests/real/images run in images."""
    found = programs_of_python(python_sources(ROOT, "tests", "bench", "examples"))
    for path in [*(ROOT / "examples").rglob("*.sh"), ROOT / ".ci" / "run"]:
        found += [Start(path.name, program) for program in programs_of_shell(path.read_text())]
    for path in (ROOT / "examples").rglob("*.md"):
        blocks = re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
        found += [Start(path.name, program) for program in programs_of_shell("\n".join(blocks))]
    return found + [Start("Makefile", program) for program in programs_of_make((ROOT / "Makefile").read_text())]


def test_every_program_that_is_started_is_in_the_table() -> None:
    known = {program for table in TABLES for program in table} | programs.NOT_IN_DEBIAN | OWN_PROGRAMS

    missing = [f"{start.place} starts {start.program}" for start in starts() if start.program and start.program not in known]

    assert [] == missing, "add the program with its package to tests/real/programs.py"


def test_every_start_says_which_program_it_is() -> None:
    unread = {start.unread: start.place for start in starts() if start.unread}

    assert READ_BY_HAND.keys() == unread.keys(), f"write the program down where it is started, or explain it above: {unread}"


def test_table_has_no_program_that_nothing_starts_and_none_twice() -> None:
    named = [program for table in TABLES for program in table]

    assert sorted({start.program for start in starts()} - OWN_PROGRAMS - {""}) == sorted([*named, *programs.NOT_IN_DEBIAN])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("subprocess.run(['jq', '.'])", ["jq"], id="a list"),
        pytest.param("subprocess.run(['/usr/bin/jq', '.'])", ["jq"], id="a path"),
        pytest.param("subprocess.Popen(args=('jq', '.'))", ["jq"], id="a tuple by its keyword"),
        pytest.param("subprocess.run('jq . | tac; FOO=1 nl > file', shell=True)", ["jq", "nl", "tac"], id="a text"),
        pytest.param("def f():\n  command = ['jq']\n  subprocess.run([*command, '.'])", ["jq"], id="a variable"),
        pytest.param("def f(*words):\n  subprocess.run(words)\ndef g():\n  f('jq', '.')", ["jq"], id="a helper"),
        pytest.param("def f(a, words):\n  subprocess.run(words)\ndef g(w):\n  f(1, w)\ng(['jq'])", ["jq"], id="two helpers"),
        pytest.param("def f():\n  return ['jq']\nsubprocess.run(f())", ["jq"], id="a function that makes the command"),
        pytest.param("subprocess.run(['taskset', '-c', '0', 'jq'])", ["jq", "taskset"], id="a program that starts another"),
        pytest.param("subprocess.run(['sh', '-ec', 'ls | jq .'])", ["jq", "ls", "sh"], id="a shell's text"),
        pytest.param("subprocess.run([*(['nice'] if x else []), 'jq'])", ["jq", "nice"], id="a part that may be empty"),
        pytest.param("shutil.which('jq') or 'jq'", ["jq"], id="a look-up"),
        pytest.param("os.execvp('jq', ['jq'])", ["jq"], id="another process in place of this one"),
    ],
)
def test_programs_of_python_are_found(text: str, expected: list[str]) -> None:
    source = f"import os, shutil, subprocess\n{text}\n"

    assert expected == sorted({start.program for start in programs_of_python([("module", source)])})


def test_helper_of_another_module_is_followed() -> None:
    helper = ("tests.helper", "import subprocess\ndef run(*words):\n    subprocess.run([str(word) for word in words])\n")
    caller = ("tests.caller", "from tests import helper\nhelper.run('jq', '.')\n")

    assert [Start("tests.caller:2", "jq")] == programs_of_python([caller, helper])


def test_program_that_cannot_be_read_is_told() -> None:
    source = "import subprocess\nsubprocess.run(make_command(1))\n"

    assert [Start("module:2", unread="make_command")] == programs_of_python([("module", source)])


def test_programs_of_a_shell_script_are_found() -> None:
    script = """\
set -eu  # jo jo
cd "$(dirname "$0")"
if ! grep -q x file; then A=1 jq . < in | tac > out; fi
for word in one two; do
    echo "$word" "$(nl file)" || { cat file >&2; exit 1; }
done
exec sort file
"""

    assert ["cat", "dirname", "grep", "jq", "nl", "sort", "tac"] == sorted(programs_of_shell(script))


def test_programs_of_a_makefile_are_found() -> None:
    makefile = "all: x\n\t@jq . || { \\\n\t  tac y; }\n\t@$(PYTHON) -m pytest; code=$$?; nl file\n"

    assert ["jq", "nl", "tac"] == sorted(programs_of_make(makefile))


def test_package_without_its_program_is_a_fault_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.real.machine.install", lambda *packages: f"installed {' '.join(packages)}")

    with pytest.raises(StepError, match="the package coreutils has no program no-such-program"):
        programs.provide({"no-such-program": "coreutils"})


def failing() -> str:
    raise StepError("it fails")


def test_bare_machine_that_cannot_be_made_proves_nothing_and_is_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude([Step("bare Debian", failing)], [Step("make", failing)])
    assert "NOT PROVEN" in capsys.readouterr().out


def test_set_up_that_fails_on_a_bare_machine_is_a_fault() -> None:
    assert not conclude([Step("bare Debian", str)], [Step("make", failing)])
    assert conclude([Step("bare Debian", str)], [Step("make", str)])
