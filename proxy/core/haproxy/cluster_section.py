"""The section through which the other proxies of a cluster read what this proxy's engine runs.

In: where the certificates, the node's own document and the engine are. Out: lines. Only proxies with the cluster's key get a
connection, and only `GET` of what they need gets to the engine. Everything else ends here: the engine's socket gives its
holder the whole machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proxy.grammar.syntax import quote

SECTION, SERVER, SOURCES = "cluster", "engine", "cluster_sources"
STATE_PATH = "/proxy/state"
"""Where HAProxy itself answers with what the proxy tells of its node."""
STATE_KEY = "state"
"""The key of the only row of the map that holds this document."""
RESOLVERS = "cluster_resolvers"

_VERSION = "(/v[0-9]{1,2}[.][0-9]{1,3})?"
_ID = "[0-9a-f]{64}"
_PATHS = f"version|events|containers/json|containers/{_ID}/json|services|tasks|nodes|networks"
_PARAMETER = "((filters|since|until|limit|all|trunc_cmd)=[A-Za-z0-9%._~:+*-]*|size=(0|False))"
"""With another size, the engine measures all files of all containers."""
PATTERN = f"^{_VERSION}/({_PATHS})([?]{_PARAMETER}(&{_PARAMETER})*)?$"
"""What the others may read of the engine: path and query exactly as they are sent. HAProxy decodes nothing here, and the
engine may decode in another way than HAProxy would."""
_REFUSED_HEADERS = ("content-length", "transfer-encoding", "upgrade")
"""Nobody needs a body here, or another protocol."""
MOST_CONNECTIONS_OF_A_SOURCE = 64
MOST_CONNECTIONS_IN_10_SECONDS = 200
"""Limits of one address; of IPv6, of the 64 bits that one machine may have. A proxy has up to six connections to each other
one, and opens them again after a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineServer:
    """The engine as HAProxy reaches it. `ca` and `certificate` are for an engine over TLS, which has the name `host`."""

    address: str
    host: str = ""
    ca: Path | None = None
    certificate: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOffer:
    """What the section needs. `certificate` holds the node's certificate and key, `state` the map with its document."""

    port: int
    certificate: Path
    ca: Path
    state: Path
    engine: EngineServer


def stream_lines() -> Sequence[str]:
    """Return the lines of the `defaults` section: the operator's own settings are for visitors, not for this.

    A visitor without a certificate keeps a connection for 10 s at most. What goes well is not logged.
    """
    return (
        "mode http",
        "log global",
        "option httplog",
        "option dontlog-normal",
        "option http-no-delay",
        "option disable-h2-upgrade",
        "option clitcpka",
        "timeout connect 5s",
        "timeout client 10s",
        "timeout server 60s",
        "timeout http-request 5s",
        "timeout http-keep-alive 10m",
    )


def bind_words(offer: ClusterOffer) -> str:
    """Return what follows the port on the `bind` line."""
    words = ["ssl", "crt", quote(str(offer.certificate)), "ca-file", quote(str(offer.ca))]
    return " ".join([*words, "verify required", "ssl-min-ver TLSv1.3", "alpn http/1.1"])


def section_lines(offer: ClusterOffer, maxconn: int) -> Sequence[str]:
    """Return the other lines of the section. It may have a quarter of all connections."""
    state = quote(str(offer.state))
    return (
        f"maxconn {max(maxconn // 4, 1)}",
        f"tcp-request connection track-sc0 src,ipmask(32,64) table {SOURCES}",
        f"tcp-request connection reject if {{ sc0_conn_cur gt {MOST_CONNECTIONS_OF_A_SOURCE} }}",
        f"tcp-request connection reject if {{ sc0_conn_rate gt {MOST_CONNECTIONS_IN_10_SECONDS} }}",
        "http-request deny deny_status 403 unless { method GET } { req.ver 1.1 }",
        *(f"http-request deny deny_status 403 if {{ req.hdr({name}) -m found }}" for name in _REFUSED_HEADERS),
        f"http-request return status 200 content-type application/json lf-string "
        f'"%[str({STATE_KEY}),map({state})]" hdr Date "%[date,http_date]" if {{ url {STATE_PATH} }}',
        f"http-request deny deny_status 403 unless {{ url -m reg {quote(PATTERN)} }}",
        "http-request set-timeout server 1d if { path_end /events }",
        _server_line(offer.engine),
    )


def resolver_lines(offer: ClusterOffer) -> Sequence[str]:
    """Return the lines of the `resolvers` section; none are needed for an engine without a host name."""
    return ("parse-resolv-conf",) if offer.engine.host else ()


def _server_line(engine: EngineServer) -> str:
    words = ["server", SERVER, quote(engine.address)]
    if engine.host:
        words += ["init-addr", "none", "resolvers", RESOLVERS]
    if engine.ca and engine.certificate:
        words += ["ssl", "verify", "required", "ca-file", quote(str(engine.ca)), "crt", quote(str(engine.certificate))]
        words += ["sni", f"str({engine.host})", "verifyhost", engine.host] if engine.host else []
    return " ".join(words)
