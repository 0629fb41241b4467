"""Sends commands to the running HAProxy, in order, and judges each reply."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from proxy.core.haproxy.runtime_commands import Action, Command, ReplaceMap
from proxy.errors import RuntimeApiError

_VERSION = re.compile(r"New version created: (\d+)")


SendAll = Callable[[Sequence[tuple[str, str]]], list[str]]
"""Sends commands, each with its payload, and returns the replies."""


class CommandSocket(Protocol):
    """The worker's runtime socket."""

    def session(self) -> AbstractContextManager[SendAll]:
        """Return a context with what sends commands over one connection; it raises RuntimeApiError."""


class RuntimeApi:
    """HAProxy's runtime API."""

    def __init__(self, socket: CommandSocket) -> None:
        self._socket = socket

    def execute(self, stages: Iterable[Sequence[Action]]) -> None:
        """Carry out stage after stage; raise RuntimeApiError, naming the command, where one of a stage is refused.

        The commands of a stage are sent together, so that those behind a refused one may have been carried out, too.
        """
        with self._socket.session() as send_all:
            for stage in stages:
                for commands in _runs(stage, send_all):
                    replies = _send(commands, send_all)
                    for command, reply in zip(commands, replies, strict=True):
                        if not command.is_accepted(reply):
                            raise RuntimeApiError(f"`{command.text}`: {' '.join(reply.split()) or 'no reply'}")

    def attempt(self, commands: Sequence[Command]) -> Sequence[bool]:
        """Carry out every command, and return of each whether HAProxy says that it is done."""
        with self._socket.session() as send_all:
            replies = _send(commands, send_all)
        return [command.is_accepted(reply) for command, reply in zip(commands, replies, strict=True)]


def _send(commands: Sequence[Command], send_all: SendAll) -> list[str]:
    return send_all([(command.text, command.payload.reveal()) for command in commands]) if commands else []


def _runs(actions: Sequence[Action], send_all: SendAll) -> Iterator[Sequence[Command]]:
    """Yield the commands of a stage in runs that can be sent together: a map's new version has to be asked for first."""
    run: list[Command] = []
    for action in actions:
        if isinstance(action, Command):
            run.append(action)
            continue
        yield run
        yield action.commands(_prepare(action, send_all))
        run = []
    yield run


def _prepare(action: ReplaceMap, send_all: SendAll) -> str:
    (reply,) = send_all([(f"prepare map {action.file}", "")])
    match = _VERSION.search(reply)
    if not match:
        raise RuntimeApiError(f"`prepare map {action.file}`: {reply.strip() or 'no reply'}")
    return match[1]
