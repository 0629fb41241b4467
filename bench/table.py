"""What was measured, as rows of a Markdown table."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement; `holds` is None where there is no budget to hold (a peer, a part of a sum)."""

    what: str
    budget: str = ""
    measured: str
    holds: bool | None = None

    def cells(self) -> tuple[str, str, str, str]:
        return self.what, self.budget, self.measured, {True: "yes", False: "**no**", None: ""}[self.holds]


def render_table(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    return tabulate([row.cells() for row in rows], headers=["what", "budget", "measured", "holds"], tablefmt="github")


def describe_machine() -> str:
    """Return what the numbers depend on: processor, cores, memory, system, load before the run."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    cores = sum(line.startswith("processor") for line in _lines("/proc/cpuinfo"))
    memory = next(int(line.split()[1]) // 1024 // 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    load = _lines("/proc/loadavg")[0].split()[0]
    when = time.strftime("%Y-%m-%d")
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{when}: {cpu}, {cores} cores, {memory} GB; {system}; load average before the run {load}."


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
