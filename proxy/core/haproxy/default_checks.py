"""The health check of servers for which nobody has set one: the more servers there are, the longer the interval.

In: how many servers have the default check. Out: the words of a `server` line, or of `add server`. The interval is no part
of the model: it is filled in when a text is made, so that no server changes because others come or go.

Servers that HAProxy has loaded are asked at most 400 times a second in all. A server that is added at runtime keeps the
interval that it is given until the next reload, however many come after it. It is therefore given the one for four times as
many servers: each doubling of their number then adds at most 50 checks a second. All in all these are fewer than 500 a
second until there are four times as many servers as at the last reload, and up to 51,200 if there were none then.
A server that is down is asked four times as often, but not more often than every two seconds.
"""

from __future__ import annotations

MOST_LOADED_CHECKS_PER_SECOND = 400
ADDED_ALLOWANCE = 4
SHORTEST_SECONDS = 2
ORDINARY_CHECK = "check inter 2000 rise 2 fall 3"


def loaded_check(servers: int) -> str:
    """Return the check of servers that stand in the configuration, where `servers` have the default one.

    There is no `fastinter`: HAProxy spreads the first checks over it, for it counts a server that it has not asked yet as
    changing its state (manual, `fastinter`), and all of them would come at the same moments ever after.
    """
    return _check(_interval_seconds(servers))


def added_check(servers: int) -> str:
    """Return the check of a server that is added at runtime, where `servers` then have the default one.

    A first answer that is not the expected one is looked into soon (`fastinter`), since its interval is a long one.
    """
    return _check(_interval_seconds(servers * ADDED_ALLOWANCE), fast=f" fastinter {SHORTEST_SECONDS * 1000}")


def _interval_seconds(servers: int) -> int:
    """Two seconds, doubled until it is long enough: in steps, so that few changes change the text of every server."""
    seconds = SHORTEST_SECONDS
    while servers > seconds * MOST_LOADED_CHECKS_PER_SECOND:
        seconds *= 2
    return seconds


def _check(seconds: int, fast: str = "") -> str:
    """Fewer answers decide where they are far apart: two failures take a server out, one success brings it back."""
    if seconds == SHORTEST_SECONDS:
        return ORDINARY_CHECK
    down_seconds = max(seconds // 4, SHORTEST_SECONDS)
    return f"check inter {seconds * 1000}{fast} downinter {down_seconds * 1000} rise 1 fall 2"
