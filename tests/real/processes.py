"""Processes of the private engine: how to recognise them reliably, and how to end them.

An engine that was killed leaves processes behind: containerd, a shim per container, and the containers' own processes. The
next engine would wait for the old containerd, even if it is a zombie.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.real.steps import StepError

_PATIENCE_SECONDS = 60


def command_line(pid: int) -> list[str]:
    """Return the words that a process was started with; empty if it does not run."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).rstrip("\0").split("\0")
    except OSError:
        return []


def end(pid: int, number: signal.Signals) -> None:
    """Send a signal and wait until the process has ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _state_and_parent(pid)[0] not in "ZX":
        if time.monotonic() > deadline:
            raise StepError(f"process {pid} did not end within {_PATIENCE_SECONDS} s")
        time.sleep(0.05)


def end_orphans(engine_run: Path) -> None:
    """Kill the containerd and the shims that serve this folder, and the containers below those shims."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    servants = {pid for pid in pids if _serves(pid, engine_run)}
    containers = {pid for pid in pids if _state_and_parent(pid)[1] in servants} - servants
    for pid in [*servants, *containers]:  # the shims first, so that none of them reports the end of a container
        end(pid, signal.SIGKILL)


def _serves(pid: int, engine_run: Path) -> bool:
    words = command_line(pid)
    is_containerd = bool(words) and Path(words[0]).name.startswith("containerd")
    return is_containerd and any(word.startswith(f"{engine_run}/") for word in words)


def _state_and_parent(pid: int) -> tuple[str, int]:
    """Return a process's state, as in proc(5), and its parent's id; ("X", 0) if it does not exist any more."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "X", 0
    return fields[0], int(fields[1])
