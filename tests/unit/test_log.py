"""Where the log goes. If a syslog server cannot be found, only the copy to it is missing."""

from __future__ import annotations

import io
import logging
import socket
from collections.abc import Iterator

import pytest

from proxy.log import set_up_logging

UNKNOWN = "[fe80::1%none]:514"
"""An address on an interface that this machine does not have, so no name server is asked."""


@pytest.fixture(autouse=True)
def restored_log() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers
    root.setLevel(level)


def test_line_has_its_time_in_utc_its_level_and_the_program() -> None:
    output = io.StringIO()
    set_up_logging(debug=False, output=output)

    logging.getLogger("any").warning("it %s", "happens")
    logging.getLogger("any").debug("unseen")

    time, _, rest = output.getvalue().partition(" ")
    assert (True, "WARNING proxy: it happens\n") == (time.endswith("Z"), rest)


def test_syslog_server_gets_a_copy() -> None:
    output = io.StringIO()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        set_up_logging(debug=False, output=output, target=f"127.0.0.1:{server.getsockname()[1]}")

        logging.getLogger("any").info("it happens")
        received = server.recv(1000)

    assert b"proxy: INFO it happens" in received
    assert "it happens" in output.getvalue()


def test_syslog_server_that_cannot_be_found_is_told_and_the_log_goes_on() -> None:
    output = io.StringIO()

    set_up_logging(debug=False, output=output, target=UNKNOWN)
    logging.getLogger("any").info("it happens")

    first, second = output.getvalue().splitlines()
    assert f"the controller's log cannot be sent to {UNKNOWN}: " in first
    assert second.endswith("it happens")
