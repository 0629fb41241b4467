"""What a label may write in HAProxy's own language (`EXTRA_SETTINGS`, `OPTION`, `HEALTH_CHECK`, `EXTRA_ROUTE_SETTINGS`).

In: safe lines (`syntax.safe_line`) in HAProxy's current syntax. Out: nothing, or ValueError with the reason. Directives,
actions and server options are allowed by name. What names a file, another section or a program, listens, shows the
statistics or changes what all services share is not among them, and what takes memory is bounded. Nothing here holds for
the proxy's own variables.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

from proxy.grammar.balance import parse_balance
from proxy.grammar.cookies import parse_cookie
from proxy.grammar.expressions import check_calls, check_expression, check_formats
from proxy.grammar.keywords import ACTIONS, EXPRESSION_ACTIONS, FILTERS, PLAIN_DIRECTIVES
from proxy.grammar.legacy import MAX_KEY_LENGTH
from proxy.grammar.server_words import check_address, check_known, check_server_words, check_source
from proxy.grammar.syntax import split_words

MAX_TEMPLATE_SERVERS = 100
"""The number of servers that the `server-template` lines of one label may make."""
MAX_TABLE_SIZE, MAX_TABLE_BYTES = 1 << 20, 1 << 26
"""The number of entries of a `stick-table`, and the memory that its keys may take."""
MAX_CAPTURE_LENGTH = 1024


_ANSWER_ARGUMENTS = {"hdr": 2, "default-errorfiles": 0}
"""How many values the arguments of an answer have, if not one."""
_EXCEPTION = "(unless PROXY_ALLOW_EXTRA_SETTINGS=unrestricted)"
_REASONS = {
    **dict.fromkeys(("errorfile", "load-server-state-from-file", "server-state-file-name"), "names a file"),
    **dict.fromkeys(
        ("errorfiles", "email-alert", "use_backend", "default_backend", "use-fcgi-app"), "names another section"
    ),
    "external-check": "runs a program",
    "bind": "listens on a port; use TCP_PORTS",
    "stats": "shows the statistics of all services",
}
_SIZE = re.compile(r"(?P<number>\d{1,10})(?P<unit>[kmgKMG]?)", re.ASCII)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def check_directives(lines: Sequence[str]) -> None:
    """Raise ValueError unless a label may have all these lines in its service's backend or TCP listener."""
    servers = 0
    for number, line in enumerate(lines, start=1):
        words = split_words(line)
        try:
            _check_words(words)
            _check_directive(words)
            if words[0] == "server-template" and len(words) > 2:
                servers += _count_servers(words[2])
        except ValueError as error:
            raise ValueError(f"entry {number} {error} {_EXCEPTION}") from None
    if servers > MAX_TEMPLATE_SERVERS:
        raise ValueError(f"makes {servers} servers with server-template, more than {MAX_TEMPLATE_SERVERS} {_EXCEPTION}")


def check_server_options(line: str) -> None:
    """Raise ValueError unless a label may add this text to its service's `server` lines."""
    words = split_words(line)
    try:
        _check_words(words)
        check_server_words(words)
    except ValueError as error:
        raise ValueError(f"{error} {_EXCEPTION}") from None


def _check_words(words: Sequence[str]) -> None:
    for position, word in enumerate(words):
        if word in ("-f", "-M"):
            raise ValueError(f"uses {word}, which reads a file")
        if word in ("{", "!{"):
            check_expression(" ".join(words[position + 1 : position + 2]))
        check_calls(word)
        check_formats(word)


def _check_directive(words: Sequence[str]) -> None:
    name, arguments = words[0], words[1:]
    if name in _REASONS:
        raise ValueError(f"{name!r} {_REASONS[name]}, which a label may not do")
    if name in PLAIN_DIRECTIVES:
        return
    check_known(name, {**_CHECKS, **dict.fromkeys(PLAIN_DIRECTIVES)}, "a directive")
    _CHECKS[name](arguments)


def _check_negation(arguments: Sequence[str]) -> None:
    check_known(" ".join(arguments[:1]), ("option", "log"), "a directive after 'no'")
    if arguments[0] == "option":
        _check_option(arguments[1:])


def _check_option(arguments: Sequence[str]) -> None:
    if not re.fullmatch(r"[a-z0-9_-]+", " ".join(arguments[:1]), re.ASCII):
        raise ValueError("has a word that is not an option such as 'redispatch'")
    if arguments[0] == "external-check":
        raise ValueError("'option external-check' runs a program, which a label may not do")


def _check_balance(arguments: Sequence[str]) -> None:
    _check_own_label(parse_balance, "balance", arguments)


def _check_cookie(arguments: Sequence[str]) -> None:
    _check_own_label(parse_cookie, "cookie", arguments)


def _check_own_label(parse: Callable[[str], object], name: str, arguments: Sequence[str]) -> None:
    """Check a line for which there is also a label, without quoting it: it may be a part of something else."""
    try:
        parse(" ".join(arguments))
    except ValueError:
        raise ValueError(f"is a line {name!r} that cannot be used; the label {name.upper()} says why") from None


