"""The routes of one listening port, kept up to date as claims come and go. The cost follows the size of the change.

In: claims. A claim is an entry that a service wants on this port. Out: for each change, the map rows that differ; on
demand, the routes in order of precedence. If two claims want the same entry, the first in order gets it, and the other
becomes a problem.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

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
from proxy.core.model.port_uses import PortUse
from proxy.core.model.row_changes import RowChange, RowChanges
from proxy.errors import Problem
from proxy.grammar.syntax import BackendName, service_of_backend
from proxy.grammar.virtual_host import VirtualHost, precedence

MATCH_ALL = "^"
"""The key of the last wildcard row, which leads to the default backend. A map row can change without a reload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An entry that a service wants. `is_implied` claims come from FORCE_SSL, or from a service whose containers have just
    gone. They yield to others, and this is not reported as a problem. `since` tells when the service was created."""

    route: Route
    labels: tuple[str, ...]
    is_implied: bool = False
    since: int = 0

    def sort_key(self) -> tuple[object, ...]:
        """Return the order of precedence; claims of equal precedence are ordered by name."""
        key = precedence(self.route.entry, self.route.weight)
        return *key, self.is_implied, service_of_backend(self.route.backend), str(self.route.entry)

    def rank(self) -> tuple[object, ...]:
        """Return the order in which claims get the entry that they want: whoever was first has it."""
        return -self.route.weight, self.is_implied, self.since, self.sort_key()


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
        self._claims_by_use: Counter[PortUse] = Counter()
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
        return sorted({label for claim in self._every_claim() for label in claim.labels})

    def owner(self) -> BackendName | None:
        """Return the backend of the claim that was first. With MODE=tcp, it has the whole port."""
        served = (claim for claim in self._every_claim() if self._is_of_kind(claim))
        first = min(served, key=Claim.rank, default=None)
        return first.route.backend if first else None

    def wishes(self) -> dict[PortUse, Callable[[], int]]:
        """Return for what services want this port, and since when."""
        return {use: partial(self._oldest, use) for use, count in self._claims_by_use.items() if count}

    def set_tls(self, *, is_tls: bool) -> None:
        """Set whether the port speaks TLS. Entries of the other kind become problems."""
        if is_tls != self.is_tls:
            self.is_tls = is_tls
            self._dirty |= {*self._claims, *self._hosts}
            self._is_wild_dirty = True

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
        return tuple(sorted(every, key=_route_key))

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
        self._claims_by_use[_use_of(claim)] += sign
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
        return sorted([*routes, *outranking], key=_route_key)

    def _resolve(self, claims: Sequence[Claim]) -> tuple[tuple[Route, ...], tuple[Problem, ...]]:
        """Return the routes in order of precedence, and a problem for each claim that does not get its entry."""
        routes: dict[VirtualHost, Route] = {}
        problems: list[Problem] = []
        for claim in sorted(claims, key=Claim.rank) if len(claims) > 1 else claims:
            entry = claim.route.entry
            is_of_kind = self._is_of_kind(claim)
            if claim.is_implied and (entry in routes or not is_of_kind):
                continue
            if not is_of_kind:
                reason = f"{entry}: port {self.port} is already used {_with_tls(self.is_tls)} by another service"
                problems.append(_problem(claim, f"{reason}; use another port"))
            elif entry in routes:
                problems.append(_problem(claim, _taken(entry, routes[entry])))
            else:
                routes[entry] = claim.route
        return tuple(sorted(routes.values(), key=_route_key)), tuple(problems)

    def _every_claim(self) -> Iterable[Claim]:
        yield from self._wild_claims
        for group in self._claims.values():
            yield from group

    def _is_of_kind(self, claim: Claim) -> bool:
        return claim.route.entry.scheme.is_tls == self.is_tls

    def _oldest(self, use: PortUse) -> int:
        return min(claim.since for claim in self._every_claim() if _use_of(claim) is use)

    def _pattern_rows(self) -> tuple[Row, ...]:
        return tuple(row for domain in sorted(self._patterns) for row in self._patterns[domain])


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, RowChange]:
    if old == new:
        return {}
    return {key: (old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)}


def _route_key(route: Route) -> tuple[object, ...]:
    return Claim(route=route, labels=()).sort_key()


def _use_of(claim: Claim) -> PortUse:
    return PortUse.HTTPS if claim.route.entry.scheme.is_tls else PortUse.HTTP


def _with_tls(is_tls: bool) -> str:
    return "with TLS" if is_tls else "without TLS"


def _problem(claim: Claim, reason: str) -> Problem:
    return Problem(service=", ".join(claim.labels), setting="VIRTUAL_HOST", reason=reason)


def _taken(entry: VirtualHost, winner: Route) -> str:
    return (
        f"{entry} is already served by {service_of_backend(winner.backend)}; change one of them, "
        f"or give both the same VIRTUAL_HOST to make them one service"
    )
