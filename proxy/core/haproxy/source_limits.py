"""How much one visitor can occupy: rules of every section that listens.

In: the settings. Out: lines. All connections of a source are counted together, on whatever port, since they share MAXCONN.
A source is an IPv4 address, or a network /64 of IPv6, which is what one visitor gets. Trusted proxies are not counted: they
come for many visitors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from proxy.settings import HaproxySettings, Settings

SOURCES = "sources"
"""The section that counts connections by source."""

SOURCE_TABLE = "stick-table type ipv6 size 100k expire 10s store conn_cur"

TRUSTED = "from_trusted_proxy"
"""The ACL of PROXY_TRUSTED_PROXIES. It is there only if they are set."""
_NETWORKS_PER_LINE = 50
"""HAProxy takes at most 64 words in a line."""

_PROXY_PROTOCOLS = ("accept-proxy", "accept-netscaler-cip", "expect-proxy", "expect-netscaler-cip")


def connection_lines(settings: Settings, port: int) -> Sequence[str]:
    """Return the ACL of trusted proxies, and the rules that refuse more connections than one source may have."""
    networks, limit = settings.routing.trusted_proxies, settings.haproxy.maxconn_per_source
    starts = range(0, len(networks), _NETWORKS_PER_LINE)
    lines = [f"acl {TRUSTED} src {' '.join(networks[start : start + _NETWORKS_PER_LINE])}" for start in starts]
    if limit:
        # Before the PROXY protocol is read, all visitors seem to be the balancer in front.
        when = "session" if _speaks_proxy_protocol(settings, port) else "connection"
        # Lines of the operator often use the first counter; only the first rule for a counter takes effect.
        lines += [
            f"tcp-request {when} track-sc2 src,ipmask(32,64) table {SOURCES}{f' unless {TRUSTED}' if networks else ''}",
            f"tcp-request {when} reject if {{ sc2_conn_cur gt {limit} }}",
        ]
    return lines


def body_lines(haproxy: HaproxySettings) -> Sequence[str]:
    """Return the rule that receives the start of a body before a server gets the request. So no server waits for it.

    The start is what fits into a buffer of HAProxy. It must come within `timeout http-request`. A body without a length may
    be a stream, which the server answers while it goes on. So it is passed on at once.
    """
    times = dict(timeout.split(" ", 1) for timeout in haproxy.timeouts)
    if re.fullmatch(r"0+\D*", times["http-request"]):
        return []
    return [f"http-request wait-for-body time {times['http-request']} if {{ req.hdr(content-length) -m found }}"]


def _speaks_proxy_protocol(settings: Settings, port: int) -> bool:
    lines = (
        *settings.haproxy.extra_bind_settings.get(port, ()),
        *settings.routing.extra_frontend_settings.get(port, ()),
    )
    return any(word in _PROXY_PROTOCOLS for line in lines for word in line.split())