def _check_acl(arguments: Sequence[str]) -> None:
    check_expression(" ".join(arguments[1:2]))


def _check_rule(arguments: Sequence[str]) -> None:
    name = " ".join(arguments[:1]).partition("(")[0]
    check_known(name, ACTIONS, "an action")
    values = _before_condition(arguments[1:])
    if name in EXPRESSION_ACTIONS:
        check_expression(" ".join(values[:1]))
    if name == "capture":
        _check_number(values, "len", MAX_CAPTURE_LENGTH)
    if name.startswith("track-sc") or name == "set-bandwidth-limit":
        _check_table(values)
    if name in ("return", "deny", "tarpit"):
        _check_answer(values)


def _check_tcp_rule(arguments: Sequence[str]) -> None:
    if arguments[:1] != ("inspect-delay",):
        _check_rule(arguments[1:])


def _check_answer(values: Sequence[str]) -> None:
    position = 0
    while position < len(values):
        if values[position] in ("file", "lf-file", "errorfile"):
            raise ValueError(f"{values[position]!r} names a file, which a label may not do")
        if values[position] == "errorfiles":
            raise ValueError("'errorfiles' names another section, which a label may not do")
        position += 1 + _ANSWER_ARGUMENTS.get(values[position], 1)


def _check_stick(arguments: Sequence[str]) -> None:
    values = _before_condition(arguments[1:])
    check_expression(" ".join(values[:1]))
    _check_table(values)


def _check_stick_table(arguments: Sequence[str]) -> None:
    for word in ("peers", "write-to", "recv-only"):
        if word in arguments:
            raise ValueError(f"{word!r} in a stick-table names another section, which a label may not do")
    size = _check_number(arguments, "size", MAX_TABLE_SIZE)
    if size * _check_number(arguments, "len", MAX_KEY_LENGTH) > MAX_TABLE_BYTES:
        raise ValueError(f"has a stick-table whose keys take more than {MAX_TABLE_BYTES} bytes")


def _check_table(values: Sequence[str]) -> None:
    if "table" in values:
        raise ValueError("'table' names another section, which a label may not do")


def _check_number(words: Sequence[str], name: str, maximum: int) -> int:
    """Return the number behind the word `name`, 0 if there is none. Raises ValueError if it is too large."""
    for word, value in itertools.pairwise(words):
        match = _SIZE.fullmatch(value)
        if word == name and match:
            number = int(match["number"]) * _UNITS[match["unit"].lower()]
            if number > maximum:
                raise ValueError(f"{name!r} is {value}, more than {maximum}")
            return number
    return 0


def _check_server(arguments: Sequence[str]) -> None:
    check_address(" ".join(arguments[1:2]))
    check_server_words(arguments[2:])


def _check_template(arguments: Sequence[str]) -> None:
    check_address(" ".join(arguments[2:3]))
    check_server_words(arguments[3:])


def _check_health_rule(arguments: Sequence[str]) -> None:
    for word, value in itertools.pairwise(arguments):
        if word == "addr":
            check_address(value)
        if word == "sni":
            check_expression(value)


def _check_filter(arguments: Sequence[str]) -> None:
    check_known(" ".join(arguments[:1]), FILTERS, "a filter")
    _check_table(arguments)


def _check_log(arguments: Sequence[str]) -> None:
    if arguments != ("global",):
        raise ValueError("'log' with a target of its own is not possible in a label; use RSYSLOG_DESTINATION of the proxy")


def _count_servers(numbers: str) -> int:
    """Return how many servers a `server-template` makes, of the numbers `N` or `A-B`."""
    first, _, last = numbers.partition("-")
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in (first, last or first)):
        raise ValueError("has a server-template without a number or a range such as 1-3")
    return int(last) - int(first) + 1 if last else int(first)


def _before_condition(words: Sequence[str]) -> Sequence[str]:
    """Return the words before `if` or `unless`."""
    return words[: next((position for position, word in enumerate(words) if word in ("if", "unless")), len(words))]


_CHECKS: dict[str, Callable[[Sequence[str]], None]] = {
    "acl": _check_acl,
    "balance": _check_balance,
    "cookie": _check_cookie,
    "default-server": check_server_words,
    "filter": _check_filter,
    "http-after-response": _check_rule,
    "http-check": _check_health_rule,
    "http-error": _check_answer,
    "http-request": _check_rule,
    "http-response": _check_rule,
    "log": _check_log,
    "no": _check_negation,
    "option": _check_option,
    "server": _check_server,
    "server-template": _check_template,
    "source": lambda arguments: check_source(" ".join(arguments[:1])),
    "stick": _check_stick,
    "stick-table": _check_stick_table,
    "tcp-check": _check_health_rule,
    "tcp-request": _check_tcp_rule,
    "tcp-response": _check_tcp_rule,
}
"""Directives with more to check than expressions."""
