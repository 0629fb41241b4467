"""Sends commands to the running HAProxy, in order, and judges each reply."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from proxy.core.runtime_commands import Action, Command, ReplaceMap
from proxy.errors import RuntimeApiError

_VERSION = re.compile(r"New version created: (\d+)")


class CommandSocket(Protocol):
    """The worker's runtime socket."""

    def send(self, command: str, payload: str = "", *, timeout_seconds: float | None = None) -> str:
        """Return the reply to one command; raise RuntimeApiError when there is none."""


class RuntimeApi:
    """HAProxy's runtime API."""

    def __init__(self, socket: CommandSocket) -> None:
        self._socket = socket

    def execute(self, actions: Iterable[Action]) -> None:
        """Carry out `actions` in order; raise RuntimeApiError, naming the command, at the first that is refused."""
        for action in actions:
            if isinstance(action, ReplaceMap):
                version = self._prepare(action)
                self.execute(action.commands(version))
            else:
                reply = self._send(action)
                if not action.is_accepted(reply):
                    raise RuntimeApiError(f"`{action.text}`: {' '.join(reply.split()) or 'no reply'}")

    def is_done(self, command: Command) -> bool:
        """Carry out one command and return whether HAProxy says that it is done."""
        return command.is_accepted(self._send(command))

    def _prepare(self, action: ReplaceMap) -> str:
        reply = self._socket.send(f"prepare map {action.file}")
        match = _VERSION.search(reply)
        if not match:
            raise RuntimeApiError(f"`prepare map {action.file}`: {reply.strip() or 'no reply'}")
        return match[1]

    def _send(self, command: Command) -> str:
        return self._socket.send(command.text, command.payload.reveal())
