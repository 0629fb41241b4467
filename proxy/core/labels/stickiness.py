"""Stickiness of simple routing: the cookie CONTAINERID, and how long a visitor stays with a container.

In: the limits. Out: lines of a backend. The cookie's value is the container's id and nothing else. HAProxy's own limits
(`maxidle`, `maxlife`) put dates into the value, so they cannot be used. The dates are in a second cookie instead, as
`first-last` in seconds since the epoch. The proxy itself stores nothing, so another node or a restart makes no difference.
When a limit is over, CONTAINERID is removed from the request before HAProxy reads it, and HAProxy chooses a container
again.
"""

from __future__ import annotations

COOKIE = "CONTAINERID"
TIMES_COOKIE = "ROUTING_TIMES"
COOKIE_DIRECTIVE = f"{COOKIE} insert indirect nocache"
"""With `nocache`, only an answer that sets the cookie says `Cache-Control: private`. A cache must not give it to others."""

_RENEWALS = 30
"""The second cookie is renewed at most this many times within the idle limit, so that few answers carry it."""


def stickiness_lines(*, idle_seconds: int, life_seconds: int) -> tuple[str, ...]:
    """Return the rules that enforce the two limits. For a visitor without dates, the time starts with this request."""
    renew_seconds = idle_seconds // _RENEWALS
    return (
        # `add(0)` turns a text into a number; a text that is not a number gives no value.
        f"http-request set-var(txn.sticky_first) req.cook({TIMES_COOKIE}),field(1,-),add(0)",
        f"http-request set-var(txn.sticky_last) req.cook({TIMES_COOKIE}),field(2,-),add(0)",
        "http-request set-var(txn.sticky_age) date(),sub(txn.sticky_first)",
        "http-request set-var(txn.sticky_idle) date(),sub(txn.sticky_last)",
        f"http-request set-var(txn.sticky_is_over) bool(true) if {{ var(txn.sticky_age) -m int gt {life_seconds} }}",
        f"http-request set-var(txn.sticky_is_over) bool(true) if {{ var(txn.sticky_idle) -m int gt {idle_seconds} }}",
        "http-request set-var(txn.sticky_is_over) bool(true) if { var(txn.sticky_idle) -m int lt 0 }",
        "http-request unset-var(txn.sticky_first) if { var(txn.sticky_is_over) -m bool }",
        f"http-request {_remove(COOKIE)} if {{ var(txn.sticky_is_over) -m bool }}",
        f"http-request {_remove(TIMES_COOKIE)} if {{ req.cook({TIMES_COOKIE}) -m found }}",
        "http-request del-header Cookie if { req.hdr(Cookie) -m len 0 }",
        "http-request set-var(txn.sticky_renews) bool(true) unless"
        " { var(txn.sticky_first) -m found } { var(txn.sticky_idle) -m found }",
        f"http-request set-var(txn.sticky_renews) bool(true) if {{ var(txn.sticky_idle) -m int ge {renew_seconds} }}",
        "http-request set-var(txn.sticky_first) date() unless { var(txn.sticky_first) -m found }",
        f"http-after-response add-header Set-Cookie {TIMES_COOKIE}=%[var(txn.sticky_first)]-%[date];\\ path=/"
        " if { var(txn.sticky_renews) -m bool }",
    )


def _remove(cookie: str) -> str:
    """Return the action that removes one cookie from the request's Cookie header and keeps the others as they are."""
    return f"replace-header Cookie '^((?:.*; *)?){cookie}=[^;]*(?:; *)?(.*)$' '\\1\\2'"
