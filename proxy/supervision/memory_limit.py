"""Whether the kernel has killed a process because the memory limit was reached.

In: the files of this program's control group (cgroups(7), memory.events). Out: a phrase for the log. Without such files, the
phrase says only what may be the reason.
"""

from __future__ import annotations

import re
from pathlib import Path

_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_EVENTS, _EVENTS_1 = "memory.events", "memory.oom_control"
"""The files that count in version 2 and version 1 of control groups."""
_LIMITS = {_EVENTS: "memory.max", _EVENTS_1: "memory.limit_in_bytes"}
_MOST_BYTES = 1 << 50
"""Version 1 has a huge number where there is no limit."""


class MemoryLimit:
    """Counts the processes that were killed in the control group. `groups` and `membership` are the kernel's files."""

    def __init__(self, groups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> None:
        self._file = _find_events(groups, membership)
        self._kills = self._read_kills()

    def explain_kill(self) -> str:
        """Return why a process was killed, as far as it is known, and what to do."""
        before, self._kills = self._kills, self._read_kills()
        if self._file is None:
            return "killed; if nobody has done it, the memory is too small"
        if self._kills > before:
            return f"killed, because the memory limit{self._read_limit()} is reached; raise it (--memory, or mem_limit)"
        return "killed by somebody"

    def _read_kills(self) -> int:
        match = _KILLS.search(_read(self._file)) if self._file else None
        return int(match[1]) if match else 0

    def _read_limit(self) -> str:
        text = _read(self._file.with_name(_LIMITS[self._file.name])).strip() if self._file else ""
        return f" of {int(text) >> 20} MB" if text.isdigit() and int(text) < _MOST_BYTES else ""


def _find_events(groups: Path, membership: Path) -> Path | None:
    """Return the file that counts. In a container, the group's own folder is often mounted as the root."""
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            name, root = (_EVENTS_1, groups / "memory") if controllers else (_EVENTS, groups)
            for folder in (root / path.lstrip("/"), root):
                if _KILLS.search(_read(folder / name)):
                    return folder / name
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
