"""What people learn about a pass: each problem once when it comes and once when it goes, and the status of each pass."""

from __future__ import annotations

import logging
import os
from dataclasses import replace

import pytest

from proxy.adapters.files.status_file import Status
from proxy.controller.reconciler import Outcome
from proxy.controller.reporting import Reporter, count
from proxy.core.haproxy.plans import Reload, Unchanged
from proxy.errors import Problem
from tests.builders import make_container, make_model, with_labels

FIRST, SECOND = Problem(service="shop:a", reason="is wrong"), Problem(service="shop:b", reason="is wrong, too")


def make_outcome(*problems: Problem, is_success: bool = True, is_changed: bool = False) -> Outcome:
    plan = Reload(reasons=("a new port",)) if is_changed else Unchanged()
    return Outcome(sentence="done", is_success=is_success, plan=plan, services=2, problems=problems)


class Reports:
    """A reporter, and the statuses that it has written."""

    def __init__(self) -> None:
        self.statuses: list[Status] = []
        self.reporter = Reporter(self.statuses.append)

    def add(self, outcome: Outcome, *reasons: str, is_forced: bool = False) -> None:
        self.reporter.begin()
        forced = replace(outcome, forced=int(is_forced))
        self.reporter.report(forced, reasons or ("start",), duration_ms=7)


def test_problem_is_told_when_it_comes_and_when_it_goes(caplog: pytest.LogCaptureFixture) -> None:
    reports = Reports()

    with caplog.at_level(logging.INFO):
        for problems in ((FIRST,), (FIRST,), (FIRST, SECOND), (SECOND,)):
            reports.add(make_outcome(*problems))

    assert [
        f"problem: {FIRST}",
        f"problem: {SECOND}",
        f"problem is gone: {FIRST}",
    ] == caplog.messages


def test_note_is_told_once_and_many_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    reports = Reports()
    many = tuple(Problem(service=f"shop:{number}", reason="is outside the scope", is_note=True) for number in range(30))

    with caplog.at_level(logging.INFO):
        for notes in ((FIRST,), (FIRST,), (), (FIRST, *many)):
            reports.add(replace(make_outcome(), notes=notes))

    first, *lines = caplog.messages
    assert (f"note: {FIRST}", 21) == (first, len(lines))
    assert lines[-1] == "note: 11 more notes; `proxy check` prints all"
    assert [1, 1, 0, 21] == [len(status.notes) for status in reports.statuses]


@pytest.mark.parametrize(
    ("outcome", "level"),
    [
        pytest.param(make_outcome(), logging.DEBUG, id="nothing to do"),
        pytest.param(make_outcome(is_changed=True), logging.INFO, id="a change"),
        pytest.param(make_outcome(is_success=False), logging.ERROR, id="a failure"),
    ],
)
def test_pass_is_one_line_as_loud_as_what_it_did(outcome: Outcome, level: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        Reports().add(outcome, "container a: start", "container b: start", "container a: start")

    line = "done (because of: container a: start, container b: start; 2 services; 7 ms)"
    assert [(level, line)] == [(record.levelno, record.getMessage()) for record in caplog.records]


def test_status_counts_passes_and_those_that_a_user_forced() -> None:
    reports = Reports()

    reports.add(make_outcome(FIRST))
    reports.add(make_outcome(), is_forced=True)
    reports.reporter.report_failure("the disk is full", is_forced=True)

    assert [(1, 0), (2, 1), (3, 2)] == [(status.passes, status.forced) for status in reports.statuses]
    assert {os.getpid()} == {status.pid for status in reports.statuses}


def test_status_keeps_the_end_of_the_last_pass_that_a_user_forced() -> None:
    reports = Reports()

    reports.add(make_outcome(), is_forced=True)
    reports.reporter.report_failure("the disk is full", is_forced=True)
    reports.add(make_outcome())

    ends = [(status.forced_sentence, status.is_forced_success) for status in reports.statuses]
    assert [(reports.statuses[0].sentence, True), *[("the disk is full", False)] * 2] == ends


def test_failed_pass_keeps_the_problems_that_are_known() -> None:
    reports = Reports()
    reports.add(make_outcome(SECOND, FIRST))

    reports.reporter.report_failure("the disk is full", is_forced=False)

    last = reports.statuses[-1]
    assert ("the disk is full", False, (str(FIRST), str(SECOND))) == (last.sentence, last.is_success, last.problems)


def test_model_is_counted_with_the_servers_of_tcp_ports() -> None:
    web = make_container("web-1", virtual_host="a.com, b.com")
    database = make_container("db-1", labels=with_labels(TCP_PORTS="5432"), ports=())

    assert "1 backends, 2 servers, 2 routes, 0 certificates" == count(make_model(web, database))
