"""Parsers of the values of environment variables. Each returns a value, or raises ValueError that says what is wrong.

In: a variable's text, or one entry of its list. Out: typed values and safe HAProxy text. They know nothing about variables,
and their messages contain no part of a password.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeVar

from proxy.grammar.balance import find_algorithm
from proxy.grammar.legacy import translate_line, translate_lines, translate_server_words
from proxy.grammar.syntax import quote, safe_line, safe_word
from proxy.grammar.values import is_on, is_yes_or_no
from proxy.grammar.virtual_host import parse_port
from proxy.secret import Secret
from proxy.settings import ExtraSettings

Choice = TypeVar("Choice", bound=StrEnum)

TIMEOUTS: Mapping[str, str] = {
    "connect": "5000",
    "client": "50000",
    "server": "50000",
    "http-request": "10s",
    "http-keep-alive": "60s",
    "queue": "30s",
    "client-fin": "30s",
}
"""Timeouts that apply unless TIMEOUT sets them. A slow or vanished peer must not hold a connection for ever."""
_OTHER_TIMEOUTS = ("check", "server-fin", "tarpit", "tunnel")

SYSLOG_PORT = 514

_HASH = re.compile(r"\$(?:[1567y]|2[abxy]|gy|sha1|md5)[$,].{3,}|[./0-9A-Za-z]{13}", re.ASCII)
"""Hashes of crypt(5); the last one is that of DES, which has no sign at its beginning."""
_SYSLOG = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(?P<port>\d+))?", re.ASCII)


def parse_text(text: str) -> str:
    """Return the operator's text as a safe part of a line."""
    return safe_line(text, trusted=True)


def parse_server_words(text: str) -> str:
    """Return the operator's text for server lines."""
    kept = translate_server_words(text)
    return parse_text(kept) if kept else ""


def parse_balance(text: str) -> str:
    """Return the operator's balancing algorithm, with any arguments."""
    line = safe_line(text, trusted=True)
    find_algorithm(line)
    return line


def parse_lines(text: str) -> tuple[str, ...]:
    """Return the operator's line in HAProxy's current syntax, which may need more than one."""
    return tuple(safe_line(line, trusted=True) for line in translate_lines(safe_line(text, trusted=True)))


def parse_option(text: str) -> tuple[str, ...]:
    """Return the lines of an option. The word `option` may be left out."""
    return parse_lines(f"option {text.removeprefix('option ')}")


def parse_timeout(text: str) -> tuple[str, str]:
    """Return a timeout as (name, time). The word `timeout` itself may be left out."""
    line = translate_line(parse_text(f"timeout {text.removeprefix('timeout ')}"))
    name, _, time = line.removeprefix("timeout ").partition(" ")
    if name not in TIMEOUTS and name not in _OTHER_TIMEOUTS:
        raise ValueError(f"is not a timeout of HAProxy; use one of {', '.join((*TIMEOUTS, *_OTHER_TIMEOUTS))}")
    if not re.fullmatch(r"[0-9]+(us|ms|[smhd])?", time.strip()):
        raise ValueError("has no time; write milliseconds, or a number with us, ms, s, m, h or d, such as 'client 5m'")
    return name, time.strip()


def parse_port_or_off(text: str) -> int | None:
    """Return a port; None for a word that means no."""
    return parse_port(text) if is_on(text) else None


def parse_service(text: str) -> tuple[str, str] | None:
    """Return a (project, service) pair; None for `*`, which means every service."""
    if text == "*":
        return None
    project, _, service = (part.strip() for part in text.partition(":"))
    if not project or not service or ":" in service or "*" in project + service:
        raise ValueError("is not 'project:service'; write a list such as 'shop:web,blog:web', or '*' for all")
    return project, service


def parse_user(text: str) -> tuple[str, Secret]:
    """Return a user's name and password."""
    name, _, password = text.partition(":")
    if not name or not password:
        raise ValueError("is not 'user:password'; write a comma list of these, and '\\,' for a comma in a password")
    for part in (name, password):
        quote(part)
    return name, Secret(password)


