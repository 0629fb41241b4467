"""Which variable of the proxy a line of haproxy.cfg comes from, so that a message about the line can name it.

In: HAProxy's messages and the configuration that they are about. Out: the names of variables. The lines themselves may hold
passwords and are not shown.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from proxy.core.haproxy.file_names import CONFIG_FILE
from proxy.settings import Settings

Place = tuple[str, str]
"""(the section's header, the line) that a message is about; empty if it names no line."""

_LINE = re.compile(rf"{re.escape(CONFIG_FILE)}:(\d+)")
_BY_WORD: Mapping[str, tuple[str, ...]] = {
    "log": ("RSYSLOG_DESTINATION",),
    "maxconn": ("MAXCONN",),
    "nbthread": ("NBTHREAD", "NBPROC"),
    "ssl-default-bind-options": ("SSL_BIND_OPTIONS",),
    "ssl-default-bind-ciphers": ("SSL_BIND_CIPHERS",),
    "user": ("HTTP_BASIC_AUTH", "HTTP_BASIC_AUTH_SECURE"),
    "option": ("OPTION",),
    "timeout": ("TIMEOUT",),
    "balance": ("BALANCE",),
    "monitor-uri": ("MONITOR_URI",),
    "stats": ("STATS_AUTH",),
    "bind": ("EXTRA_BIND_SETTINGS",),
}
"""First word of a line that the proxy writes itself -> the variables that it is made of."""


def find_places(messages: Sequence[str], config: str) -> tuple[Place, ...]:
    """Return the place that each message is about."""
    lines = config.split("\n")
    return tuple(_find_place(message, lines) for message in messages)


def name_variables(message: str, place: Place, settings: Settings, given: Collection[str]) -> str:
    """Return the message with the variables that the line comes from in front. `given` are the variables that are set."""
    found = [name for name in _variables(*place, settings) if name in given]
    return f"{', '.join(found)}: {message}" if found else message


def _find_place(message: str, lines: Sequence[str]) -> Place:
    match = _LINE.search(message)
    number = int(match[1]) if match else 0
    if not 0 < number <= len(lines):
        return "", ""
    header = next((line for line in reversed(lines[:number]) if re.match(r"[a-z]", line)), "")
    return header, lines[number - 1].strip()


def _variables(header: str, line: str, settings: Settings) -> Iterator[str]:
    """Yield the variables that a line can come from. Lines that the operator wrote are found by their text."""
    haproxy, routing = settings.haproxy, settings.routing
    kind, _, name = header.partition(" ")
    port = name.partition(" ")[0].removeprefix("port_")
    backend = name.partition(" ")[0]
    frontend_lines = routing.extra_frontend_settings.get(int(port) if port.isdecimal() else 0, ())
    if kind == "global" and line in haproxy.extra_global_settings:
        yield from ("EXTRA_GLOBAL_SETTINGS", "EXTRA_GLOBAL_SETTINGS_FILE")
    elif kind == "defaults" and line in haproxy.extra_default_settings:
        yield from ("EXTRA_DEFAULT_SETTINGS", "EXTRA_DEFAULT_SETTINGS_FILE")
    elif kind == "frontend" and line in frontend_lines:
        start = "EXTRA_FRONTEND_SETTINGS"
        yield from (f"{start}_{port}", f"{start}_FILE_{port}", f"{start}_{port}_FILE")
    elif kind == "backend" and backend in routing.additional_backends:
        yield from (f"ADDITIONAL_BACKEND_{backend}", f"ADDITIONAL_BACKEND_FILE_{backend}")
    else:
        yield from _BY_WORD.get(line.partition(" ")[0], ())
