"""The lines of the `defaults` sections, from which every proxy starts.

In: the settings, and the mode of the proxies. Out: lines. The operator's lines come last, so that they win.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proxy.core.haproxy.connecting import option_lines, timeout_lines
from proxy.settings import HaproxySettings, ProxyMode

WEBSOCKET_TIMEOUT = "1h"
"""How long a WebSocket may be silent where TIMEOUT does not tell (`tunnel`)."""

LEAST_RETRIES: Mapping[ProxyMode, int] = {ProxyMode.HTTP: 30, ProxyMode.TCP: 3}
"""In TCP mode it is HAProxy's default (manual, `retries`).

Each try avoids only the server of the last one. Where three of four containers have just closed their ports, ten retries are
too few for one request in a hundred [measured: 2.6 and 3.4]; of thirty, a million requests need all at most a few times.
"""
RETRY_ON = "retry-on conn-failure empty-response"
"""A container closes its port at its stop signal, some milliseconds before HAProxy can know: whoever is sent there then is
sent on to another, as often as it takes to find one that lives. Requests that are not safe to repeat are not."""

_HTTP_ONLY_OPTIONS = ("accept-invalid-http", "checkcache", "forwardfor", "h1-", "http", "originalto", "persist")


def default_lines(haproxy: HaproxySettings, mode: ProxyMode) -> Sequence[str]:
    """Return the lines of one mode; each stands there once."""
    own = ["log global", *option_lines(map(_eager, haproxy.options))]
    own += timeout_lines(haproxy.timeouts, least_retries=LEAST_RETRIES[mode])
    if mode is ProxyMode.HTTP:
        own.append(RETRY_ON)
    # Not in TCP mode, where it would outrank `client` and `server` (manual, `timeout tunnel`).
    if mode is ProxyMode.HTTP and not any(timeout.startswith("tunnel ") for timeout in haproxy.timeouts):
        own.append(f"timeout tunnel {WEBSOCKET_TIMEOUT}")
    lines = list(dict.fromkeys([*own, *haproxy.extra_default_settings]))
    return lines if mode is ProxyMode.HTTP else [line for line in map(_for_tcp, lines) if line]


def _eager(option: str) -> str:
    """A refused connection tries another server at once; by default HAProxy asks the same one for seconds first."""
    return "redispatch 1" if option == "redispatch" else option


def _for_tcp(line: str) -> str:
    """The line as `defaults` of TCP proxies take it: without what only HTTP knows, which HAProxy would warn of."""
    words = line.split()
    if words[:2] == ["option", "httplog"]:
        return "option tcplog"
    if words[0] == "option" and words[1].startswith(_HTTP_ONLY_OPTIONS):
        return ""
    return line
