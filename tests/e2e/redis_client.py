"""The part of Redis's protocol (RESP) that sends one command and reads one answer."""

from __future__ import annotations

import socket

from tests.e2e.visitor import ADDRESS, TIMEOUT_SECONDS


def ask_redis(port: int, *command: str) -> str:
    """Send one command on a new connection. Return the answer's text; an error starts with its error word.

    Raises OSError when there is no answer.
    """
    with socket.create_connection((ADDRESS, port), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall((" ".join(command) + "\r\n").encode())
        with connection.makefile("r", encoding="utf-8", newline="\r\n") as answer:
            first = answer.readline().rstrip()
            if not first:
                raise ConnectionResetError("the connection was closed without an answer")
            return answer.read(int(first[1:])) if first.startswith("$") and first != "$-1" else first[1:]


def run_id(port: int) -> str:
    """Return the id that the Redis process that answers has given itself."""
    lines = ask_redis(port, "INFO", "server").splitlines()
    return next(line.removeprefix("run_id:") for line in lines if line.startswith("run_id:"))
