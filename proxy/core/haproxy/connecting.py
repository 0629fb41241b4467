"""How HAProxy connects to servers: in short attempts, each of which may go to another server.

In: options and timeouts of the settings. Out: lines for `defaults`. The address of a container that has gone is silent,
and the kernel repeats a SYN there after a second (RFC 6298, section 2.1). By then another container may have the address,
and the visitor of one service would get the answer of another. So no attempt lasts that long. After each, HAProxy chooses
again among the servers that are there. The time that is set for connecting is that of all attempts together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

ATTEMPT_MILLISECONDS = 500
"""Well below the second after which the kernel repeats a SYN, because a busy HAProxy notices a timeout late."""

_MILLISECONDS = {"us": 0.001, "ms": 1, "": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def option_lines(options: Iterable[str]) -> Sequence[str]:
    """Return the `option` lines. Without `redispatch`, HAProxy would go on trying a server that has been taken out."""
    lines = [f"option {option}" for option in options]
    return lines if any(line.split()[1] == "redispatch" for line in lines) else [*lines, "option redispatch 1"]


def timeout_lines(timeouts: Iterable[str], *, least_retries: int) -> Sequence[str]:
    """Return the `timeout` lines, and the `retries` line that makes up for short attempts to connect."""
    lines, retries = [], least_retries
    for timeout in timeouts:
        name, _, time = timeout.partition(" ")
        if name == "connect" and (total := _parse_milliseconds(time)) > ATTEMPT_MILLISECONDS:
            retries = max(retries, math.ceil(total / ATTEMPT_MILLISECONDS) - 1)
            timeout = f"connect {ATTEMPT_MILLISECONDS}"
        lines.append(f"timeout {timeout}")
    return [*lines, f"retries {retries}"]


def _parse_milliseconds(time: str) -> float:
    """Return a time of HAProxy (manual, section 2.5) in milliseconds."""
    number, unit = re.fullmatch(r"(\d+)(\D*)", time).groups()  # type: ignore[union-attr]
    return int(number) * _MILLISECONDS[unit]
