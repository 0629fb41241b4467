"""Sets up logging: one line per record, and a copy to a syslog server if one is set."""

from __future__ import annotations

import logging
import logging.handlers
import time
from typing import Any, TextIO

from proxy.printable import printable

FORMAT = "%(asctime)s %(levelname)-7s proxy: %(message)s"
SYSLOG_FORMAT = "proxy: %(levelname)s %(message)s"
SYSLOG_PORT = 514


class LineFormatter(logging.Formatter):
    """Formats a record as one line, whatever text it carries. The lines of a traceback follow it, indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the name is of logging)
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(f"    {printable(line)}" for line in super().formatException(ei).split("\n"))


def set_up_logging(*, debug: bool, output: TextIO, target: str = "stdout") -> None:
    """Send the log, with times in UTC, to `output`. Unless `target` is `stdout`, also send it to that syslog server.

    `target` is `host[:port]` (UDP). If the server's name cannot be resolved, a warning is logged and the proxy still
    starts.
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
        _add_syslog(root, target)


def _add_syslog(root: logging.Logger, target: str) -> None:
    host, _, port = target.rpartition(":") if ":" in target else (target, "", str(SYSLOG_PORT))
    try:
        handler = logging.handlers.SysLogHandler((host.strip("[]"), int(port)))
    except OSError as error:
        root.warning("the controller's log cannot be sent to %s: %s", target, error)
        return
    handler.setFormatter(LineFormatter(SYSLOG_FORMAT))
    root.addHandler(handler)
