"""Routes of one port: each change returns the map rows that differ, and the result equals building everything anew."""

import random
from typing import Any

import pytest

from proxy.core.model.matching import UNORDERED_KINDS, Route
from proxy.core.model.port_routes import Claim, PortRoutes
from proxy.grammar.syntax import BackendName
from proxy.grammar.virtual_host import parse_virtual_hosts

ENTRIES = (
    "a.example",
    "a.example/shop",
    "a.example/shop/*",
    "a.example/*.js",
    "ws://a.example",
    "b.example",
    "*.example",
    "*.example/shop/*",
    "*",
    "*/shop",
)


def make_claim(entry: str, backend: str, weight: int = 0, *, is_implied: bool = False) -> Claim:
    (virtual_host,) = parse_virtual_hosts(entry)
    route = Route(entry=virtual_host, backend=BackendName(backend), weight=weight)
    return Claim(route=route, labels=(backend,), is_implied=is_implied)


def rows_of(routes: PortRoutes) -> dict[str, Any]:
    tables = routes.tables()
    return {kind: getattr(tables, kind) for kind in (*UNORDERED_KINDS, "patterns", "wildcards")}


@pytest.mark.parametrize("seed", range(20))
def test_rows_that_are_told_lead_from_one_table_to_the_next(seed: int) -> None:
    chance = random.Random(seed)
    routes, present = PortRoutes(80), list[Claim]()
    for step in range(30):
        before = rows_of(routes)
        removed = [present.pop(chance.randrange(len(present)))] if present and chance.random() < 0.4 else []
        added = [make_claim(chance.choice(ENTRIES), f"s{step}", chance.choice((0, 0, 0, 5)))]
        present += added
        routes.change(removed, added)

        changes = routes.settle()

        told = {kind: dict(before[kind]) for kind in UNORDERED_KINDS}
        for kind, rows in changes.rows.items():
            for key, (old, new) in rows.items():
                assert old == told[kind].pop(key, None)
                told[kind] |= {key: new} if new else {}
        after = rows_of(routes)
        assert told == {kind: dict(after[kind]) for kind in UNORDERED_KINDS}
        assert {kind: changes.ordered.get(kind, before[kind]) for kind in ("patterns", "wildcards")} == {
            kind: after[kind] for kind in ("patterns", "wildcards")
        }


@pytest.mark.parametrize("seed", range(10))
def test_order_of_claims_leaves_no_trace(seed: int) -> None:
    chance = random.Random(seed)
    claims = [make_claim(chance.choice(ENTRIES), f"s{number}", chance.choice((0, 5))) for number in range(12)]
    found = []
    for order in (claims, chance.sample(claims, len(claims))):
        routes = PortRoutes(80)
        for claim in order:
            routes.change((), (claim,))
            routes.settle()
        found.append((routes.routes(), rows_of(routes), routes.problems))

    assert found[0] == found[1]


def test_implied_claim_gives_way_without_a_word() -> None:
    routes = PortRoutes(80)
    routes.change((), (make_claim("a.example", "z"), make_claim("a.example", "a", is_implied=True)))

    routes.settle()

    assert (["z"], {}) == ([route.backend for route in routes.routes()], routes.problems)


def test_snapshot_stays_as_it_was() -> None:
    routes = PortRoutes(80)
    routes.change((), (make_claim("a.example", "a"), make_claim("*.example", "wild")))
    routes.settle()
    snapshot, before = routes.snapshot(), (routes.routes(), rows_of(routes))

    routes.change((make_claim("a.example", "a"),), (make_claim("b.example", "b"),))
    routes.settle()

    assert before == (snapshot.routes(), rows_of(snapshot))
