"""When passes are due: a table of times, without a clock and without sleeping."""

import pytest

from proxy.controller.schedule import MAX_REASONS, DuePass, Schedule, ScheduleSettings
from proxy.core.trigger import Trigger, TriggerKind

SETTINGS = ScheduleSettings(
    first_holdoff_seconds=0.01,
    longest_holdoff_seconds=0.05,
    urgent_holdoff_seconds=0.02,
    resync_seconds=60,
    first_retry_seconds=0.5,
    longest_retry_seconds=30,
)


def look(reason: str = "container web: start") -> Trigger:
    return Trigger(reason=reason)


def make_quiet_schedule(*, last_end: float = 100.0) -> Schedule:
    """Return a schedule whose first pass has ended well at `last_end`."""
    schedule = Schedule(SETTINGS)
    schedule.take(last_end)
    schedule.record_success(last_end)
    return schedule


def make_busy_schedule(*, passes: int = 1, last_end: float = 100.0) -> Schedule:
    """Return a schedule in a burst of `passes` passes, each for a trigger, one right after the other."""
    schedule = make_quiet_schedule(last_end=last_end - 10)
    for _ in range(passes):
        schedule.add(look(), last_end)
        schedule.take(last_end)
        schedule.record_success(last_end)
    return schedule


def test_first_pass_is_due_at_once_and_looks_at_everything() -> None:
    schedule = Schedule(SETTINGS)

    due_time, due = schedule.due_time(), schedule.take(7.0)

    assert due_time <= 7.0
    assert DuePass(reasons=("start",), is_resync=True) == due


def test_first_trigger_after_a_quiet_time_is_due_at_once() -> None:
    schedule = make_quiet_schedule(last_end=100.0)

    schedule.add(look(), 110.0)

    assert 110.0 == schedule.due_time()


@pytest.mark.parametrize(("passes", "holdoff"), [(1, 0.01), (2, 0.02), (3, 0.04), (4, 0.05), (5, 0.05)])
def test_pause_after_a_pass_doubles_in_a_burst_up_to_a_limit(passes: int, holdoff: float) -> None:
    schedule = make_busy_schedule(passes=passes, last_end=100.0)

    schedule.add(look(), 100.001)

    assert pytest.approx(100.0 + holdoff) == schedule.due_time()


def test_burst_is_over_when_nothing_has_come_for_a_while() -> None:
    schedule = make_busy_schedule(passes=5, last_end=100.0)
    schedule.add(look(), 100.11)
    schedule.take(100.11)
    schedule.record_success(100.11)

    schedule.add(look(), 100.111)

    assert pytest.approx(100.12) == schedule.due_time()


def test_pass_that_nothing_triggered_holds_nobody_up() -> None:
    schedule = make_quiet_schedule(last_end=100.0)
    schedule.take(101.0)
    schedule.record_success(101.0)

    schedule.add(look(), 101.001)

    assert 101.001 == schedule.due_time()


def test_storm_of_a_thousand_triggers_costs_a_few_passes() -> None:
    """The triggers come a tenth of a millisecond apart."""
    schedule = make_quiet_schedule(last_end=99.0)
    passes = 0
    for step in range(1000):
        now = 100.0 + step / 10_000
        while schedule.due_time() <= now:
            schedule.take(now)
            schedule.record_success(now)
            passes += 1
        schedule.add(look(f"event {step}"), now)

    assert passes < 8


def test_triggers_within_the_holdoff_are_one_pass_with_each_reason_once() -> None:
    schedule = make_busy_schedule(last_end=100.0)
    for reason in ("container a: die", "container b: start", "container a: die"):
        schedule.add(look(reason), 100.01)

    due = schedule.take(100.05)

    assert DuePass(reasons=("container a: die", "container b: start")) == due
    assert pytest.approx(150.0) == schedule.due_time(), "nothing is left pending"


def test_steady_storm_cannot_put_a_pass_off() -> None:
    schedule = make_busy_schedule(passes=9, last_end=100.0)

    for step in range(1000):
        schedule.add(look(f"event {step}"), 100.0 + step / 100)

    assert pytest.approx(100.05) == schedule.due_time()


def test_storm_keeps_few_reasons_and_counts_the_others() -> None:
    schedule = make_quiet_schedule()
    for step in range(MAX_REASONS + 5):
        schedule.add(look(f"event {step}"), 101.0)

    reasons = schedule.take(101.0).reasons

    assert (*(f"event {step}" for step in range(MAX_REASONS)), "5 more") == reasons


def test_trigger_during_a_pass_is_due_after_it() -> None:
    schedule = make_quiet_schedule(last_end=100.0)
    schedule.add(look("before"), 101.0)
    schedule.take(101.0)

    schedule.add(look("meanwhile"), 101.2)
    schedule.record_success(101.5)

    assert pytest.approx(101.51) == schedule.due_time()
    assert ("meanwhile",) == schedule.take(101.51).reasons


def test_resync_is_due_after_its_time_even_when_other_passes_come_between() -> None:
    schedule = make_quiet_schedule(last_end=100.0)
    schedule.add(look(), 130.0)
    schedule.take(130.0)
    schedule.record_success(130.0)

    due_time, due = schedule.due_time(), schedule.take(160.0)

    assert pytest.approx(160.0) == due_time
    assert DuePass(reasons=("resync",), is_resync=True) == due


def test_failed_pass_is_retried_with_delays_that_double_up_to_a_limit() -> None:
    schedule = make_quiet_schedule()

    delays, now = [], 101.0
    for _ in range(9):
        schedule.take(now)
        schedule.record_failure(now)
        delays.append(schedule.due_time() - now)
        now = schedule.due_time()

    assert pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30, 30]) == delays


