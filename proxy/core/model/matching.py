"""Build map tables from ordered routes, so that a frontend finds a request's backend without trying every entry.

In: the routes of one frontend in their order of precedence. Out: `RouteTables`, the rows of six map files. HAProxy looks
a request up in these steps (the rules are in proxy/templates/haproxy.cfg.j2):

1. `hosts`, by exact host. Most hosts have the same backend for every request, and the look-up ends here.
2. `choices`, by exact host. The value is the backend for every path; or `/`, which means that `paths` (exact) and then
   `prefixes` (longest first) have the backend; or `~`, which means that the entries must be tried in order: then
   `patterns`, a list of regular expressions, has it.
3. `wildcards`, for all other requests: a list of regular expressions of all entries with a wildcard in the domain.

Every key, except those of `hosts`, starts with the kind of request: `w` with `Upgrade: websocket`, `h` without. Rows under
`w` exist only for hosts that have entries for WebSockets; other such requests use the rows under `h`. `choices` also has the
names in the operator's own lines, under `n` (see `named_backends`). The result equals
that of trying all entries in order: the list of an exact host contains each wildcard entry that comes before the last
entry of that host, so no other entry can come before the one that is found. A property test compares both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxy.grammar.globs import translate_glob
from proxy.grammar.syntax import BackendName
from proxy.grammar.virtual_host import VirtualHost

BY_PATH = "/"
IN_ORDER = "~"
"""Markers in `choices`. No backend can have one of them as its name."""

_HOST_SIGN = "[^/]"
_ANY_PATH = "(?:/|$)"
"""A host ends where the path begins. HAProxy gives no path for `OPTIONS *` and for `CONNECT`."""

Row = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One entry and the backend that it leads to. `weight` is VIRTUAL_HOST_WEIGHT."""

    entry: VirtualHost
    backend: BackendName
    weight: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTables:
    """The rows (key, value) of a frontend's maps. `patterns` and `wildcards` are ordered, the others are sorted by key."""

    hosts: tuple[Row, ...] = ()
    choices: tuple[Row, ...] = ()
    paths: tuple[Row, ...] = ()
    prefixes: tuple[Row, ...] = ()
    patterns: tuple[Row, ...] = ()
    wildcards: tuple[Row, ...] = ()


UNORDERED_KINDS = ("hosts", "choices", "paths", "prefixes")


def build_host_tables(domain: str, candidates: Sequence[Route]) -> RouteTables:
    """Build the rows of one exact host. `candidates` are all routes that may match it, in order of precedence."""
    first = candidates[0]
    if not first.entry.path and not any(route.entry.scheme.is_websocket for route in candidates):
        return RouteTables(hosts=((domain, first.backend),))
    tables = _HostTables(domain)
    if any(route.entry.scheme.is_websocket for route in candidates):
        tables.add("w", candidates)
    plain = [route for route in candidates if not route.entry.scheme.is_websocket]
    if plain:
        tables.add("h", plain)
    return tables.build()


def wildcard_rows(routes: Sequence[Route]) -> tuple[Row, ...]:
    """Return the rows of the routes with a wildcard in the domain. `routes` are in order of precedence."""
    return tuple(_pattern_row(route, route.entry.domain) for route in routes)


def join_tables(
    hosts: Iterable[tuple[str, RouteTables]], wildcards: tuple[Row, ...], named: tuple[Row, ...] = ()
) -> RouteTables:
    """Join the rows of all exact hosts, sorted by name, of the wildcards and of names into the tables of a frontend."""
    every = [tables for _, tables in sorted(hosts, key=lambda item: item[0])]
    return RouteTables(
        hosts=tuple(sorted(row for tables in every for row in tables.hosts)),
        choices=tuple(sorted([*named, *(row for tables in every for row in tables.choices)])),
        paths=tuple(sorted(row for tables in every for row in tables.paths)),
        prefixes=tuple(sorted(row for tables in every for row in tables.prefixes)),
        patterns=tuple(row for tables in every for row in tables.patterns),
        wildcards=wildcards,
    )


def matches_domain(pattern: str, domain: str) -> bool:
    """Say whether `pattern` matches `domain`, where each `*` stands for any text."""
    return re.fullmatch(translate_glob(pattern), domain) is not None


class _HostTables:
    """Collects the rows of one exact host whose backend depends on more than the host."""

    def __init__(self, domain: str) -> None:
        self._domain = domain
        self._choices: list[Row] = []
        self._paths: dict[str, str] = {}
        self._prefixes: dict[str, str] = {}
        self._patterns: list[Row] = []

    def add(self, kind: str, candidates: Sequence[Route]) -> None:
        """Add the rows for requests of one kind (`w` or `h`)."""
        key = kind + self._domain
        candidates = _until_any_path(candidates)
        if not candidates[0].entry.path:
            self._choices.append((key, candidates[0].backend))
        elif _is_longest_first(candidates):
            self._choices.append((key, BY_PATH))
            self._add_indexed(key, candidates)
        else:
            self._choices.append((key, IN_ORDER))
            self._patterns.extend(_pattern_row(route, self._domain, kind) for route in candidates)

    def _add_indexed(self, key: str, candidates: Sequence[Route]) -> None:
        for route in candidates:
            path = route.entry.path or "/*"
            if not route.entry.path:
                self._paths[key] = route.backend
            if path.endswith("*"):
                self._prefixes.setdefault(key + path[:-1], route.backend)
            else:
                self._paths.setdefault(key + path, route.backend)

    def build(self) -> RouteTables:
        return RouteTables(
            choices=tuple(sorted(self._choices)),
            paths=tuple(sorted(self._paths.items())),
            prefixes=tuple(sorted(self._prefixes.items())),
            patterns=tuple(self._patterns),
        )


def _until_any_path(candidates: Sequence[Route]) -> Sequence[Route]:
    for count, route in enumerate(candidates, start=1):
        if not route.entry.path:
            return candidates[:count]
    return candidates


def _is_longest_first(candidates: Sequence[Route]) -> bool:
    """Say whether looking up exact paths first, then the longest prefix, gives the same as trying the candidates in order.

    True when paths have a wildcard only at their end, and domain and weight are the same in all candidates. Then the order
    of precedence is by length, and an exact path is never shorter than a prefix of it.
    """
    return len({(route.weight, route.entry.domain) for route in candidates}) == 1 and all(
        "*" not in route.entry.path[:-1] for route in candidates
    )


def _pattern_row(route: Route, domain: str, kind: str = "") -> Row:
    if not kind:
        kind = "w" if route.entry.scheme.is_websocket else "."
    path = f"{translate_glob(route.entry.path)}$" if route.entry.path else _ANY_PATH
    return f"^{kind}{translate_glob(domain, _HOST_SIGN)}{path}", route.backend
