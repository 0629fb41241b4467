"""Calls are made when their time has come, by one thread for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from proxy.adapters.engine.delayed_calls import DelayedCalls
from tests.eventually import eventually


@pytest.fixture
def calls() -> Iterator[DelayedCalls]:
    calls = DelayedCalls()
    yield calls
    calls.stop()


def test_calls_are_made_in_the_order_of_their_times(calls: DelayedCalls) -> None:
    made: list[str] = []
    now = time.monotonic()

    for name, delay in (("third", 0.06), ("first", 0.02), ("second", 0.04)):
        calls.set(name, now + delay, partial(made.append, name))

    eventually(lambda: len(made) == 3)
    assert ["first", "second", "third"] == made


def test_thousand_calls_need_one_thread(calls: DelayedCalls) -> None:
    before = set(threading.enumerate())

    for number in range(1000):
        calls.set(str(number), time.monotonic() + 60, pytest.fail)

    assert 1 == len(set(threading.enumerate()) - before)


def test_thread_ends_when_there_are_no_calls_and_another_one_makes_the_next() -> None:
    before = set(threading.enumerate())
    made: list[int] = []
    calls = DelayedCalls(idle_seconds=0.01)

    calls.set("a", time.monotonic(), lambda: made.append(1))
    eventually(lambda: made == [1] and set(threading.enumerate()) <= before)
    calls.set("a", time.monotonic(), lambda: made.append(2))
    eventually(lambda: made == [1, 2])
    calls.stop()


def test_second_call_for_a_key_replaces_the_first(calls: DelayedCalls) -> None:
    made: list[int] = []
    now = time.monotonic()
    calls.set("a", now + 0.01, lambda: made.append(1))
    calls.set("a", now + 0.03, lambda: made.append(2))
    calls.set("end", now + 0.05, lambda: made.append(3))

    eventually(lambda: 3 in made)

    assert [2, 3] == made


def test_cancelled_call_is_not_made(calls: DelayedCalls) -> None:
    made: list[int] = []
    now = time.monotonic()
    calls.set("a", now + 0.01, lambda: made.append(1))
    calls.set("end", now + 0.03, lambda: made.append(2))

    calls.cancel("a")

    eventually(lambda: 2 in made)
    assert [2] == made


def test_stop_ends_the_thread() -> None:
    calls, before = DelayedCalls(), set(threading.enumerate())
    calls.set("a", time.monotonic() + 60, pytest.fail)
    (thread,) = set(threading.enumerate()) - before

    calls.stop()

    thread.join(5)
    assert not thread.is_alive()


def test_nothing_is_taken_after_the_stop() -> None:
    calls, before = DelayedCalls(), set(threading.enumerate())
    calls.stop()

    calls.set("a", time.monotonic(), pytest.fail)

    assert set() == set(threading.enumerate()) - before
