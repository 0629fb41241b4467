"""Parsers of label values, one per kind of value. Each returns a value or raises ValueError with the reason.

In: a label's text. Out: typed values and safe HAProxy lines. They know nothing about containers.
"""

from __future__ import annotations

import re

from proxy.grammar.hints import without_quotes
from proxy.grammar.legacy import translate_appsession, translate_http_check, translate_lines, translate_server_words
from proxy.grammar.syntax import bounded_list, safe_line, safe_word
from proxy.grammar.virtual_host import parse_port

YES_WORDS = ("true", "yes", "on", "1")
NO_WORDS = ("false", "no", "off", "0")
"""What a switch may be set to, in any case. Labels and variables use the same words."""

MAX_PORTS = 100
"""The number of ports that one label may list, and that one container may have routed."""
MAX_LINES = 60
"""The number of lines or words that one label may list."""
DEFAULT_WEIGHT = 100
"""The weight of a service that sets none."""
MAX_WEIGHT = 1_000_000


def parse_integer(text: str) -> int:
    """Parse an integer, which may be negative."""
    if not re.fullmatch(r"[+-]?\d{1,9}", text, re.ASCII):
        raise ValueError("is not an integer of at most 9 digits")
    return int(text)


def parse_weight(text: str) -> int:
    """Parse the weight of a service, 0 or more."""
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) > MAX_WEIGHT:
        raise ValueError(f"is not a whole number from 0 to {MAX_WEIGHT}")
    return int(text)


def parse_seconds(text: str) -> int:
    """Parse a number of seconds, 0 or more."""
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII):
        raise ValueError("is not a number of seconds")
    return int(text)


def is_yes_or_no(text: str) -> bool:
    """Return whether the text is a word that means yes, or one that means no. Case is ignored."""
    return without_quotes(text).lower() in YES_WORDS + NO_WORDS


def parse_hsts(text: str) -> str:
    """Return the value of `Strict-Transport-Security` (RFC 6797). Seconds alone mean all subdomains, too."""
    seconds, *others = (part.strip() for part in text.split(";"))
    if not others and seconds.isascii() and seconds.isdigit():
        others = ["includeSubDomains"]
    known = {"includesubdomains": "includeSubDomains", "preload": "preload"}
    if unknown := [word for word in others if word and word.lower() not in known]:
        raise ValueError(f"{unknown[0]!r} is neither includeSubDomains nor preload")
    age = parse_seconds(seconds.lower().removeprefix("max-age=").strip())
    return "; ".join([f"max-age={age}", *(known[word.lower()] for word in others if word)])


def parse_boolean(text: str) -> bool:
    """Return whether the text means yes. Raises ValueError if it means neither yes nor no."""
    if not is_yes_or_no(text):
        raise ValueError("is neither true nor false")
    return without_quotes(text).lower() in YES_WORDS


def is_on(text: str) -> bool:
    """Return whether a switch is on. Every text turns it on, except a word that means no."""
    return without_quotes(text).lower() not in NO_WORDS


def doubt(text: str) -> str:
    """Return what to tell of a switch that `is_on` only because its text does not mean no; empty if the text is clear."""
    return "" if is_yes_or_no(text) else "is neither yes nor no, and counts as yes; write true or false"


def parse_ports(text: str) -> tuple[int, ...]:
    """Parse a comma list of ports."""
    return tuple(parse_port(entry) for entry in bounded_list(text, MAX_PORTS))


def parse_tcp_ports(text: str) -> tuple[tuple[int, bool], ...]:
    """Parse a comma list of ports, each with an optional `/ssl`. Returns (port, TLS) pairs in numeric order."""
    ports: dict[int, bool] = {}
    for entry in bounded_list(text, MAX_PORTS):
        number, _, suffix = entry.partition("/")
        if suffix.lower() not in ("", "ssl", "tcp"):
            raise ValueError(f"entry {entry!r}: only /ssl may follow a port")
        ports[parse_port(number.strip())] = suffix.lower() == "ssl"
    if not ports:
        raise ValueError("contains no port")
    return tuple(sorted(ports.items()))


def parse_appsession(text: str) -> tuple[str, ...]:
    """Return lines with the effect of the former directive `appsession`."""
    return translate_appsession(safe_line(text))


def parse_words(text: str) -> tuple[str, ...]:
    """Parse words separated by blanks or commas."""
    return tuple(safe_word(word) for word in text.replace(",", " ").split())


def parse_mime_types(text: str) -> tuple[str, ...]:
    """Parse MIME types separated by blanks or commas."""
    words = parse_words(text)
    if len(words) > MAX_LINES:
        raise ValueError(f"has {len(words)} entries, more than {MAX_LINES}")
    for word in words:
        if not re.fullmatch(r"[\w.+*-]+/[\w.+*-]*", word, re.ASCII):
            raise ValueError(f"{word!r} is not a MIME type such as text/html")
    return words


def parse_line(text: str) -> str:
    """Parse one line of free text, which is appended to a server line."""
    return safe_line(text)


def parse_server_words(text: str) -> str:
    """Parse free text, which is appended to a server line."""
    kept = translate_server_words(text)
    return safe_line(kept) if kept else ""


def parse_lines(text: str) -> tuple[str, ...]:
    """Parse a comma list of lines, and translate them into HAProxy's current syntax."""
    lines = (line for entry in bounded_list(text, MAX_LINES) for line in translate_lines(_entry(entry)))
    return tuple(safe_line(line) for line in lines)


def parse_http_check(text: str) -> tuple[str, ...]:
    """Return the lines of an HTTP health check."""
    return tuple(safe_line(line) for line in translate_http_check(text))


def parse_options(text: str) -> tuple[str, ...]:
    """Parse a comma list of `option` lines. `no` before an entry switches it off; the word `option` may be left out."""
    lines = (line for entry in bounded_list(text, MAX_LINES) for line in _option_lines(_entry(entry)))
    return tuple(safe_line(line) for line in lines)


def _option_lines(entry: str) -> tuple[str, ...]:
    lines = translate_lines(f"option {entry.removeprefix('no ').removeprefix('option ')}")
    return (f"no {lines[0]}",) if entry.startswith("no ") else lines


def _entry(text: str) -> str:
    r"""Return an entry as a safe line. In a health check, YAML may have made real line breaks of `\r\n`."""
    is_check = text.split()[:1] == ["httpchk"] or text.split()[:2] == ["option", "httpchk"]
    return safe_line(re.sub(r"\r?\n", r"\\r\\n", text.strip()) if is_check else text)
