"""Just enough of Redis's protocol (RESP) to send one command and read one answer."""

from __future__ import annotations

import socket

from tests.e2e.visitor import ADDRESS, TIMEOUT_SECONDS


def ask_redis(port: int, *command: str) -> str:
    """Send one command on a connection of its own; return the answer's text, errors with their word in front.

    Raises OSError when nobody answers.
    """
    with socket.create_connection((ADDRESS, port), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall((" ".join(command) + "\r\n").encode())
        with connection.makefile("r", encoding="utf-8", newline="\r\n") as answer:
            first = answer.readline().rstrip()
            if not first:
                raise ConnectionResetError("the connection was closed without an answer")
            return answer.read(int(first[1:])) if first.startswith("$") and first != "$-1" else first[1:]


def run_id(port: int) -> str:
    """Return which server answers: the id that each Redis process gives itself."""
    lines = ask_redis(port, "INFO", "server").splitlines()
    return next(line.removeprefix("run_id:") for line in lines if line.startswith("run_id:"))
