"""Bytes to and from one of HAProxy's command sockets: a worker's runtime API, or the master CLI.

In: commands as text. Out: replies as text, or `RuntimeApiError`. Rules: no connection outlives the call that opened it,
for after a reload it would lead to the old worker; a reply never takes longer than the timeout as a whole; what the reply
means is for `core/commands` to say.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from proxy.core.commands import encode_command
from proxy.errors import RuntimeApiError

CHUNK_BYTES = 1 << 16
PROMPT = b"\n> "
_PAYLOAD_PROMPTS = re.compile(r"^(?:\+ )+")
"""What up to 2.6 is printed for each line of a payload [tried]."""


class RuntimeSocket:
    """A worker's runtime API on a Unix socket (management guide, section 9.3)."""

    def __init__(self, path: Path, *, timeout_seconds: float = 5.0) -> None:
        self._path = path
        self._timeout_seconds = timeout_seconds

    def send(self, command: str, payload: str = "", *, timeout_seconds: float | None = None) -> str:
        """Send one command and return its reply without the empty lines at the end.

        Raises RuntimeApiError when nothing listens, when the connection breaks, or when the reply is not complete
        within `timeout_seconds` (None: as set up).
        """
        message = encode_command(command, payload)
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        with self._explained(command, seconds), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            return self._exchange(connection, message, time.monotonic() + seconds)

    @contextlib.contextmanager
    def session(self) -> Iterator[Callable[[str, str], str]]:
        """Yield what sends commands, each with its payload, over one connection, and returns the replies.

        Takes a tenth of the time of a connection for each command [tried]; see `prompt` in the management guide. Not for
        commands whose reply may hold a line that begins with `> `. The errors are those of `send`.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:

            def send(command: str, payload: str) -> str:
                with self._explained(command, self._timeout_seconds):
                    deadline = time.monotonic() + self._timeout_seconds
                    return _converse(connection, encode_command(command, payload), deadline)

            with self._explained("prompt", self._timeout_seconds):
                connection.settimeout(self._timeout_seconds)
                connection.connect(str(self._path))
            send("prompt", "")
            yield send

    @contextlib.contextmanager
    def _explained(self, command: str, seconds: float) -> Iterator[None]:
        """Raise what goes wrong with the socket as RuntimeApiError."""
        try:
            yield
        except OSError as error:
            reason = f"no complete answer in {seconds:g} s" if isinstance(error, TimeoutError) else error
            verb = " ".join(command.split()[:3])
            raise RuntimeApiError(f"command `{verb}` on socket {self._path} failed: {reason}") from error

    def _exchange(self, connection: socket.socket, message: bytes, deadline: float) -> str:
        _limit(connection, deadline)
        connection.connect(str(self._path))
        connection.sendall(message)
        self._end_input(connection)
        chunks = []
        while chunk := connection.recv(CHUNK_BYTES):
            chunks.append(chunk)
            _limit(connection, deadline)
        return b"".join(chunks).decode(errors="replace").rstrip("\n")

    def _end_input(self, connection: socket.socket) -> None:
        """Do nothing: a worker closes after one command, and ends a `wait` early when its input is closed."""


class MasterSocket(RuntimeSocket):
    """The master CLI (management guide, section 9.4); `@1 COMMAND` or `@!PID COMMAND` reaches a worker."""

    def _end_input(self, connection: socket.socket) -> None:
        """Say that there is no further command; the master, unlike a worker, would wait for one."""
        connection.shutdown(socket.SHUT_WR)


def _converse(connection: socket.socket, message: bytes, deadline: float) -> str:
    """Send one command on a connection that stays, and return its reply: all that comes before the next prompt."""
    _limit(connection, deadline)
    connection.sendall(message)
    received = b""
    while not received.endswith(PROMPT):
        _limit(connection, deadline)
        chunk = connection.recv(CHUNK_BYTES)
        if not chunk:
            raise ConnectionResetError("HAProxy has closed the connection")
        received += chunk
    return _PAYLOAD_PROMPTS.sub("", received.removesuffix(PROMPT).decode(errors="replace")).rstrip("\n")


def _limit(connection: socket.socket, deadline: float) -> None:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    connection.settimeout(remaining)
