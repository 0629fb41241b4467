"""Names are resolved by other threads, so the thread that asks never waits for a name that does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proxy.adapters.files.host_names import WORKERS, Answer, HostNames
from proxy.core.trigger import Trigger
from tests.eventually import eventually

KNOWN = "web.example.com"
RENEWED = "proxy.adapters.files.host_names.RESOLVE_SECONDS"
WAITED = "proxy.adapters.files.host_names.START_SECONDS"
FOR_EVER = 3600.0
"""A test that waits this long has failed: it is stopped."""


@pytest.fixture(autouse=True)
def patient_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first look wait for all answers, however slow the machine is."""
    monkeypatch.setattr(WAITED, FOR_EVER)


class Dns:
    """Answers with `addresses`, fails for a name that it does not know, and blocks on names in `dead` until `revive`."""

    def __init__(self, **addresses: str) -> None:
        self.addresses = {f"{name}.example.com": address for name, address in addresses.items()}
        self.dead: set[str] = set()
        self.asked: list[str] = []
        self._revived = threading.Event()

    def revive(self) -> None:
        self.dead.clear()
        self._revived.set()

    def __call__(self, host: str) -> tuple[str, ...]:
        self.asked.append(host)
        if host in self.dead:
            self._revived.wait(60)
        if host not in self.addresses:
            raise OSError(-2, "Name or service not known")
        return (self.addresses[host],)


class Watched:
    """Names that are watched, so that no look waits for them, and the triggers that they have put."""

    def __init__(self, dns: Dns) -> None:
        self.names = HostNames(dns)
        self.triggers: list[Trigger] = []
        self.names.watch(self.triggers.append)

    def answer(self, host: str = KNOWN) -> Answer | None:
        return self.names.answers([host]).get(host)

    def reasons(self) -> list[str]:
        return [trigger.reason for trigger in self.triggers]


@contextmanager
def watched(dns: Dns) -> Iterator[Watched]:
    running = Watched(dns)
    try:
        yield running
    finally:
        dns.revive()
        running.names.stop()


def test_first_question_waits_a_moment_so_that_a_normal_start_has_all_answers() -> None:
    with watched(Dns(web="10.0.0.7")) as running:
        assert Answer(addresses=("10.0.0.7",)) == running.answer()
        assert [] == running.triggers, "the answer has been told already"


def test_name_that_does_not_answer_is_waited_for_once_only_and_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    dns = Dns(web="10.0.0.7")
    dns.dead = {"dead.example.com"}
    with watched(dns) as running:
        monkeypatch.setattr(WAITED, 0.01)
        running.names.answers(["dead.example.com", KNOWN])
        monkeypatch.setattr(WAITED, FOR_EVER)

        eventually(lambda: KNOWN in running.names.answers(["dead.example.com", KNOWN]))

        assert {KNOWN: Answer(addresses=("10.0.0.7",))} == running.names.answers(["dead.example.com", KNOWN])


def test_new_name_after_the_start_is_not_waited_for_and_its_answer_is_a_trigger() -> None:
    dns = Dns(web="10.0.0.7", new="10.0.0.8")
    dns.dead = {"new.example.com"}
    with watched(dns) as running:
        running.answer()
        assert None is running.answer("new.example.com")

        dns.revive()

        eventually(lambda: ["name new.example.com resolves to 10.0.0.8"] == running.reasons())
        assert Answer(addresses=("10.0.0.8",)) == running.answer("new.example.com")


def test_name_is_asked_again_and_a_new_answer_is_a_trigger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RENEWED, 0.02)
    dns = Dns(web="10.0.0.7")
    with watched(dns) as running:
        running.answer()
        eventually(lambda: len(dns.asked) > 3)
        assert [] == running.triggers, "the same answer is no news"

        dns.addresses[KNOWN] = "10.0.0.9"

        # On a busy machine the name may be asked for twice before anybody has taken the first trigger in.
        eventually(lambda: {"name web.example.com resolves to 10.0.0.9"} == {*running.reasons()})
        assert Answer(addresses=("10.0.0.9",)) == running.answer()


def test_name_that_fails_later_keeps_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RENEWED, 0.02)
    dns = Dns(web="10.0.0.7")
    with watched(dns) as running:
        running.answer()

        dns.addresses.clear()
        asked = len(dns.asked)
        eventually(lambda: len(dns.asked) > asked + 3)

        assert ("10.0.0.7",) == running.names.answers([KNOWN])[KNOWN].addresses
        assert [] == running.triggers


def test_name_that_cannot_be_resolved_has_a_fault_which_is_a_trigger() -> None:
    dns = Dns(web="10.0.0.7")
    dns.dead = {"away.example.com"}
    with watched(dns) as running:
        running.answer()
        running.answer("away.example.com")

        dns.revive()

        eventually(lambda: ["name away.example.com cannot be resolved (Name or service not known)"] == running.reasons())
        assert Answer(fault="Name or service not known") == running.answer("away.example.com")


def test_name_that_nobody_asks_for_any_more_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RENEWED, 0.02)
    dns = Dns(web="10.0.0.7", other="10.0.0.8")
    with watched(dns) as running:
        running.answer()

        running.answer("other.example.com")
        eventually(lambda: dns.asked[-8:] == ["other.example.com"] * 8)


def test_many_names_are_asked_by_a_few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WAITED, 0.01)
    names = [f"n{number}" for number in range(100)]
    dns, before = Dns(**dict.fromkeys(names, "10.0.0.7")), set(threading.enumerate())
    dns.dead = {*dns.addresses}
    with watched(dns) as running:
        running.names.answers(dns.addresses)
        threads = set(threading.enumerate()) - before

        assert WORKERS == len(threads)
        assert all(thread.daemon for thread in threads)


def test_stop_ends_the_threads() -> None:
    dns, before = Dns(web="10.0.0.7"), set(threading.enumerate())
    with watched(dns) as running:
        running.answer()
        threads = set(threading.enumerate()) - before

    for thread in threads:
        thread.join(5)
    assert threads
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("fault", [OSError(-3, "Temporary failure in name resolution"), UnicodeError("label too long")])
def test_fault_of_one_name_does_not_end_the_thread(fault: Exception) -> None:
    def resolve(host: str) -> tuple[str, ...]:
        if host == KNOWN:
            return ("10.0.0.7",)
        raise fault

    names = HostNames(resolve)

    for number in range(2 * WORKERS):
        names.answers([f"n{number}.example.com"])

    assert {KNOWN: Answer(addresses=("10.0.0.7",))} == names.answers([KNOWN])
    names.stop()


def test_who_does_not_watch_waits_for_all_answers_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command such as `proxy check` looks only once and cannot use a later answer."""
    monkeypatch.setattr("proxy.adapters.files.host_names.ONE_LOOK_SECONDS", 1.0)
    dns = Dns(web="10.0.0.7")
    dns.dead = {"dead.example.com"}

    def late(host: str) -> tuple[str, ...]:
        time.sleep(0.05)
        return dns(host)

    names = HostNames(late)

    answers = names.answers([KNOWN, "dead.example.com"])

    dns.revive()
    names.stop()
    assert {
        KNOWN: Answer(addresses=("10.0.0.7",)),
        "dead.example.com": Answer(fault="no answer within 1 seconds"),
    } == answers
