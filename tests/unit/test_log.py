"""Where the log goes. If a syslog server cannot be found, only the copy to it is missing."""

from __future__ import annotations

import io
import logging
import socket
from collections.abc import Iterator

import pytest

from proxy.log import set_up_logging
from proxy.printable import printable

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


FORGED = "2026-11-25T16:00:00Z INFO    proxy: all is well"


@pytest.mark.parametrize("sign", ["\n", "\r", "\r\n", "\x0b", "\x85", "\u2028", "\x1b[2J\n"])
def test_text_from_outside_forges_no_line(sign: str) -> None:
    output = io.StringIO()
    set_up_logging(debug=False, output=output)

    logging.getLogger("any").warning("container %s is left out", f"web{sign}{FORGED}")

    assert 1 == len(output.getvalue().splitlines())
    assert [] == [character for character in output.getvalue()[:-1] if not character.isprintable()]


def test_text_in_an_exception_forges_no_line() -> None:
    output = io.StringIO()
    set_up_logging(debug=False, output=output)

    try:
        raise ValueError(f"web\n{FORGED}\x1b[2J")
    except ValueError:
        logging.getLogger("any").exception("an error in this program")

    first, *traceback = output.getvalue().splitlines()
    assert first.endswith("ERROR   proxy: an error in this program")
    assert [] == [line for line in traceback if not line.startswith("    ") or "\x1b" in line]


def test_signs_that_turn_the_direction_of_writing_are_escaped() -> None:
    assert r"a\u202eb\u200bc 图" == printable("a\u202eb\u200bc 图")


def test_password_in_an_address_is_not_shown() -> None:
    assert "entry 'http://***@shop.example/a:b@c' is" == printable("entry 'http://alice:secret@shop.example/a:b@c' is")
