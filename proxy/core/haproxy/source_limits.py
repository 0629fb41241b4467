"""How much one visitor can occupy: rules of every section that listens.

In: the settings. Out: lines. All connections of a source are counted together, on whatever port, since they share MAXCONN.
A source is an IPv4 address, or a network /64 of IPv6, which is what one visitor gets. Trusted proxies are not counted: they
come for many visitors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from proxy.core.haproxy.proxy_protocol import (
    BALANCER,
    acl_lines,
    expecting_lines,
    expects_by_own_lines,
    expects_of_balancers,
)
from proxy.settings import HaproxySettings, Settings

SOURCES = "sources"
"""The section that counts connections by source."""

SOURCE_TABLE = "stick-table type ipv6 size 100k expire 10s store conn_cur"

TRUSTED = "from_trusted_proxy"
"""The ACL of PROXY_TRUSTED_PROXIES. It is there only if they are set."""


def connection_lines(settings: Settings, port: int) -> Sequence[str]:
    """Return the rules about the PROXY protocol, the ACL of trusted proxies, and the rules that refuse connections.

    More connections than one source may have are refused. They are counted as soon as the visitor's address is known.
    """
    networks, limit = settings.routing.trusted_proxies, settings.haproxy.maxconn_per_source
    lines = [*expecting_lines(settings, port), *acl_lines(TRUSTED, networks)]
    if limit:
        lines += _limit_lines(settings, port, limit)
    return lines


def _limit_lines(settings: Settings, port: int, limit: int) -> Sequence[str]:
    # Lines of the operator often use the first counter; only the first rule that applies to a connection sets a counter.
    track = f"track-sc2 src,ipmask(32,64) table {SOURCES}"
    reject = f"reject if {{ sc2_conn_cur gt {limit} }}"
    of_trusted = f" unless {TRUSTED}" if settings.routing.trusted_proxies else ""
    of_session = [f"tcp-request session {track}{of_trusted}", f"tcp-request session {reject}"]
    if expects_by_own_lines(settings, port):
        # Before the PROXY protocol is read, all visitors seem to be the balancer in front.
        return of_session
    if not expects_of_balancers(settings, port):
        return [f"tcp-request connection {track}{of_trusted}", f"tcp-request connection {reject}"]
    # A session begins after the TLS handshake. Visitors without a balancer are counted before it.
    others = f"{of_trusted} or {BALANCER}" if of_trusted else f" unless {BALANCER}"
    return [f"tcp-request connection {track}{others}", f"tcp-request connection {reject}", *of_session]


def body_lines(haproxy: HaproxySettings) -> Sequence[str]:
    """Return the rule that receives the start of a body before a server gets the request. So no server waits for it.

    The start is what fits into a buffer of HAProxy. It must come within `timeout http-request`. A body without a length may
    be a stream, which the server answers while it goes on. So it is passed on at once.
    """
    times = dict(timeout.split(" ", 1) for timeout in haproxy.timeouts)
    if re.fullmatch(r"0+\D*", times["http-request"]):
        return []
    return [f"http-request wait-for-body time {times['http-request']} if {{ req.hdr(content-length) -m found }}"]
