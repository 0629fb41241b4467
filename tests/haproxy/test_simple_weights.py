"""Services that share an address share its visitors by weight, through a real HAProxy."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.haproxy.places import Where, everywhere
from tests.haproxy.simple_site import SimpleSite, played_by

pytestmark = [pytest.mark.haproxy, everywhere(Where.ROUTED)]

HOST = "www.example.com"
REQUESTS = 400


@pytest.mark.parametrize(("blue", "green"), [(100, 100), (90, 10), (100, 0)])
def test_shares_follow_the_weights_whatever_the_number_of_containers(site: SimpleSite, blue: int, green: int) -> None:
    labels = {"routing__session_sticky": "false"}
    serving = site.serve(
        *(played_by(site.backend(f"blue-{number}"), HOST, routing__weight=str(blue), **labels) for number in (1, 2, 3)),
        played_by(site.backend("green-1"), HOST, routing__weight=str(green), **labels),
    )

    counts = Counter(server.partition("-")[0] for server in serving.servers(REQUESTS, host=HOST))

    wanted = REQUESTS * blue / (blue + green)
    assert abs(counts["blue"] - wanted) <= REQUESTS * 0.05


def test_sticky_visitor_follows_the_cookie_until_the_weight_is_0(site: SimpleSite) -> None:
    backends = [site.backend("blue-1"), site.backend("green-1")]

    def servers_of_a_blue_visitor(weight: str) -> set[str]:
        blue = played_by(backends[0], HOST, routing__weight=weight)
        serving = site.serve(blue, played_by(backends[1], HOST))
        return set(serving.servers(10, host=HOST, headers={"Cookie": f"CONTAINERID={blue.id}"}))

    assert {"blue-1"} == servers_of_a_blue_visitor("1")
    assert {"green-1"} == servers_of_a_blue_visitor("0")


def test_service_of_weight_0_alone_answers_nobody(site: SimpleSite) -> None:
    blue = played_by(site.backend("blue-1"), HOST, routing__weight="0")
    serving = site.serve(blue)

    assert {503} == {serving.ask(host=HOST, headers={"Cookie": f"CONTAINERID={blue.id}"}).status for _ in range(4)}
