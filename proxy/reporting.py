"""What people learn of a pass: a log line, problems when they come and when they go, and the status file.

The status file, `status.json` in the state folder, is how `proxy reload`, `proxy health` and scripts see the controller.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proxy.core.model import RoutingModel
from proxy.core.plans import Unchanged
from proxy.errors import Problem
from proxy.reconciler import Outcome

logger = logging.getLogger(__name__)

STATUS_FILE = "status.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the controller last wrote. `passes` counts them, `forced` those that a user asked for.

    `began` is when the last one began to look, in seconds since the epoch: what was there before, it has seen.
    """

    pid: int
    passes: int
    forced: int
    sentence: str
    is_success: bool
    problems: tuple[str, ...] = ()
    began: float = 0.0


class Reporter:
    """Reports each pass once; keeps which problems have been told of."""

    def __init__(self, state_folder: Path) -> None:
        self._path = state_folder / STATUS_FILE
        self._known: frozenset[Problem] = frozenset()
        self._passes = 0
        self._began = 0.0
        self._forced = 0

    def begin(self) -> None:
        """Note that a pass begins."""
        self._began = time.time()

    def report(self, outcome: Outcome, reasons: Sequence[str], *, duration_ms: int, is_forced: bool) -> None:
        """Log what a pass did and which problems came and went, and bring the status file up to date."""
        self._passes += 1
        self._forced += is_forced
        self._report_problems(outcome.problems)
        level = logging.INFO if not isinstance(outcome.plan, Unchanged) else logging.DEBUG
        level = level if outcome.is_success else logging.ERROR
        why = ", ".join(dict.fromkeys(reasons))
        logger.log(level, "%s (because of: %s; %d services; %d ms)", outcome.sentence, why, outcome.services, duration_ms)
        self.write(outcome.sentence, is_success=outcome.is_success, problems=outcome.problems)

    def report_failure(self, sentence: str, *, is_forced: bool) -> None:
        """Record a pass that ended in an error; what it logs is the caller's."""
        self._passes += 1
        self._forced += is_forced
        self.write(sentence, is_success=False, problems=tuple(sorted(self._known)))

    def write(self, sentence: str, *, is_success: bool, problems: Sequence[Problem]) -> None:
        """Replace the status file; a disk that is full costs the file, never the pass."""
        status = {
            "pid": os.getpid(),
            "passes": self._passes,
            "forced": self._forced,
            "sentence": sentence,
            "is_success": is_success,
            "problems": [str(problem) for problem in problems],
            "began": self._began,
        }
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_text(json.dumps(status, indent=1) + "\n")
            temporary.replace(self._path)
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._path, error.strerror)

    def _report_problems(self, problems: Sequence[Problem]) -> None:
        current = frozenset(problems)
        for problem in sorted(current - self._known):
            logger.warning("problem: %s", problem)
        for problem in sorted(self._known - current):
            logger.info("problem is gone: %s", problem)
        self._known = current


def count(model: RoutingModel) -> str:
    """Return how much a model holds, in words."""
    servers = sum(len(backend.servers) for backend in model.backends)
    servers += sum(len(listener.backend.servers) for listener in model.listeners)
    routes = sum(len(frontend.routes) for frontend in model.frontends)
    return f"{len(model.backends)} backends, {servers} servers, {routes} routes, {len(model.certificates)} certificates"


def read_status(state_folder: Path) -> Status | None:
    """Return what the controller last wrote; None when it has not written yet."""
    try:
        values = json.loads((state_folder / STATUS_FILE).read_text())
        return Status(**{**values, "problems": tuple(values["problems"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None
