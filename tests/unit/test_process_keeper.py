"""How soon a process that ended is started again."""

import pytest

from proxy.supervision.process_keeper import Backoff, ProcessKeeper


def test_first_end_is_followed_by_a_start_at_once_and_further_ones_by_growing_delays() -> None:
    backoff = Backoff(good_after_seconds=1.0)

    delays = [backoff.delay_after(0.1) for _ in range(9)]

    assert pytest.approx([0, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]) == delays


def test_process_that_stayed_up_is_started_again_at_once() -> None:
    backoff = Backoff(good_after_seconds=1.0)
    for _ in range(5):
        backoff.delay_after(0.1)

    delays = [backoff.delay_after(1.1), backoff.delay_after(0.1)]

    assert pytest.approx([0, 0.2]) == delays


def test_process_that_has_done_its_work_is_started_again_at_once_however_early_it_ended() -> None:
    backoff = Backoff(good_after_seconds=1.0)
    for _ in range(5):
        backoff.delay_after(0.1)

    backoff.clear()

    assert pytest.approx([0, 0.2]) == [backoff.delay_after(0.1) for _ in range(2)]


def test_word_of_a_good_start_that_comes_late_ends_the_wait() -> None:
    def fail() -> None:
        raise OSError("text file busy")

    keeper = ProcessKeeper("controller", fail, 1.0, lambda: "killed")
    for _ in range(5):
        keeper.start_if_due(100.0)
        keeper.start_if_due(keeper.wake_time(100.0))

    keeper.note_good_start(101.0)

    assert pytest.approx(101.0) == keeper.wake_time(101.0)


def test_process_that_cannot_start_yet_is_looked_at_often_at_first_and_rarely_after_long() -> None:
    keeper = ProcessKeeper("HAProxy", lambda: None, 1.0, lambda: "killed")

    pauses = {}
    for now in (0.0, 10.0, 86400.0):
        keeper.start_if_due(now)
        pauses[now] = keeper.wake_time(now) - now

    assert pytest.approx({0.0: 0.02, 10.0: 0.2, 86400.0: 1.0}) == pauses


def test_program_that_cannot_be_executed_is_tried_again() -> None:
    def fail() -> None:
        raise OSError("text file busy")

    keeper = ProcessKeeper("HAProxy", fail, 1.0, lambda: "killed")

    keeper.start_if_due(100.0)
    keeper.start_if_due(100.0)

    assert pytest.approx(100.2) == keeper.wake_time(100.0)


class Ended:
    """A process that has ended with this code."""

    pid = 7

    def __init__(self, code: int) -> None:
        self._code = code

    def poll(self) -> int:
        return self._code

    def send_signal(self, sig: int) -> None:
        raise AssertionError(f"signal {sig} to a process that has ended")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        pytest.param(-9, "the memory limit is reached", id="killed"),
        pytest.param(137, "the memory limit is reached", id="worker-killed"),
        pytest.param(-15, "killed by SIGTERM", id="terminated"),
        pytest.param(1, "exit code 1", id="exit"),
    ],
)
def test_reason_of_each_end_is_told(caplog: pytest.LogCaptureFixture, code: int, reason: str) -> None:
    keeper = ProcessKeeper("controller", lambda: Ended(code), 1.0, lambda: "the memory limit is reached")

    for now in (0.0, 1.0, 3.0):
        keeper.start_if_due(now)
        keeper.notice_end(now)

    assert 3 == caplog.text.count(f"controller ended: {reason}; it is started again in")
