"""The README's section on virtual hosts as simple code, without maps and regular expressions. HAProxy is compared with it.

It was written from that text alone and shares no code with proxy/core.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


@dataclass(frozen=True)
class Entry:
    """One entry of a VIRTUAL_HOST, with the weight and name of its service."""

    text: str
    service: str
    weight: int = 0

    @property
    def scheme(self) -> str:
        return self.text.split("://")[0].lower() if "://" in self.text else "http"

    @property
    def authority(self) -> str:
        return self.text.split("://")[-1].split("/")[0]

    @property
    def domain(self) -> str:
        return self.authority.split(":")[0].lower()

    @property
    def port(self) -> int:
        return int(self.authority.split(":")[1]) if ":" in self.authority else DEFAULT_PORTS[self.scheme]

    @property
    def path(self) -> str:
        rest = self.text.split("://")[-1]
        return rest[len(self.authority) :].lower()


@dataclass(frozen=True)
class Request:
    """The parts of a request that decide on its route.

    `target` may have a query string; `host` may have a port, and a dot at the end.
    """

    host: str
    target: str
    port: int = 80
    is_tls: bool = False
    is_websocket: bool = False


def choose(entries: Iterable[Entry], request: Request) -> str | None:
    """Return the service of the first entry, in the order of that section, that matches `request`; None if none does."""
    return next((entry.service for entry in sorted(entries, key=order) if matches(entry, request)), None)


def order(entry: Entry) -> tuple[object, ...]:
    """Return the sort key: higher weight; exact host before wildcard; longer literal text; a path; the narrower; name."""
    literal = (entry.domain + entry.path).replace("*", "")
    return (
        -entry.weight,
        "*" in entry.domain,
        -len(literal),
        entry.path == "",
        "*" in entry.path,
        entry.scheme not in ("ws", "wss"),
        entry.service,
        entry.text,
    )


def matches(entry: Entry, request: Request) -> bool:
    """Return whether this entry matches, without regard to other entries."""
    if entry.port != request.port or (entry.scheme in ("https", "wss")) != request.is_tls:
        return False
    if entry.scheme in ("ws", "wss") and not request.is_websocket:
        return False
    host = request.host.lower().split(":")[0].rstrip(".")
    path = request.target.lower().split("?")[0]
    return glob(entry.domain, host) and (entry.path == "" or glob(entry.path, path))


def glob(pattern: str, text: str) -> bool:
    """Return whether `text` matches `pattern`, where each `*` stands for any characters."""
    reachable = {0}
    for sign in pattern:
        if sign == "*":
            reachable = set(range(min(reachable), len(text) + 1)) if reachable else set()
        else:
            reachable = {i + 1 for i in reachable if i < len(text) and text[i] == sign}
    return len(text) in reachable
