"""Sets up logging: one line per record, and a copy to a syslog server if one is set."""

from __future__ import annotations

import logging
import logging.handlers
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

from proxy.printable import printable

FORMAT = "%(asctime)s %(levelname)-7s proxy: %(message)s"
SYSLOG_FORMAT = "proxy: %(levelname)s %(message)s"
SYSLOG_PORT = 514
RETRY_SECONDS = 30.0
"""After how long a syslog server that could not be found is looked for again, and the address of another one looked up."""
MOST_WAITING = 200
"""How many records wait for the address of the syslog server. Older ones are only in the ordinary log."""


class LineFormatter(logging.Formatter):
    """Formats a record as one line, whatever text it carries. The lines of a traceback follow it, indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the name is of logging)
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(f"    {printable(line)}" for line in super().formatException(ei).split("\n"))


def set_up_logging(*, debug: bool, output: TextIO, target: str = "stdout") -> None:
    """Send the log, with times in UTC, to `output`. Unless `target` is `stdout`, also send it to that syslog server.

    `target` is `host[:port]` (UDP) or the path of a socket. Nothing waits for that server. If it cannot be found, this is
    logged once and tried again.
    """
    formatter = LineFormatter(FORMAT, "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(output)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for noisy in ("urllib3", "docker", "watchdog"):
        logging.getLogger(noisy).setLevel(logging.INFO if debug else logging.WARNING)
    if target != "stdout":
        root.addHandler(SyslogCopy(target))


class SyslogCopy(logging.Handler):
    """Sends records to a syslog server. A thread of its own looks for the server, since the DNS may not answer."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self._target = target
        self._waiting: deque[logging.LogRecord] = deque(maxlen=MOST_WAITING)
        self._server: _QuietHandler | None = None
        self._next_look = 0.0
        self._is_looking = False
        self._is_told = False
        self._is_closed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record, or let it wait for the server. The caller holds the handler's lock."""
        self._waiting.append(record)
        now = time.monotonic()
        if now >= self._next_look and not self._is_looking:
            self._is_looking, self._next_look = True, now + RETRY_SECONDS
            _start_thread(self._look)
        self._send_waiting()

    def close(self) -> None:
        """Close the connection."""
        self.acquire()
        try:
            server, self._server, self._is_closed = self._server, None, True
        finally:
            self.release()
        if server:
            server.close()
        super().close()

    def _send_waiting(self) -> None:
        while self._server and self._waiting:
            self._server.emit(self._waiting.popleft())

    def _look(self) -> None:
        try:
            found = _QuietHandler(_find(self._target))
        except (OSError, UnicodeError) as error:
            self._is_looking = False
            if not self._is_told:
                self._is_told = True
                reason = getattr(error, "strerror", None) or error
                logging.getLogger().warning(
                    "the controller's log cannot be sent to %s: %s. It is tried again", self._target, reason
                )
            return
        found.setFormatter(LineFormatter(SYSLOG_FORMAT))
        self.acquire()
        try:
            unused: _QuietHandler | None = found
            if not self._is_closed:
                unused, self._server = self._server, found
            self._is_looking = self._is_told = False
            self._send_waiting()
        finally:
            self.release()
        if unused:
            unused.close()


class _QuietHandler(logging.handlers.SysLogHandler):
    """A record that cannot be sent is lost for this server only. The ordinary log has it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the standard library's name
        """Do nothing: the standard library would print a traceback for each record."""


def _find(target: str) -> str | tuple[str, int]:
    """Return the path of a syslog socket, or the address and port of a server. Raises OSError if it has no address."""
    if target.startswith("/"):
        return target
    host, _, port = target.rpartition(":") if ":" in target else (target, "", str(SYSLOG_PORT))
    *_, (address, number, *_) = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
    return str(address), int(number)


def _start_thread(look: Callable[[], None]) -> None:
    """Start a thread that takes no signal: the supervisor waits for its signals in another one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        threading.Thread(target=look, name="syslog server", daemon=True).start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
