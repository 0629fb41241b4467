"""The loop: passes run when they are due, whatever happens in one of them, until the loop is told to stop."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from proxy.controller.daemon import Daemon, PassResult, TriggerQueue, put_signals
from proxy.controller.schedule import DuePass, Schedule, ScheduleSettings
from proxy.core.trigger import Trigger, TriggerKind
from proxy.errors import SourceError
from tests.eventually import eventually

QUICK = ScheduleSettings(longest_holdoff_seconds=0.0, resync_seconds=1000, first_retry_seconds=0.0)
STOP = Trigger(reason="enough", kind=TriggerKind.STOP)


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def restored_signals() -> Iterator[None]:
    numbers = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT, signal.SIGRTMIN)
    handlers = {number: signal.getsignal(number) for number in numbers}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def run_passes(*outcomes: bool | Exception) -> list[DuePass]:
    """Run the loop until each outcome has ended a pass. Each pass moves the time by an hour."""
    triggers, clock, passes = TriggerQueue(), Clock(), list[DuePass]()
    left = list(outcomes)

    def run_pass(due: DuePass) -> PassResult:
        passes.append(due)
        clock.now += 3600
        outcome = left.pop(0)
        if not left:
            triggers.put(STOP)
        if isinstance(outcome, Exception):
            raise outcome
        return PassResult(is_success=outcome)

    Daemon(triggers, Schedule(QUICK), run_pass, clock).run()
    return passes


def run_with(triggers: TriggerQueue, run_pass: Callable[[DuePass], PassResult]) -> None:
    Daemon(triggers, Schedule(QUICK), run_pass, Clock()).run()


def test_first_pass_runs_without_any_trigger() -> None:
    passes = run_passes(True)

    assert [("start",)] == [due.reasons for due in passes]


def test_triggers_that_wait_are_one_pass() -> None:
    triggers, passes = TriggerQueue(), list[DuePass]()
    for reason in ("container a: start", "container b: start"):
        triggers.put(Trigger(reason=reason))

    def run_pass(due: DuePass) -> PassResult:
        passes.append(due)
        triggers.put(STOP)
        return PassResult(is_success=True)

    run_with(triggers, run_pass)

    assert [("container a: start", "container b: start")] == [due.reasons for due in passes]


def test_stop_comes_before_a_pass_that_is_due() -> None:
    triggers, passes = TriggerQueue(), list[DuePass]()
    triggers.put(STOP)

    def run_pass(due: DuePass) -> PassResult:
        passes.append(due)
        return PassResult(is_success=True)

    run_with(triggers, run_pass)

    assert [] == passes


def test_pass_that_raises_is_tried_again_and_its_traceback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        passes = run_passes(ZeroDivisionError("a fault of ours"), True)

    assert 2 == len(passes)
    assert ["ZeroDivisionError"] == [type(record.exc_info[1]).__name__ for record in caplog.records if record.exc_info]


def test_expected_error_is_logged_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        passes = run_passes(SourceError("engine does not answer"), True)

    assert 2 == len(passes)
    assert ["pass failed (start): engine does not answer"] == [record.getMessage() for record in caplog.records]


def test_only_the_look_itself_puts_off_the_next_one() -> None:
    """Each pass takes an hour. The look takes 0.4 s, which is a share of 0.0008 of 500 s."""
    triggers, clock, ends = TriggerQueue(), Clock(), list[float]()
    schedule = Schedule(ScheduleSettings(resync_seconds=60))

    def run_pass(due: DuePass) -> PassResult:
        del due
        clock.now += 3600
        ends.append(clock.now)
        triggers.put(STOP)
        return PassResult(is_success=True, look_seconds=0.4)

    Daemon(triggers, schedule, run_pass, clock).run()

    assert pytest.approx(500.0) == schedule.due_time() - ends[0]


def test_failed_pass_keeps_the_reload_that_was_asked_for() -> None:
    triggers, forced = TriggerQueue(), list[str]()
    triggers.put(Trigger(reason="signal SIGUSR1", kind=TriggerKind.RELOAD))
    clock = Clock()

    def run_pass(due: DuePass) -> PassResult:
        forced.append(due.forced_by)
        clock.now += 3600
        if len(forced) == 2:
            triggers.put(STOP)
        return PassResult(is_success=False)

    Daemon(triggers, Schedule(QUICK), run_pass, clock).run()

    assert ["signal SIGUSR1", "signal SIGUSR1"] == forced


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (signal.SIGHUP, TriggerKind.RELOAD),
        (signal.SIGUSR1, TriggerKind.RELOAD),
        (signal.SIGUSR2, TriggerKind.LOOK),
        (signal.SIGTERM, TriggerKind.STOP),
        (signal.SIGINT, TriggerKind.STOP),
    ],
    ids=lambda value: value.name,
)
def test_signals_become_triggers(number: signal.Signals, kind: TriggerKind, restored_signals: None) -> None:
    triggers = TriggerQueue()
    put_signals(triggers)

    os.kill(os.getpid(), number)

    assert Trigger(reason=f"signal {number.name}", kind=kind) == triggers.get(timeout=5)


@pytest.mark.parametrize("number", [signal.SIGRTMIN, signal.SIGUSR1], ids=lambda number: number.name)
def test_signal_that_was_blocked_until_now_becomes_a_trigger(number: signal.Signals, restored_signals: None) -> None:
    """The supervisor blocks it in a controller that it starts, because it would end one without a handler."""
    triggers = TriggerQueue()
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    signal.raise_signal(number)  # To this thread: those that other tests have left do not block it.

    put_signals(triggers, {signal.SIGRTMIN: TriggerKind.HAPROXY})

    kinds = {signal.SIGRTMIN: TriggerKind.HAPROXY, signal.SIGUSR1: TriggerKind.RELOAD}
    assert kinds[number] == triggers.get(timeout=5).kind


def test_start_of_haproxy_is_told_in_words(restored_signals: None) -> None:
    triggers = TriggerQueue()
    put_signals(triggers, {signal.SIGRTMIN: TriggerKind.HAPROXY})

    os.kill(os.getpid(), signal.SIGRTMIN)

    assert Trigger(reason="HAProxy was started", kind=TriggerKind.HAPROXY) == triggers.get(timeout=5)


@pytest.mark.timeout(60)
def test_signal_wakes_a_loop_that_waits(restored_signals: None) -> None:
    triggers, has_run = TriggerQueue(), threading.Event()
    put_signals(triggers)

    def interrupt() -> None:
        eventually(has_run.is_set)
        os.kill(os.getpid(), signal.SIGTERM)

    def run_pass(_due: DuePass) -> PassResult:
        has_run.set()
        return PassResult(is_success=True)

    thread = threading.Thread(target=interrupt)
    thread.start()
    run_with(triggers, run_pass)
    thread.join()

    assert has_run.is_set()