def test_delays_stay_finite_after_any_number_of_failures() -> None:
    schedule = make_quiet_schedule()

    for _ in range(5000):
        schedule.take(101.0)
        schedule.record_failure(101.0)

    assert pytest.approx(131.0) == schedule.due_time()


def test_failed_first_pass_is_retried_later_and_still_looks_at_everything() -> None:
    schedule = Schedule(SETTINGS)
    schedule.take(10.0)
    schedule.record_failure(10.0)

    due_time, due = schedule.due_time(), schedule.take(10.5)

    assert pytest.approx(10.5) == due_time
    assert DuePass(reasons=("retry",), is_resync=True) == due


def test_new_trigger_after_many_failures_shortens_the_wait_to_the_first_delay() -> None:
    """The trigger may mean that the cause is gone. The wait does not end at once: a failure may cause triggers."""
    schedule = make_quiet_schedule()
    for _ in range(8):
        schedule.take(101.0)
        schedule.record_failure(101.0)

    schedule.add(look("label put right"), 101.1)

    assert pytest.approx(101.5) == schedule.due_time()


def test_success_ends_the_back_off() -> None:
    schedule = make_quiet_schedule()
    schedule.take(101.0)
    schedule.record_failure(101.0)
    schedule.take(101.5)
    schedule.record_success(101.5)

    schedule.add(look(), 102.0)

    assert 102.0 == schedule.due_time()


def test_reload_that_was_asked_for_says_by_whom() -> None:
    schedule = make_quiet_schedule()

    schedule.add(Trigger(reason="signal SIGUSR1", kind=TriggerKind.RELOAD), 101.0)

    assert DuePass(reasons=("signal SIGUSR1",), forced_by="signal SIGUSR1", is_resync=True) == schedule.take(101.0)


def test_reload_that_was_asked_for_survives_a_failed_pass_but_not_a_good_one() -> None:
    schedule = make_quiet_schedule()
    schedule.add(Trigger(reason="signal SIGUSR1", kind=TriggerKind.RELOAD), 101.0)
    schedule.take(101.0)
    schedule.record_failure(101.0)

    retried = schedule.take(101.5)
    schedule.record_success(101.5)
    next_one = schedule.take(102.0)

    assert ("signal SIGUSR1", "") == (retried.forced_by, next_one.forced_by)


def test_answer_of_a_server_waits_for_less() -> None:
    schedule = make_busy_schedule(passes=5, last_end=100.0)

    schedule.add(Trigger(reason="container web: start"), 100.001)
    hint = schedule.due_time()
    schedule.add(Trigger(reason="web accepts connections", kind=TriggerKind.URGENT), 100.001)

    assert pytest.approx((100.05, 100.02)) == (hint, schedule.due_time())


def test_resync_whose_look_takes_long_is_put_off_up_to_a_limit() -> None:
    """Looking at everything again must take less than a thousandth of the time."""
    schedule = make_quiet_schedule(last_end=100.0)

    dues = []
    for looked in (0.001, 0.3, 5.0):
        begin = schedule.due_time()
        schedule.take(begin)
        schedule.record_success(begin + looked, look_seconds=looked)
        dues.append(schedule.due_time() - begin - looked)

    assert pytest.approx([60, 375, 600]) == dues


def test_what_a_resync_does_besides_looking_does_not_put_off_the_next() -> None:
    """The first pass also starts HAProxy."""
    schedule = Schedule(SETTINGS)
    schedule.take(100.0)

    schedule.record_success(102.0, look_seconds=0.001)

    assert pytest.approx(162.0) == schedule.due_time()


def test_look_of_a_pass_that_is_no_resync_does_not_put_off_the_next() -> None:
    schedule = make_quiet_schedule(last_end=100.0)
    schedule.add(look(), 130.0)
    schedule.take(130.0)

    schedule.record_success(135.0, look_seconds=5.0)

    assert pytest.approx(160.0) == schedule.due_time()


def test_resync_that_fails_is_still_due_at_the_retry() -> None:
    schedule = make_quiet_schedule(last_end=100.0)
    schedule.take(160.0)
    schedule.record_failure(163.0)

    due_time, due = schedule.due_time(), schedule.take(163.5)
    schedule.record_success(166.0, look_seconds=0.001)

    assert pytest.approx(163.5) == due_time
    assert DuePass(reasons=("retry",), is_resync=True) == due
    assert pytest.approx(226.0) == schedule.due_time()


def test_resync_that_a_reload_brings_puts_off_the_next() -> None:
    schedule = make_quiet_schedule(last_end=100.0)
    schedule.add(Trigger(reason="signal SIGUSR1", kind=TriggerKind.RELOAD), 130.0)
    schedule.take(130.0)

    schedule.record_success(131.0, look_seconds=0.001)

    assert pytest.approx(191.0) == schedule.due_time()


def test_haproxy_that_was_started_is_urgent_and_the_pass_knows_it() -> None:
    schedule = make_busy_schedule(passes=5, last_end=100.0)

    schedule.add(Trigger(reason="HAProxy was started", kind=TriggerKind.HAPROXY), 100.001)
    due_time, due = schedule.due_time(), schedule.take(100.02)
    schedule.record_success(100.03)
    schedule.add(look(), 101.0)

    assert pytest.approx(100.02) == due_time
    assert DuePass(reasons=("HAProxy was started",), is_about_haproxy=True) == due
    assert not schedule.take(101.0).is_about_haproxy


def test_failed_pass_keeps_that_haproxy_was_started() -> None:
    schedule = make_quiet_schedule(last_end=100.0)
    schedule.add(Trigger(reason="HAProxy was started", kind=TriggerKind.HAPROXY), 110.0)
    schedule.take(110.0)

    schedule.record_failure(110.1)

    assert schedule.take(110.6).is_about_haproxy
