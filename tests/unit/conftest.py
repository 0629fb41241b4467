"""Fixtures for several files of this folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine


@pytest.fixture
def command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    """Run commands in a folder of the test. Each command sets up the log; at the end the log is restored."""
    names = (None, "urllib3", "docker", "watchdog")
    loggers = [logging.getLogger(name) for name in names]
    levels, handlers = [logger.level for logger in loggers], loggers[0].handlers
    commands = CommandLine(folder=tmp_path)
    for name, value in commands.environment().items():
        monkeypatch.setenv(name, value)
    yield commands
    loggers[0].handlers = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
