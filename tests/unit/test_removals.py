"""What has left the model is deleted from HAProxy when its connections have ended, and nobody waits for ever."""

from proxy.core.model import Backend, Profile
from proxy.core.removals import Removals
from proxy.core.syntax import BackendName
from proxy.settings import ProxyMode

LIMIT_SECONDS = 300.0
WEB = Backend(name=BackendName("web"), mode=ProxyMode.HTTP, profile=Profile(name="http", mode=ProxyMode.HTTP, lines=()))


def make_removals() -> Removals:
    removals = Removals(LIMIT_SECONDS)
    removals.add([("web", "one")], [WEB], now=10.0)
    return removals


def test_servers_are_due_before_their_backend() -> None:
    removals = make_removals()

    due = removals.due(now=10.0)

    assert ["del server web/one", "del backend web"] == [removal.command.text for removal in due]
    assert removals.has_servers("web")


def test_connections_are_closed_only_once_the_wait_is_over() -> None:
    removals = make_removals()

    in_time, too_late = removals.due(now=10.0 + LIMIT_SECONDS)[0], removals.due(now=10.1 + LIMIT_SECONDS)[0]

    assert in_time.close is None
    assert too_late.close is not None
    assert "shutdown sessions server web/one" == too_late.close.text


def test_what_is_done_is_due_no_more() -> None:
    removals = make_removals()

    for removal in removals.due(now=10.0):
        removals.done(removal)

    assert not removals
    assert [] == [*removals.due(now=10.0)]


def test_what_comes_back_is_kept() -> None:
    removals = make_removals()

    removals.take_back([("web", "one")], ["web"])

    assert not removals


def test_new_worker_has_nothing_to_be_removed() -> None:
    removals = make_removals()

    removals.clear()

    assert (frozenset(), {}) == (removals.servers(), dict(removals.backends()))
