"""No attempt to connect lasts until the kernel repeats its SYN, and all attempts together take the time that is set."""

import pytest

from proxy.core.haproxy.connecting import ATTEMPT_MILLISECONDS, option_lines, timeout_lines

SYN_IS_REPEATED_AFTER_MILLISECONDS = 1000


@pytest.mark.parametrize(
    ("timeout", "lines"),
    [
        ("connect 5000", ["timeout connect 500", "retries 9"]),
        ("connect 1m", ["timeout connect 500", "retries 119"]),
        ("connect 501ms", ["timeout connect 500", "retries 3"]),
        ("connect 500", ["timeout connect 500", "retries 3"]),
        ("connect 80000us", ["timeout connect 80000us", "retries 3"]),
        ("server 50s", ["timeout server 50s", "retries 3"]),
    ],
)
def test_long_time_for_connecting_is_many_short_attempts(timeout: str, lines: list[str]) -> None:
    assert lines == timeout_lines([timeout], least_retries=3)


def test_attempt_is_much_shorter_than_the_time_after_which_a_syn_is_repeated() -> None:
    assert ATTEMPT_MILLISECONDS <= SYN_IS_REPEATED_AFTER_MILLISECONDS / 2


@pytest.mark.parametrize("options", [(), ("httplog", "forwardfor"), ("redispatch",), ("httplog", "redispatch 1")])
def test_every_attempt_may_go_to_another_server(options: tuple[str, ...]) -> None:
    lines = option_lines(options)

    assert 1 == sum(line.startswith("option redispatch") for line in lines)
    assert [f"option {option}" for option in options] == [*lines][: len(options)]
