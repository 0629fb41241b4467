"""Debian's packages of the programs that are measured, or that measure."""

from __future__ import annotations

import sys

from tests.real import programs


def install(*names: str) -> None:
    """Install those of these programs that are missing, without starting what they serve; says so. Needs root."""
    for name in names:
        done = programs.provide({**programs.TESTS, **programs.BENCH}, name)
        print(f"{name}: {done}", file=sys.stderr, flush=True)
