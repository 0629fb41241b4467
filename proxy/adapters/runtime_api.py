"""Sends commands to the running HAProxy, in order, and judges each reply."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from proxy.core.runtime_commands import Action, Command
from proxy.errors import RuntimeApiError

_VERSION = re.compile(r"New version created: (\d+)")


Send = Callable[[str, str], str]
"""Sends a command and its payload, and returns the reply."""


class CommandSocket(Protocol):
    """The worker's runtime socket."""

    def send(self, command: str, payload: str = "", *, timeout_seconds: float | None = None) -> str:
        """Return the reply to one command; raise RuntimeApiError when there is none."""

    def session(self) -> AbstractContextManager[Send]:
        """Return a context with what sends commands over one connection."""


class RuntimeApi:
    """HAProxy's runtime API."""

    def __init__(self, socket: CommandSocket) -> None:
        self._socket = socket

    def execute(self, actions: Iterable[Action]) -> None:
        """Carry out `actions` in order; raise RuntimeApiError, naming the command, at the first that is refused."""
        with self._socket.session() as send:
            for action in actions:
                for command in _commands(action, send):
                    reply = send(command.text, command.payload.reveal())
                    if not command.is_accepted(reply):
                        raise RuntimeApiError(f"`{command.text}`: {' '.join(reply.split()) or 'no reply'}")

    def attempt(self, commands: Sequence[Command]) -> Sequence[bool]:
        """Carry out every command, and return of each whether HAProxy says that it is done."""
        with self._socket.session() as send:
            return [command.is_accepted(send(command.text, command.payload.reveal())) for command in commands]


def _commands(action: Action, send: Send) -> Sequence[Command]:
    """Return the commands that an action comes to; a map's new version is asked for first."""
    if isinstance(action, Command):
        return (action,)
    reply = send(f"prepare map {action.file}", "")
    match = _VERSION.search(reply)
    if not match:
        raise RuntimeApiError(f"`prepare map {action.file}`: {reply.strip() or 'no reply'}")
    return action.commands(match[1])
