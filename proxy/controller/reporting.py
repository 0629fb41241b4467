"""What people learn of a pass: a log line, problems when they come and when they go, notes once, and the status file."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from proxy.adapters.files.status_file import Status
from proxy.controller.daemon import PassResult
from proxy.controller.reconciler import Outcome, Reconciler
from proxy.controller.schedule import DuePass
from proxy.core.haproxy.plans import Unchanged
from proxy.core.model.model import RoutingModel
from proxy.errors import Problem, ProxyError

logger = logging.getLogger(__name__)


MOST_LINES = 20
"""If a pass has more new notes than this, the log counts the others; as many are in the status file."""


class Reporter:
    """Reports each pass once; keeps which problems have been told of. `write_status` is given the status of each."""

    def __init__(self, write_status: Callable[[Status], None]) -> None:
        self._write_status = write_status
        self._known: frozenset[Problem] = frozenset()
        self._notes: tuple[Problem, ...] = ()
        self._servers: Mapping[str, str] = {}
        self._passes = 0
        self._began = 0.0
        self._forced = 0
        self._last_forced = ("", True)

    def begin(self) -> None:
        """Note that a pass begins."""
        self._began = time.time()

    def report(self, outcome: Outcome, reasons: Sequence[str], *, duration_ms: int) -> None:
        """Log what a pass did and which problems came and went, and tell the status."""
        self._passes += 1
        self._note_forced(outcome.forced, outcome.sentence, is_success=outcome.is_success)
        self._report_problems(outcome.problems)
        self._report_notes(outcome.notes)
        level = logging.INFO if not isinstance(outcome.plan, Unchanged) else logging.DEBUG
        level = level if outcome.is_success else logging.ERROR
        why = ", ".join(dict.fromkeys(reasons))
        logger.log(level, "%s (because of: %s; %d services; %d ms)", outcome.sentence, why, outcome.services, duration_ms)
        self._servers = outcome.servers
        self._write(outcome.sentence, is_success=outcome.is_success, problems=outcome.problems)

    def report_failure(self, sentence: str, *, is_forced: bool) -> None:
        """Record a pass that ended in an error; what it logs is the caller's."""
        self._passes += 1
        self._note_forced(int(is_forced), sentence, is_success=False)
        self._write(sentence, is_success=False, problems=tuple(sorted(self._known)))

    def _note_forced(self, count: int, sentence: str, *, is_success: bool) -> None:
        self._forced += count
        if count:
            self._last_forced = sentence, is_success

    def _write(self, sentence: str, *, is_success: bool, problems: Sequence[Problem]) -> None:
        forced_sentence, is_forced_success = self._last_forced
        self._write_status(
            Status(
                pid=os.getpid(),
                passes=self._passes,
                forced=self._forced,
                sentence=sentence,
                is_success=is_success,
                problems=tuple(str(problem) for problem in problems),
                notes=tuple(_shown(self._notes)),
                servers=self._servers,
                began=self._began,
                forced_sentence=forced_sentence,
                is_forced_success=is_forced_success,
            )
        )

    def _report_problems(self, problems: Sequence[Problem]) -> None:
        current = frozenset(problems)
        for problem in sorted(current - self._known):
            logger.warning("problem: %s", problem)
        for problem in sorted(self._known - current):
            logger.info("problem is gone: %s", problem)
        self._known = current

    def _report_notes(self, notes: tuple[Problem, ...]) -> None:
        if notes != self._notes:
            known = frozenset(self._notes)
            for line in _shown([note for note in notes if note not in known]):
                logger.info("note: %s", line)
            self._notes = notes


def _shown(notes: Sequence[Problem]) -> Iterator[str]:
    """Yield the first notes, and how many more there are."""
    yield from map(str, notes[:MOST_LINES])
    if len(notes) > MOST_LINES:
        yield f"{len(notes) - MOST_LINES} more notes; `proxy check` prints all"


def count(model: RoutingModel) -> str:
    """Return how much a model holds, in words."""
    servers = sum(len(backend.servers) for backend in model.backends)
    servers += sum(len(listener.backend.servers) for listener in model.listeners)
    routes = sum(len(frontend.routes) for frontend in model.frontends)
    return f"{len(model.backends)} backends, {servers} servers, {routes} routes, {len(model.certificates)} certificates"


def make_pass(reconciler: Reconciler, reporter: Reporter) -> Callable[[DuePass], PassResult]:
    """Return the function that the loop calls. It runs one pass and reports it."""

    def run_pass(due: DuePass) -> PassResult:
        started = time.monotonic()
        reporter.begin()
        try:
            outcome = reconciler.run_pass(due)
        except ProxyError as error:
            reporter.report_failure(str(error), is_forced=bool(due.forced_by))
            raise
        duration_ms = round((time.monotonic() - started) * 1000)
        reporter.report(outcome, due.reasons, duration_ms=duration_ms)
        return PassResult(is_success=True, again_in=outcome.again_in, look_seconds=outcome.look_seconds)

    return run_pass
