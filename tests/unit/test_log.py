"""Where the log goes. If a syslog server cannot be found, only the copy to it is missing."""

from __future__ import annotations

import io
import logging
import signal
import socket
import time
import timeit
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.log import _find, set_up_logging
from proxy.printable import hide_passwords, hide_passwords_of, printable
from tests.eventually import eventually


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


def test_syslog_socket_gets_a_copy(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        server.settimeout(10)
        set_up_logging(debug=False, output=io.StringIO(), target=str(tmp_path / "log"))

        logging.getLogger("any").info("it happens")

        assert b"it happens" in server.recv(1000)


def test_syslog_server_that_cannot_be_found_is_told_once_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the look-up. What was logged meanwhile is sent as soon as there is a server."""
    output = io.StringIO()
    looks: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)

        def find(target: str) -> tuple[str, int]:
            looks.append(target)
            if len(looks) < 3:
                raise OSError(-2, "Name or service not known")
            address: tuple[str, int] = server.getsockname()
            return address

        monkeypatch.setattr("proxy.log._find", find)
        monkeypatch.setattr("proxy.log.RETRY_SECONDS", 0.0)
        set_up_logging(debug=False, output=output, target="logs:514")

        def send_one() -> bool:
            logging.getLogger("any").info("it happens")
            return len(looks) > 2

        eventually(send_one)
        received = [server.recv(1000) for _ in range(2)]

    assert b"proxy: INFO it happens" in received[0], "the oldest record comes first"
    reason = "the controller's log cannot be sent to logs:514: Name or service not known. It is tried again"
    assert (1, True, False) == (
        output.getvalue().count(reason),
        "it happens" in output.getvalue(),
        "Traceback" in output.getvalue(),
    )


def test_look_up_takes_no_signal_from_the_thread_that_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor takes its signals one by one. A thread that does not block them would die of a SIGTERM."""
    blocked: list[set[int]] = []

    def find(target: str) -> str:
        blocked.append({*signal.pthread_sigmask(signal.SIG_BLOCK, [])})
        raise OSError(2, "No such file")

    monkeypatch.setattr("proxy.log._find", find)
    set_up_logging(debug=False, output=io.StringIO(), target="logs:514")
    logging.getLogger("any").info("it happens")

    assert {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR2} <= eventually(lambda: blocked)[0]
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("127.0.0.1", ("127.0.0.1", 514), id="address"),
        pytest.param("127.0.0.1:5514", ("127.0.0.1", 5514), id="port"),
        pytest.param("[::1]:514", ("::1", 514), id="IPv6"),
        pytest.param("/dev/log", "/dev/log", id="socket"),
    ],
)
def test_syslog_server_is_found_by_what_the_setting_says(target: str, expected: str | tuple[str, int]) -> None:
    assert expected == _find(target)


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user bob insecure-password pw groups a", "user bob insecure-password *** groups a"),
        ("stats auth ops:pw", "stats auth ops:***"),
        ("stats auth pw", "stats auth ***"),
        ("setenv TOKEN pw", "setenv TOKEN ***"),
        ('http-request set-header Authorization "Basic pw"', "http-request set-header Authorization ***"),
        (r"httpchk GET / HTTP/1.1\r\nAuthorization:\ Basic\ pw", r"httpchk GET / HTTP/1.1\r\nAuthorization:\ ***"),
        ("http-check send hdr X-Api-Key pw", "http-check send hdr X-Api-Key ***"),
        ("GET /?a=1&token=pw&b=2", "GET /?a=1&token=***&b=2"),
        ("alice:pw@shop.example", "***@shop.example"),
        ("-----BEGIN EC PRIVATE KEY-----\\npw", "***"),
        ("http-request set-header X-Host %[hdr(host)]", "http-request set-header X-Host %[hdr(host)]"),
        ("a:b,c:d", "a:b,c:d"),
    ],
)
def test_passwords_are_hidden_by_their_place(text: str, expected: str) -> None:
    assert expected == hide_passwords(text)


def test_message_about_a_line_does_not_quote_its_password() -> None:
    line = "http-request set-header Authorization Bearer pa55word"

    assert "'set-header' expects 'if' but found '***'" == hide_passwords_of(
        line, "'set-header' expects 'if' but found 'pa55word'"
    )


@pytest.mark.parametrize("piece", ["=a:", "//a:", "hdr token ", "-----BEGIN PRIVATE KEY", "?token", "authorization"])
def test_time_of_hiding_passwords_grows_with_the_length_of_a_text(piece: str) -> None:
    def steps(length: int) -> float:
        text = (piece * length)[:length]
        return min(timeit.repeat(lambda: hide_passwords(text), number=1, repeat=3, timer=time.process_time))

    assert steps(32_000) < 6 * steps(8_000) + 0.02
