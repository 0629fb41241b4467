"""Bytes to and from one of HAProxy's command sockets: a worker's runtime API, or the master CLI.

In: one command as text. Out: its reply as text, or `RuntimeApiError`. Rules: one command per connection; a reply never
takes longer than the timeout as a whole; what the reply means is for `core/commands` to say.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

from proxy.core.commands import encode_command
from proxy.errors import RuntimeApiError

CHUNK_BYTES = 1 << 16


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
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                return self._exchange(connection, message, time.monotonic() + seconds)
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


def _limit(connection: socket.socket, deadline: float) -> None:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    connection.settimeout(remaining)
