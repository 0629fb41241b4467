"""Waiting in tests: poll for a condition, and never sleep for a guessed time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = float(os.environ.get("TEST_PATIENCE", "3"))
"""Multiplies every timeout, because machines of CI are slow and shared."""


def eventually(condition: Callable[[], T], timeout: float = 10.0, interval: float = 0.02) -> T:
    """Return the first true value of `condition`. When time runs out, fail with its last error or value."""
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        try:
            value = condition()
            error: Exception | None = None
        except (AssertionError, OSError) as failure:
            value, error = None, failure
        if value:
            return value
        if time.monotonic() > deadline:
            if error:
                raise error
            raise AssertionError(f"still {value!r} after {timeout * PATIENCE} s")
        time.sleep(interval)
