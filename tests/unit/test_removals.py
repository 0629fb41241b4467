"""What has left the model is deleted from HAProxy when its connections have ended, and nothing waits for ever."""

import pytest

from proxy.core.haproxy.removals import Removals
from proxy.core.model.model import Backend, Profile
from proxy.grammar.syntax import BackendName
from proxy.settings import ProxyMode

LIMIT_SECONDS = 300.0
WEB = Backend(name=BackendName("web"), mode=ProxyMode.HTTP, profile=Profile(name="http", mode=ProxyMode.HTTP, lines=()))


def make_removals() -> Removals:
    removals = Removals(LIMIT_SECONDS)
    removals.add([("web", "one")], [WEB], now=10.0)
    return removals


def texts(removals: Removals, now: float) -> list[str]:
    return [command.text for removal in removals.due(now) for command in removal.commands]


def test_backend_is_due_once_its_servers_are_gone() -> None:
    removals = make_removals()

    first = texts(removals, now=10.0)
    removals.done(*removals.due(now=10.0))

    assert (["del server web/one"], ["del backend web"] * 2) == (first, texts(removals, now=10.0))


def test_connections_are_closed_only_once_the_wait_is_over() -> None:
    removals = make_removals()

    in_time, too_late = texts(removals, now=10.0 + LIMIT_SECONDS), texts(removals, now=10.1 + LIMIT_SECONDS)

    assert ["del server web/one"] == in_time
    assert ["shutdown sessions server web/one", "del server web/one"] == too_late


def test_what_is_done_is_due_no_more() -> None:
    removals = make_removals()

    while due := removals.due(now=10.0):
        for removal in due:
            removals.done(removal)

    assert not removals
    assert [] == texts(removals, now=10.0)


@pytest.mark.parametrize(
    ("age_seconds", "expected"),
    [(0.0, 0.5), (2.0, 0.5), (40.0, 10.0), (86400.0, 60.0)],
    ids=["new", "young", "old", "stuck"],
)
def test_pause_grows_with_the_age_up_to_a_minute(age_seconds: float, expected: float) -> None:
    removals, now = make_removals(), 10.0 + age_seconds

    (removal,) = removals.due(now)
    removals.put_off(removal, now)

    assert [] == texts(removals, now)
    assert expected == removals.pause_seconds(now)
    assert ["del server web/one"] == [text for text in texts(removals, now + expected) if "shutdown" not in text]


def test_what_has_just_left_does_not_wait_for_what_is_stuck() -> None:
    removals = Removals(LIMIT_SECONDS)
    removals.add([("web", "stuck")], [], 0.0)
    (stuck,) = removals.due(1000.0)
    removals.put_off(stuck, 1000.0)

    removals.add([("web", "new")], [], 1001.0)

    assert ["del server web/new"] == texts(removals, now=1001.0)


def test_what_could_not_be_tried_is_not_tried_again_at_once() -> None:
    """HAProxy's socket may be unreachable. Passes must not follow each other without a pause until it is back."""
    removals = make_removals()

    assert 0.5 == removals.pause_seconds(10.0)
    assert 0.5 == removals.pause_seconds(20.0)


def test_nothing_to_remove_asks_for_no_pass() -> None:
    assert Removals(LIMIT_SECONDS).pause_seconds(1000.0) is None


def test_what_comes_back_is_kept() -> None:
    removals = make_removals()

    removals.take_back([("web", "one")], ["web"])

    assert not removals


def test_new_worker_has_nothing_to_be_removed() -> None:
    removals = make_removals()

    removals.clear()

    assert (set(), {}) == (set(removals.servers()), dict(removals.backends()))
