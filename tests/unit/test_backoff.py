"""How soon a process that ended is started again."""

import pytest

from proxy.keeper import Backoff


def test_first_end_is_followed_by_a_start_at_once_and_further_ones_by_growing_delays() -> None:
    backoff = Backoff()

    delays = [backoff.delay_after(0.1) for _ in range(9)]

    assert pytest.approx([0, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]) == delays


def test_process_that_stayed_up_is_started_again_at_once() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.delay_after(0.1)

    delays = [backoff.delay_after(11), backoff.delay_after(0.1)]

    assert pytest.approx([0, 0.2]) == delays
