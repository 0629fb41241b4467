"""A request that is safe to repeat is sent to another server when a server hangs up, so no visitor notices."""

from __future__ import annotations

import pytest

from tests.haproxy.places import Where, everywhere
from tests.haproxy.product import Product

pytestmark = [pytest.mark.haproxy, everywhere(Where.PUBLISHED)]

REQUESTS = 8
LENGTHS = {"short": 10, "longer-than-a-small-buffer": 7000}


def status_counts(product: Product, method: str, header_length: int) -> tuple[dict[int, int], int]:
    """Return how often each status was answered, and on how many of the requests one of the servers hung up."""
    good, bad = product.backend("good-1"), product.backend("bad-1")
    bad.hangs_up = True
    serving = product.serve(*(server.container(VIRTUAL_HOST="shop.example") for server in (good, bad)))
    headers = {"Filler": "x" * header_length}
    statuses = [serving.ask(f"/{number}", method=method, headers=headers).status for number in range(REQUESTS)]
    return {status: statuses.count(status) for status in statuses}, len(bad.seen)


@pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS)
def test_request_is_sent_on_where_a_server_hangs_up(product: Product, length: int) -> None:
    counts, hung_up = status_counts(product, "GET", length)

    assert {200: REQUESTS} == counts
    assert hung_up > 0


def test_request_that_may_have_had_an_effect_is_not_sent_again(product: Product) -> None:
    counts, hung_up = status_counts(product, "POST", 10)

    assert {200: REQUESTS - hung_up, 502: hung_up} == counts
    assert hung_up > 0
