"""Bytes to and from one of HAProxy's command sockets: a worker's runtime API, or the master CLI.

In: commands as text. Out: replies as text, or `RuntimeApiError`. Rules: no connection outlives the call that opened it,
because after a reload it would lead to the old worker. No reply takes longer than the timeout as a whole. The meaning of a
reply is decided in `core/haproxy/replies`.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from proxy.core.haproxy.replies import encode_command
from proxy.errors import RuntimeApiError

CHUNK_BYTES = 1 << 16
MOST_BYTES_AT_ONCE = 1 << 15
PROMPT = b"\n> "
_PAYLOAD_PROMPTS = re.compile(r"^(?:\+ )+")
"""The text that HAProxy up to 2.6 prints for each line of a payload [tried]."""


class RuntimeSocket:
    """A worker's runtime API on a Unix socket (management guide, section 9.3)."""

    def __init__(self, path: Path, *, timeout_seconds: float = 5.0) -> None:
        self._path = path
        self._timeout_seconds = timeout_seconds

    def send(self, command: str, payload: str = "", *, timeout_seconds: float | None = None) -> str:
        """Send one command and return its reply without the empty lines at the end.

        Raises RuntimeApiError if nothing listens, if the connection breaks, or if the reply is not complete within
        `timeout_seconds` (None: the timeout of this socket).
        """
        message = encode_command(command, payload)
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        with self._explained(command, seconds), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            return self._exchange(connection, message, time.monotonic() + seconds)

    @contextlib.contextmanager
    def session(self) -> Iterator[Callable[[Sequence[tuple[str, str]]], list[str]]]:
        """Yield a function that sends (command, payload) pairs together over one connection and returns the replies.

        This takes a tenth of the time of one connection per command [tried]; see `prompt` in the management guide. It must
        not be used for commands whose reply may contain a line that begins with `> `. The errors are those of `send`.
        """
        opening = [encode_command("prompt")]
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:

            def send_all(commands: Sequence[tuple[str, str]]) -> list[str]:
                messages = [*opening, *(encode_command(*command) for command in commands)]
                replies: list[str] = []
                for chunk in _chunks(messages):
                    with self._explained(commands[max(len(replies) - len(opening), 0)][0], self._timeout_seconds):
                        replies += _converse(connection, chunk, time.monotonic() + self._timeout_seconds)
                del replies[: len(opening)]
                opening.clear()
                return replies

            with self._explained("prompt", self._timeout_seconds):
                connection.settimeout(self._timeout_seconds)
                connection.connect(str(self._path))
            yield send_all

    @contextlib.contextmanager
    def _explained(self, command: str, seconds: float) -> Iterator[None]:
        """Turn errors of the socket into RuntimeApiError."""
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
        """Do nothing. A worker closes after one command, and would end a `wait` early if its input were closed."""


class MasterSocket(RuntimeSocket):
    """The master CLI (management guide, section 9.4); `@1 COMMAND` or `@!PID COMMAND` reaches a worker."""

    def _end_input(self, connection: socket.socket) -> None:
        """Close the input to say that no further command comes. Unlike a worker, the master would wait for one."""
        connection.shutdown(socket.SHUT_WR)


def _chunks(messages: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Split messages into runs that fit into the buffers of a socket, so that the two sides never wait for each other."""
    chunk: list[bytes] = []
    for message in messages:
        if chunk and sum(map(len, chunk)) + len(message) > MOST_BYTES_AT_ONCE:
            yield chunk
            chunk = []
        chunk.append(message)
    if chunk:
        yield chunk


def _converse(connection: socket.socket, messages: Sequence[bytes], deadline: float) -> list[str]:
    """Send commands on a connection that stays open, and return their replies. A reply is the text before a prompt."""
    _limit(connection, deadline)
    connection.sendall(b"".join(messages))
    received = b""
    while received.count(PROMPT) < len(messages):
        _limit(connection, deadline)
        chunk = connection.recv(CHUNK_BYTES)
        if not chunk:
            raise ConnectionResetError("HAProxy has closed the connection")
        received += chunk
    replies = received.removesuffix(PROMPT).split(PROMPT)
    return [_PAYLOAD_PROMPTS.sub("", reply.decode(errors="replace")).strip("\n") for reply in replies]


def _limit(connection: socket.socket, deadline: float) -> None:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    connection.settimeout(remaining)
