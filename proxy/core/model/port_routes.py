"""The routes of one listening port, kept up to date as claims come and go. The cost follows the size of the change.

In: claims. A claim is an entry that a service wants on this port. Out: for each change, the map rows that differ; on
demand, the routes in order of precedence. If two claims want the same entry, the first in order gets it, and the other
becomes a problem.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from proxy.core.model.matching import (
    UNORDERED_KINDS,
    Route,
    RouteTables,
    Row,
    build_host_tables,
    join_tables,
    matches_domain,
    wildcard_rows,
)
from proxy.core.model.named_backends import ROW_KIND
from proxy.errors import Problem
from proxy.grammar.syntax import BackendName, service_of_backend
from proxy.grammar.virtual_host import VirtualHost, precedence

MATCH_ALL = "^"
"""The key of the last wildcard row, which leads to the default backend. A map row can change without a reload."""

RowChange = tuple[str | None, str | None]
"""(value before, value after) of one key; None where the key does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An entry that a service wants. `is_implied` claims come from FORCE_SSL, or from a service whose containers have just
    gone. They yield to others, and this is not reported as a problem."""

    route: Route
    labels: tuple[str, ...]
    is_implied: bool = False

    def sort_key(self) -> tuple[object, ...]:
        """Return the order of precedence; claims of equal precedence are ordered by name."""
        key = precedence(self.route.entry, self.route.weight)
        return *key, self.is_implied, service_of_backend(self.route.backend), str(self.route.entry)


@dataclass(slots=True, kw_only=True)
class RowChanges:
    """The differences in the maps of one port: single rows for unordered kinds, all rows for an ordered kind."""

    rows: dict[str, dict[str, RowChange]] = field(default_factory=dict)
    ordered: dict[str, tuple[Row, ...]] = field(default_factory=dict)

    def then(self, later: RowChanges) -> RowChanges:
        """Return these changes and later ones combined."""
        rows: dict[str, dict[str, RowChange]] = {}
        for kind in {**self.rows, **later.rows}:
            first, second = self.rows.get(kind, {}), later.rows.get(kind, {})
            composed = {
                key: ((first.get(key) or second[key])[0], (second.get(key) or first[key])[1]) for key in {**first, **second}
            }
            rows[kind] = {key: change for key, change in composed.items() if change[0] != change[1]}
        return RowChanges(
            rows={kind: changes for kind, changes in rows.items() if changes}, ordered={**self.ordered, **later.ordered}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Host:
    """The routes and map rows of one exact host."""

    routes: tuple[Route, ...]
    tables: RouteTables


class PortRoutes:
    """The routes of one port. `change` removes and adds claims; `settle` computes the effect."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.problems: dict[str, tuple[Problem, ...]] = {}
        self._claims: dict[str, list[Claim]] = {}
        self._hosts: dict[str, _Host] = {}
        self._wild_claims: list[Claim] = []
        self._wild: tuple[Route, ...] = ()
        self._patterns: dict[str, tuple[Row, ...]] = {}
        self._tls_claims = 0
        self._weights: Counter[int] = Counter()
        self._dirty: set[str] = set()
        self._is_wild_dirty = False
        self._default: BackendName | None = None
        self._named: Mapping[str, str] = {}
        self._last_named: Mapping[str, str] = {}
        self._last_rows: tuple[Row, ...] = ()
        self.is_tls = False

    @property
    def has_claims(self) -> bool:
        """Whether any service wants this port for a virtual host."""
        return bool(self._claims or self._wild_claims)

    def labels(self) -> Sequence[str]:
        """Return the labels of the services that want this port, sorted."""
        claims = [*self._wild_claims, *(claim for group in self._claims.values() for claim in group)]
        return sorted({label for claim in claims for label in claim.labels})

    def set_default(self, backend: BackendName | None) -> None:
        """Set the backend for requests that no virtual host matches."""
        if backend != self._default:
            self._default = backend
            self._is_wild_dirty = True

    def set_named(self, backends: Mapping[str, BackendName]) -> None:
        """Set which backends the names in the operator's lines mean."""
        self._named = {ROW_KIND + name: backend for name, backend in backends.items()}

    def change(self, removed: Iterable[Claim], added: Iterable[Claim]) -> None:
        """Remove and add claims. They have no effect before `settle`."""
        for claims, sign in ((removed, -1), (added, 1)):
            for claim in claims:
                self._count(claim, sign)
                bucket = self._bucket(claim.route.entry)
                if sign > 0:
                    bucket.append(claim)
                else:
                    bucket.remove(claim)
                if not bucket and bucket is not self._wild_claims:
                    del self._claims[claim.route.entry.domain]

    def settle(self) -> RowChanges:
        """Bring routes, problems and tables up to date, and return which rows differ."""
        is_tls = self._tls_claims > 0
        if is_tls != self.is_tls:
            self.is_tls = is_tls
            self._dirty |= {*self._claims, *self._hosts}
            self._is_wild_dirty = True
        changes = RowChanges()
        if differing := _differing(self._last_named, self._named):
            changes.rows["choices"], self._last_named = differing, self._named
        if self._is_wild_dirty:
            self._settle_wild(changes)
        before = dict(self._patterns) if self._dirty else self._patterns
        for domain in self._dirty:
            self._settle_host(domain, changes)
        if before != self._patterns:
            changes.ordered["patterns"] = self._pattern_rows()
        self._dirty, self._is_wild_dirty = set(), False
        return changes

    def snapshot(self) -> PortRoutes:
        """Return a copy for reading that does not change any more."""
        frozen = copy.copy(self)
        frozen.problems = {**self.problems}
        frozen._claims = {**self._claims}
        frozen._wild_claims = [*self._wild_claims]
        frozen._hosts = {**self._hosts}
        return frozen

    def routes(self) -> tuple[Route, ...]:
        """Return all routes that are served, in order of precedence."""
        every = [*self._wild, *(route for host in self._hosts.values() for route in host.routes)]
        return tuple(sorted(every, key=lambda route: Claim(route=route, labels=()).sort_key()))

    def tables(self) -> RouteTables:
        """Return the rows of all maps."""
        hosts = ((domain, host.tables) for domain, host in self._hosts.items())
        return join_tables(hosts, self._last_rows, tuple(self._last_named.items()))

    def _bucket(self, entry: VirtualHost) -> list[Claim]:
        if entry.has_exact_domain:
            self._dirty.add(entry.domain)
            return self._claims.setdefault(entry.domain, [])
        self._is_wild_dirty = True
        return self._wild_claims

    def _count(self, claim: Claim, sign: int) -> None:
        if claim.route.entry.scheme.is_tls:
            self._tls_claims += sign
        if claim.route.entry.has_exact_domain:
            self._weights[claim.route.weight] += sign
        elif any(count and weight < claim.route.weight for weight, count in self._weights.items()):
            self._dirty |= self._claims.keys()  # a wildcard of higher weight is also in the lists of exact hosts

    def _settle_wild(self, changes: RowChanges) -> None:
        self._wild, problems = self._resolve(self._wild_claims)
        self.problems.pop("*", None)
        if problems:
            self.problems["*"] = problems
        rows = wildcard_rows(self._wild)
        if self._default:
            rows = (*rows, (MATCH_ALL, self._default))
        if rows != self._last_rows:
            changes.ordered["wildcards"] = self._last_rows = rows

    def _settle_host(self, domain: str, changes: RowChanges) -> None:
        known = self._hosts.pop(domain, None)
        old = known.tables if known else RouteTables()
        routes, problems = self._resolve(self._claims.get(domain, ()))
        self.problems.pop(domain, None)
        if problems:
            self.problems[domain] = problems
        new = RouteTables()
        if routes:
            new = build_host_tables(domain, self._with_outranking(domain, routes))
            self._hosts[domain] = _Host(routes=routes, tables=new)
        self._patterns.pop(domain, None)
        if new.patterns:
            self._patterns[domain] = new.patterns
        for kind in UNORDERED_KINDS:
            differing = _differing(dict(getattr(old, kind)), dict(getattr(new, kind)))
            if differing:
                changes.rows.setdefault(kind, {}).update(differing)

    def _with_outranking(self, domain: str, routes: tuple[Route, ...]) -> Sequence[Route]:
        lowest = min(route.weight for route in routes)
        outranking = [route for route in self._wild if route.weight > lowest and matches_domain(route.entry.domain, domain)]
        if not outranking:
            return routes
        return sorted([*routes, *outranking], key=lambda route: Claim(route=route, labels=()).sort_key())

    def _resolve(self, claims: Sequence[Claim]) -> tuple[tuple[Route, ...], tuple[Problem, ...]]:
        """Return the routes in order of precedence, and a problem for each claim that does not get its entry."""
        routes: dict[VirtualHost, Route] = {}
        problems: list[Problem] = []
        for claim in sorted(claims, key=Claim.sort_key) if len(claims) > 1 else claims:
            entry = claim.route.entry
            if claim.is_implied and (entry in routes or self.is_tls):
                continue
            if entry.scheme.is_tls != self.is_tls:
                reason = f"{entry}: port {self.port} is already used with TLS by another service"
                problems.append(_problem(claim, reason))
            elif entry in routes:
                problems.append(_problem(claim, _taken(entry, routes[entry])))
            else:
                routes[entry] = claim.route
        return tuple(routes.values()), tuple(problems)

    def _pattern_rows(self) -> tuple[Row, ...]:
        return tuple(row for domain in sorted(self._patterns) for row in self._patterns[domain])


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, RowChange]:
    if old == new:
        return {}
    return {key: (old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)}


def _problem(claim: Claim, reason: str) -> Problem:
    return Problem(service=", ".join(claim.labels), setting="VIRTUAL_HOST", reason=reason)


def _taken(entry: VirtualHost, winner: Route) -> str:
    return (
        f"{entry} is already served by {service_of_backend(winner.backend)}; change one of them, "
        f"or give both the same VIRTUAL_HOST to make them one service"
    )
