"""Options of the whole test suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-golden`: it writes the present results into the lower half of the files in tests/golden, for review."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the expected half of tests/golden/*.txt")
