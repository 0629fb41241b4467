"""What a label may write on a `server` line: options and addresses (manual, section 5.2).

In: the words of a line. Out: nothing, or ValueError with the reason. Options are allowed by name (`keywords`).
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Collection, Sequence

from proxy.grammar.expressions import check_expression
from proxy.grammar.keywords import (
    ADDRESS_OPTIONS,
    EXPRESSION_OPTIONS,
    FORBIDDEN_OPTIONS,
    INTERVAL_OPTIONS,
    OPTION_VALUES,
)

MIN_CHECK_MILLISECONDS = 50
"""The shortest time between two checks of a server."""

_ADDRESS = re.compile(r"(?:ipv[46]@)?(?:(?P<ipv4>[\d.]+)|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::\+?\d{1,5})?", re.ASCII)
_TIME = re.compile(r"(?P<number>\d{1,10})(?P<unit>us|ms|[smhd]?)", re.ASCII)
_TIME_UNITS = {"us": 0.001, "": 1, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def option_names(words: Sequence[str]) -> list[str]:
    """Return the options among the words of a `server` line, without their values. Unknown options count as having none."""
    names = []
    position = 0
    while position < len(words):
        names.append(words[position])
        position += 1 + OPTION_VALUES.get(words[position], 0)
    return names


def check_server_words(words: Sequence[str]) -> None:
    """Raise ValueError unless a label may write all these options of a server."""
    position = 0
    while position < len(words):
        name = words[position].partition("(")[0]
        if name in FORBIDDEN_OPTIONS:
            raise ValueError(f"the server option {name!r} {FORBIDDEN_OPTIONS[name]}, which a label may not do")
        check_known(name, OPTION_VALUES, "a server option")
        value = " ".join(words[position + 1 : position + 1 + OPTION_VALUES[name]])
        if name == "source":
            check_source(value)
        if name in ADDRESS_OPTIONS:
            check_address(value)
        if name in INTERVAL_OPTIONS:
            _check_interval(value)
        if name in EXPRESSION_OPTIONS:
            check_expression(value)
        position += 1 + OPTION_VALUES[name]


def check_address(text: str) -> None:
    """Raise ValueError unless `text` is an IP address of another machine, with or without a port.

    A name that the DNS does not answer would keep HAProxy from starting. What this machine listens on is not for everybody.
    """
    match = _ADDRESS.fullmatch(text)
    try:
        address = ipaddress.ip_address((match["ipv4"] or match["ipv6"]) if match else "")
    except ValueError:
        raise ValueError("has an address that is not an IP address such as 10.0.0.5:80") from None
    plain = getattr(address, "ipv4_mapped", None) or address
    if plain.is_loopback or plain.is_unspecified or plain.is_link_local:
        raise ValueError("has an address of this machine, which a label may not name")


def check_source(text: str) -> None:
    """Raise ValueError unless `text` can be the address from which HAProxy connects."""
    if not re.fullmatch(r"[0-9A-Fa-f.:\[\]*-]+", text, re.ASCII):
        raise ValueError("has a source that is not an IP address")


def check_known(word: str, allowed: Collection[str], kind: str) -> None:
    """Raise ValueError unless `word` is one of `allowed`; with the nearest of them, if one is near."""
    if word in allowed:
        return
    similar = difflib.get_close_matches(word, allowed, n=1)
    if similar:
        raise ValueError(f"{word!r} is not {kind} that a label may use; did you mean {similar[0]!r}?")
    # A word that resembles none may be a part of a password, behind a comma or a blank that the user forgot to escape.
    raise ValueError(f"has a word that is not {kind} that a label may use")


def _check_interval(text: str) -> None:
    match = _TIME.fullmatch(text)
    if match and int(match["number"]) * _TIME_UNITS[match["unit"]] < MIN_CHECK_MILLISECONDS:
        raise ValueError(f"has checks that are more frequent than every {MIN_CHECK_MILLISECONDS} ms")
