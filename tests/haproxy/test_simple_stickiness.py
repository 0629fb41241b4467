"""A visitor stays with a container: the cookie of the seed's examples, its limits, and what the application sees."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from proxy.core.containers.containers import Container
from tests.haproxy.places import Where, everywhere
from tests.haproxy.product import Serving
from tests.haproxy.simple_site import SimpleSite, played_by

pytestmark = [pytest.mark.haproxy, everywhere(Where.PUBLISHED)]

HOST = "www.example.com"
HALF_AN_HOUR, EIGHT_HOURS = 30 * 60, 8 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who answered, every Set-Cookie line, and the cookies that the application saw."""

    server: str
    set_cookies: Sequence[str]
    seen_cookies: str

    @property
    def is_new(self) -> bool:
        """Whether HAProxy has chosen a new container."""
        return any(line.startswith("CONTAINERID=") for line in self.set_cookies)

    @property
    def times(self) -> tuple[int, ...]:
        """The first and last request as the answer's second cookie has them; empty without this cookie."""
        lines = [line for line in self.set_cookies if line.startswith("ROUTING_TIMES=")]
        dates = [line.removeprefix("ROUTING_TIMES=").partition(";")[0].split("-") for line in lines]
        return tuple(int(date) for pair in dates for date in pair)


def visit(serving: Serving, cookies: str = "") -> Visit:
    """Send one request with these cookies."""
    connection = http.client.HTTPConnection("127.0.0.1", serving.haproxy.port(80), timeout=20)
    try:
        connection.request("GET", "/", headers={"Host": HOST, **({"Cookie": cookies} if cookies else {})})
        response = connection.getresponse()
        assert response.status == 200
        return Visit(
            server=response.getheader("Server-Name", ""),
            set_cookies=response.headers.get_all("Set-Cookie") or [],
            seen_cookies=json.loads(response.read())["headers"].get("cookie", ""),
        )
    finally:
        connection.close()


def times(first_ago: int, last_ago: int) -> str:
    """Return the second cookie of a visitor whose first and last requests were this many seconds ago."""
    now = int(time.time())
    return f"ROUTING_TIMES={now - first_ago}-{now - last_ago}"


class Pair:
    """Two containers behind one address. The tests' cookies name the second one."""

    def __init__(self, site: SimpleSite, **labels: str) -> None:
        self.containers: list[Container] = [played_by(site.backend(name), HOST, **labels) for name in ("web-1", "web-2")]
        self.serving = site.serve(*self.containers)
        self.cookie = f"CONTAINERID={self.containers[1].id}"


def timed_visit(pair: Pair, cookies: str) -> tuple[Visit, tuple[int, int]]:
    """Send one request; return its answer, and the seconds of the clock before and after it: the clock may tick between."""
    before = int(time.time())
    one = visit(pair.serving, cookies)
    return one, (before, int(time.time()))


def test_first_answer_sets_the_cookie_of_the_seed(site: SimpleSite) -> None:
    pair = Pair(site)

    first = visit(pair.serving)

    chosen = next(container for container in pair.containers if container.name == first.server)
    assert f"CONTAINERID={chosen.id}; path=/" == first.set_cookies[0]
    assert 64 == len(chosen.id)


def test_visitor_stays_and_is_told_nothing_again(site: SimpleSite) -> None:
    pair = Pair(site)

    visits = [visit(pair.serving, f"{pair.cookie}; {times(100, 10)}") for _ in range(6)]

    assert {"web-2"} == {one.server for one in visits}
    assert [[]] * 6 == [list(one.set_cookies) for one in visits]


def test_visitor_without_dates_is_followed_and_starts_now(site: SimpleSite) -> None:
    """Such a visitor got the cookie from another version, or keeps only this cookie."""
    pair = Pair(site)

    one, (before, after) = timed_visit(pair, pair.cookie)

    assert ("web-2", False) == (one.server, one.is_new)
    assert [before, *one.times, after] == sorted([before, *one.times, after])


@pytest.mark.parametrize(
    ("first_ago", "last_ago", "is_new"),
    [
        pytest.param(EIGHT_HOURS - 60, HALF_AN_HOUR - 60, False, id="within both limits"),
        pytest.param(EIGHT_HOURS + 60, 10, True, id="more than 8 hours"),
        pytest.param(HALF_AN_HOUR + 120, HALF_AN_HOUR + 60, True, id="idle for more than 30 minutes"),
        pytest.param(100, -600, True, id="from the future"),
    ],
)
def test_limits_end_stickiness(site: SimpleSite, first_ago: int, last_ago: int, is_new: bool) -> None:
    pair = Pair(site)

    one = visit(pair.serving, f"{pair.cookie}; {times(first_ago, last_ago)}")

    assert is_new == one.is_new


def test_renewal_moves_the_last_request_only(site: SimpleSite) -> None:
    pair = Pair(site)
    sent = times(3600, 120)

    one, (before, after) = timed_visit(pair, f"{pair.cookie}; {sent}")

    first, last = one.times
    assert sent.startswith(f"ROUTING_TIMES={first}-")
    assert [before, last, after] == sorted([before, last, after])


def test_new_choice_starts_both_dates_anew(site: SimpleSite) -> None:
    pair = Pair(site)

    one, (before, after) = timed_visit(pair, f"{pair.cookie}; {times(EIGHT_HOURS + 60, 10)}")

    assert [before, *one.times, after] == sorted([before, *one.times, after])


def test_application_sees_its_own_cookies_only(site: SimpleSite) -> None:
    pair = Pair(site)

    visits = [
        visit(pair.serving, cookies)
        for cookies in (
            f"a=1; {pair.cookie}; {times(100, 10)}; b=2",
            f"a=1; {pair.cookie}; {times(EIGHT_HOURS + 60, 10)}; b=2",
            f"{times(100, 10)}",
        )
    ]

    assert ["a=1; b=2", "a=1; b=2", ""] == [one.seen_cookies for one in visits]


def test_label_turns_stickiness_off(site: SimpleSite) -> None:
    pair = Pair(site, routing__session_sticky="false")

    visits = [visit(pair.serving, pair.cookie) for _ in range(6)]

    assert {"web-1", "web-2"} == {one.server for one in visits}
    assert [[]] * 6 == [list(one.set_cookies) for one in visits]


def test_cookie_of_a_container_that_has_gone_leads_to_another(site: SimpleSite) -> None:
    pair = Pair(site)

    one = visit(pair.serving, f"CONTAINERID={'0' * 64}")

    assert one.is_new
