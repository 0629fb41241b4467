"""Commands reach HAProxy stage by stage, and a refusal names the command. HAProxy's replies are fixed texts here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from proxy.adapters.haproxy.runtime_api import RuntimeApi, SendAll
from proxy.core.haproxy.reported import Worker
from proxy.core.haproxy.runtime_commands import Command, ReplaceMap
from proxy.errors import RuntimeApiError, WorkerReplacedError


class Replies:
    """A runtime socket that replies from a table, and with nothing to other commands."""

    def __init__(self, replies: Mapping[str, str] | None = None) -> None:
        self._replies = replies or {}
        self.info = INFO.format(pid=7)
        self.sent: list[list[tuple[str, str]]] = []

    @contextmanager
    def session(self) -> Iterator[SendAll]:
        def send_all(commands: Sequence[tuple[str, str]]) -> list[str]:
            if commands[0][0] == "show info":
                return [self.info, "Variable not found"]
            self.sent.append(list(commands))
            return [self._replies.get(text, "") for text, _ in commands]

        yield send_all

    def texts(self) -> list[list[str]]:
        """Return the texts that were sent together, without payloads."""
        return [[text for text, _ in together] for together in self.sent]


WORKER = Worker(pid=7, started_at=100, has_runtime_backends=True)
INFO = "Name: HAProxy\nVersion: 3.4.7-1\nPid: {pid}\nStart_time_sec: 100\n"


def command(text: str, *accepted: str) -> Command:
    return Command(text=text, accepted=accepted or ("",))


def test_commands_of_a_stage_are_sent_together() -> None:
    socket = Replies()

    RuntimeApi(socket).execute([[command("one"), command("two")], [command("three")]], WORKER)

    assert [["one", "two"], ["three"]] == socket.texts()


def test_refused_command_is_named_with_the_reply_and_later_stages_are_not_sent() -> None:
    socket = Replies({"two": "No such\n  backend.\n"})

    with pytest.raises(RuntimeApiError, match=r"^`two`: No such backend\.$"):
        RuntimeApi(socket).execute([[command("one"), command("two")], [command("three")]], WORKER)

    assert [["one", "two"]] == socket.texts()


def test_silence_where_a_word_is_due_is_a_refusal() -> None:
    with pytest.raises(RuntimeApiError, match="`add backend web`: no reply"):
        RuntimeApi(Replies()).execute([[command("add backend web", "registered")]], WORKER)


def test_map_is_replaced_in_a_version_of_its_own_between_the_commands_around_it() -> None:
    socket = Replies({"prepare map maps/hosts.map": "New version created: 7\n"})
    rows = ReplaceMap(file="maps/hosts.map", rows=(("a.com", "a"), ("b.com", "b")))

    RuntimeApi(socket).execute([[command("before"), rows, command("after")]], WORKER)

    assert [
        [("before", "")],
        [("prepare map maps/hosts.map", "")],
        [("add map @7 maps/hosts.map", "a.com a\nb.com b"), ("commit map @7 maps/hosts.map", "")],
        [("after", "")],
    ] == socket.sent


def test_map_without_a_new_version_is_not_filled() -> None:
    socket = Replies({"prepare map maps/hosts.map": "Unknown map identifier.\n"})

    with pytest.raises(RuntimeApiError, match=r"`prepare map maps/hosts.map`: Unknown map identifier"):
        RuntimeApi(socket).execute([[ReplaceMap(file="maps/hosts.map", rows=())]], WORKER)

    assert [["prepare map maps/hosts.map"]] == socket.texts()


def test_attempts_go_on_after_a_refusal() -> None:
    socket = Replies({"two": "server still has connections"})

    done = RuntimeApi(socket).attempt([command("one"), command("two"), command("three")], WORKER)

    assert ([True, False, True], [["one", "two", "three"]]) == (done, socket.texts())


@pytest.mark.parametrize("use", ["execute", "attempt", "report"])
def test_another_worker_is_sent_nothing(use: str) -> None:
    """A plan for one worker may be wrong for the next."""
    socket = Replies()
    socket.info = INFO.format(pid=8)
    api = RuntimeApi(socket)

    uses: Mapping[str, Callable[[], object]] = {
        "execute": lambda: api.execute([[command("one")]], WORKER),
        "attempt": lambda: api.attempt([command("one")], WORKER),
        "report": lambda: api.report(WORKER),
    }

    with pytest.raises(WorkerReplacedError, match="process 8 answers instead of process 7"):
        uses[use]()

    assert [] == socket.sent
