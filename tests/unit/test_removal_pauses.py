"""What HAProxy does not delete is tried again ever more rarely."""

from __future__ import annotations

import pytest

from proxy.core.removals import Removals


@pytest.mark.parametrize(
    ("age_seconds", "expected"),
    [(0.0, 0.5), (2.0, 0.5), (40.0, 10.0), (86400.0, 60.0)],
    ids=["new", "young", "old", "stuck"],
)
def test_pause_grows_with_the_age_up_to_a_minute(age_seconds: float, expected: float) -> None:
    removals = Removals(300.0)
    removals.add([("web", "web-1")], [], 1000.0)

    assert expected == removals.pause_seconds(1000.0 + age_seconds)


def test_what_has_just_left_does_not_wait_for_what_is_stuck() -> None:
    removals = Removals(300.0)
    removals.add([("web", "web-1")], [], 0.0)
    removals.add([("web", "web-2")], [], 1000.0)

    assert 0.5 == removals.pause_seconds(1000.0)


def test_nothing_to_remove_asks_for_no_pass() -> None:
    assert Removals(300.0).pause_seconds(1000.0) is None
