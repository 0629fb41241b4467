"""Routes as map rows, in typical cases. Tests with real HAProxies check that the rows lead to the right service."""

import pytest

from proxy.core.model.matching import Route, RouteTables
from proxy.core.model.port_routes import Claim, PortRoutes
from proxy.grammar.syntax import BackendName
from proxy.grammar.virtual_host import parse_virtual_host


def tables_of(*entries: tuple[str, str]) -> RouteTables:
    """Return the tables of (entry, backend) on one port."""
    routes = [Route(entry=parse_virtual_host(entry), backend=BackendName(backend)) for entry, backend in entries]
    return tables_of_routes(*routes)


def tables_of_routes(*routes: Route) -> RouteTables:
    port = PortRoutes(80)
    port.change((), [Claim(route=route, labels=(route.backend,)) for route in routes])
    port.settle()
    return port.tables()


CASES = {
    "nothing": ((), RouteTables()),
    "host-alone": ((("a.com", "a"),), RouteTables(hosts=(("a.com", "a"),))),
    "two-hosts-sorted": (
        (("b.com", "b"), ("a.com", "a")),
        RouteTables(hosts=(("a.com", "a"), ("b.com", "b"))),
    ),
    "paths-of-a-host": (
        (("a.com", "rest"), ("a.com/x", "x"), ("a.com/x/*", "below")),
        RouteTables(
            choices=(("ha.com", "/"),),
            paths=(("ha.com", "rest"), ("ha.com/x", "x")),
            prefixes=(("ha.com/", "rest"), ("ha.com/x/", "below")),
        ),
    ),
    "path-with-wildcard-inside": (
        (("a.com/*.js", "js"),),
        RouteTables(choices=(("ha.com", "~"),), patterns=((r"^ha\.com/.{3,}+(?<=\.js)$", "js"),)),
    ),
    "wildcard-host": (
        (("*.a.com", "any"),),
        RouteTables(wildcards=((r"^.[^/]{6,}+(?<=\.a\.com)(?:/|$)", "any"),)),
    ),
    "websocket-beside-http": (
        (("a.com", "page"), ("ws://a.com", "socket")),
        RouteTables(choices=(("ha.com", "page"), ("wa.com", "socket"))),
    ),
}


@pytest.mark.parametrize(("entries", "expected"), CASES.values(), ids=CASES)
def test_routes_come_to_these_rows(entries: tuple[tuple[str, str], ...], expected: RouteTables) -> None:
    assert expected == tables_of(*entries)


def test_wildcard_that_outranks_an_exact_host_stands_in_its_list() -> None:
    routes = [
        Route(entry=parse_virtual_host("*.a.com"), backend=BackendName("any"), weight=5),
        Route(entry=parse_virtual_host("www.a.com"), backend=BackendName("www")),
    ]

    tables = tables_of_routes(*routes)

    assert (("www.a.com", "any"),) == tables.hosts


def test_signs_of_regular_expressions_mean_themselves() -> None:
    tables = tables_of(("*/a.b+(c)*", "x"))

    assert ((r"^.[^/]*+/a\.b\+\(c\).*+$", "x"),) == tables.wildcards