def parse_hashed_user(text: str) -> tuple[str, Secret]:
    """Return a user's name and the hash of the password, of a kind that crypt(3) knows."""
    name, password = parse_user(text)
    hashed = password.reveal()
    if _HASH.fullmatch(hashed):
        return name, password
    make = "make one with `mkpasswd -m sha-512`, and in a Compose file write each $ as $$"
    if hashed.startswith("$$"):
        raise ValueError(f"has a hash with two $ at its beginning; outside of a Compose file, write one $; {make}")
    if hashed.startswith(("$apr1$", "{")):
        raise ValueError(f"has a hash of htpasswd, which crypt(3) and so HAProxy do not know; {make}")
    raise ValueError(f"has no hash, but a password in plain text or a part of a hash; {make}")


def parse_bind_setting(text: str) -> tuple[int, str]:
    """Return a port and the text that is appended to its bind line."""
    port, separator, setting = text.partition(":")
    if not separator or not setting.strip():
        raise ValueError("is not 'port:setting'; write a list such as '443:accept-proxy, 80:name http'")
    return parse_port(port.strip()), parse_text(setting)


def parse_uri(text: str) -> str:
    """Return an absolute path."""
    if not text.startswith("/"):
        raise ValueError("is not a path; write '/' at its beginning")
    return safe_word(text)


def parse_log_target(text: str) -> str:
    """Return `stdout`, the path of a syslog socket, or `host:port` of a syslog server."""
    if text == "stdout" or text.startswith("/"):
        return safe_word(text)
    if is_address(text) and ":" in text:
        return f"[{text}]:{SYSLOG_PORT}"
    match = _SYSLOG.fullmatch(text)
    if match is None:
        raise ValueError("is not a syslog server; write 'host' or 'host:port' (UDP), or the path of a socket")
    return f"{match['host']}:{parse_port(match['port'] or str(SYSLOG_PORT))}"


def parse_network(text: str) -> str:
    """Return a network. An address is the network that holds only itself."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("is not a network; write an address, or a network such as 10.0.0.0/8") from None
    if "%" in text:
        raise ValueError("has a zone, which HAProxy does not know; write the address without %")
    return str(network)


def parse_exact_network(text: str) -> str:
    """Return a network, and refuse an address inside a network: nobody can say which of the two is meant."""
    network = parse_network(text)
    try:
        ipaddress.ip_network(text)
    except ValueError:
        address = text.partition("/")[0]
        raise ValueError(f"is an address inside a network; write {network} for all of it, or {address}") from None
    return network


def parse_variable_name(text: str) -> str:
    """Return the name of an environment variable."""
    if not re.fullmatch(r"\w[\w.-]{0,254}", text, re.ASCII):
        raise ValueError("is not the name of a variable; use at most 255 letters, digits and _")
    return text


def parse_extra_settings(text: str) -> ExtraSettings:
    """Return what labels may write in HAProxy's own language. Every word for yes and no is accepted."""
    if is_yes_or_no(text):
        return ExtraSettings.OWN_SERVICE if is_on(text) else ExtraSettings.FORBIDDEN
    if text.lower() != ExtraSettings.UNRESTRICTED:
        raise ValueError(f"is neither true nor false nor {ExtraSettings.UNRESTRICTED}")
    return ExtraSettings.UNRESTRICTED


def is_address(text: str) -> bool:
    """Return whether `text` is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def number(*, minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """Return the parser of a whole number from `minimum` to `maximum`."""

    def parse(text: str) -> int:
        is_number = text.isascii() and text.isdigit()
        if not is_number or int(text) < minimum or (maximum is not None and int(text) > maximum):
            bounds = f"{minimum} or more" if maximum is None else f"{minimum} to {maximum}"
            raise ValueError(f"is not a whole number, {bounds}")
        return int(text)

    return parse


def number_or_off(text: str) -> int:
    """Return a whole number; 0 for `off`."""
    if text.lower() == "off":
        return 0
    try:
        return number(minimum=0)(text)
    except ValueError as error:
        raise ValueError(f"{error}, or off") from None


def choice(kind: type[Choice]) -> Callable[[str], Choice]:
    """Return the parser of one of the enum's values. Case is ignored."""

    def parse(text: str) -> Choice:
        for member in kind:
            if text.lower() == member.value:
                return member
        raise ValueError(f"is not one of {', '.join(kind)}")

    return parse
