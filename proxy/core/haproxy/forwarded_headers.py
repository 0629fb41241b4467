"""What a backend is told about the visitor: headers such as `X-Forwarded-For`.

In: the settings. Out: rules of a frontend. Anybody can send such a header, so those of a visitor are deleted. Only the
networks in PROXY_TRUSTED_PROXIES are believed: other proxies, which say for whom they ask. `option forwardfor` adds
`X-Forwarded-For`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from proxy.core.haproxy.source_limits import TRUSTED
from proxy.grammar.syntax import quote
from proxy.settings import RoutingMode, Settings
from proxy.settings.simple_parser import WAS_FORWARDED

_NAMES = ("x[-_]forwarded[-_].*", "x[-_]real[-_]ip", "forwarded")
"""Applications behind CGI or WSGI cannot tell `_` from `-` in a name."""


def forwarding_lines(settings: Settings, *, is_tls: bool) -> Sequence[str]:
    """Return the rules of a frontend that delete what visitors claim, and tell backends the truth.

    They come after `connection_lines`. With SKIP_FORWARDED_PROTO and no trusted networks, everything passes as it is.
    """
    routing = settings.routing
    lines = []
    if routing.routing_mode is RoutingMode.SIMPLE:
        lines.append(f"http-request set-var({WAS_FORWARDED}) bool(true) if {{ req.hdr(X-Forwarded-For) -m found }}")
    if routing.trusted_proxies or not routing.skip_forwarded_proto:
        lines += _deletion(settings)
    if not routing.skip_forwarded_proto:
        lines += _truth("https" if is_tls else "http", is_sure=not routing.trusted_proxies)
    return lines


def _deletion(settings: Settings) -> Sequence[str]:
    unless = f" unless {TRUSTED}" if settings.routing.trusted_proxies else ""
    names = "|".join((*_NAMES, *_names_of_options(settings.haproxy.options)))
    return [
        f"http-request del-header {quote(f'(?i)^({names})$')} -m reg{unless}",
        f"http-request add-header X-Real-IP %[src]{unless}",
    ]


def _names_of_options(options: Sequence[str]) -> Sequence[str]:
    """Return the names that `option forwardfor` and `option originalto` use instead of their own."""
    found = (re.search(r"^(?:forwardfor|originalto)\b.* header +(\S+)", option) for option in options)
    return [re.escape(match[1]) for match in found if match]


def _truth(scheme: str, *, is_sure: bool) -> Sequence[str]:
    """Return the rules that tell scheme and host. With `is_sure`, no trusted proxy can have told them before."""
    without_proto = "" if is_sure else " unless { req.hdr(X-Forwarded-Proto) -m found }"
    without_host = "" if is_sure else " !{ req.hdr(X-Forwarded-Host) -m found }"
    return [
        f"http-request add-header X-Forwarded-Proto {scheme}{without_proto}",
        f"http-request add-header X-Forwarded-Host %[req.hdr(host)] if {{ req.hdr(host) -m found }}{without_host}",
    ]
