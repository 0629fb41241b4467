"""A limit of the number of processes, as `docker run --pids-limit` sets it: a control group, version 1 or 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.eventually import eventually

ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class ProcessLimit:
    """A control group. The script of the shell runs the program that its arguments name in it."""

    group: Path

    @property
    def script(self) -> str:
        return f'echo $$ > {self.group}/cgroup.procs && exec "$@"'

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Let nobody in the group start a process or a thread until the block ends."""
        limit = self.group / "pids.max"
        limit.write_text("1")
        try:
            yield
        finally:
            limit.write_text("max")


@contextmanager
def process_limit(name: str) -> Iterator[ProcessLimit]:
    """Make a control group for the block. What was started in it must have ended with the block."""
    is_first_version = (ROOT / "pids").is_dir()
    group = (ROOT / "pids" if is_first_version else ROOT) / f"proxy-{name}"
    if not is_first_version:
        (ROOT / "cgroup.subtree_control").write_text("+pids")
    group.mkdir()
    try:
        yield ProcessLimit(group)
    finally:
        eventually(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()
