"""Run named steps side by side, as far as their needs allow, and report each result in one line.

A step is a function that returns a text about what it provided, or raises `StepError`. A step is not tried if one that it
needs has failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

_LONGEST_COMMAND_SECONDS = 900
_LAST_LINES = 15


class StepError(Exception):
    """A step failed. The text says what failed, with the last lines of its output."""


@dataclass(frozen=True)
class Step:
    """One part to provide. `needs` names the steps that must come before it."""

    name: str
    provide: Callable[[], str]
    needs: tuple[str, ...] = ()


def run(
    *command: str | os.PathLike[str],
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a command and return its standard output. If it fails, raise `StepError` with the end of its output."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env={**os.environ, **(env or {})},
            timeout=_LONGEST_COMMAND_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise StepError(f"{words[0]}: no such command") from error
    except subprocess.TimeoutExpired as error:
        raise StepError(f"{_shown(words)}: still running after {_LONGEST_COMMAND_SECONDS} s") from error
    if done.returncode:
        output = (done.stdout + done.stderr).decode(errors="replace")
        raise StepError(f"{_shown(words)}: exit code {done.returncode}\n{last_lines(output)}")
    return done.stdout.decode(errors="replace")


def answer(*command: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> str | None:
    """Return the stripped output of a command that may fail; None if it does."""
    try:
        return run(*command, env=env).strip()
    except StepError:
        return None


def last_lines(output: str) -> str:
    """Return the end of a command's output, indented for the report."""
    lines = [line for line in output.splitlines() if line.strip()]
    return "\n".join(f"    {line}" for line in lines[-_LAST_LINES:])


def require_root(purpose: str) -> None:
    """Raise `StepError` that says what needs root, unless this process is root."""
    if os.geteuid() != 0:
        raise StepError(f"needs root {purpose}")


def run_steps(steps: Sequence[Step]) -> bool:
    """Run all steps, each as soon as its needs are met. Return whether all of them succeeded."""
    outcomes: dict[str, Future[bool]] = {step.name: Future() for step in steps}
    report = _Report(width=max(len(step.name) for step in steps))

    def run_one(step: Step) -> None:
        succeeded = False
        try:
            missing = [need for need in step.needs if not outcomes[need].result()]
            if missing:
                report.write(step.name, f"NOT SET UP: it needs {', '.join(missing)}")
            else:
                succeeded = report.time(step)
        finally:
            outcomes[step.name].set_result(succeeded)

    with ThreadPoolExecutor(max_workers=len(steps)) as pool:
        for future in [pool.submit(run_one, step) for step in steps]:
            future.result()
    return all(outcome.result() for outcome in outcomes.values())


class _Report:
    """Lines on standard output, one at a time, each with the seconds since the start."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._started_at = time.monotonic()
        self._lock = threading.Lock()

    def time(self, step: Step) -> bool:
        started_at = time.monotonic()
        try:
            text, succeeded = step.provide(), True
        except (StepError, OSError) as error:
            text, succeeded = f"NOT SET UP: {error}", False
        self.write(step.name, f"{text} ({time.monotonic() - started_at:.1f} s)")
        return succeeded

    def write(self, name: str, text: str) -> None:
        with self._lock:
            sys.stdout.write(f"[{time.monotonic() - self._started_at:6.1f} s] {name:{self._width}}  {text}\n")
            sys.stdout.flush()


def _shown(words: Sequence[str]) -> str:
    text = " ".join(words)
    return text if len(text) < 160 else f"{text[:157]}..."
