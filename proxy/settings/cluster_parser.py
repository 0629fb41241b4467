"""Parse the settings of a cluster.

In: the reader of the environment. Out: `ClusterSettings`; faults go to the reader.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from proxy.grammar.virtual_host import parse_port
from proxy.settings import ClusterSettings, Peer
from proxy.settings import value_parsers as values
from proxy.settings.reader import SettingsReader

HTTP_PORT, HTTPS_PORT = 80, 443
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,250}[A-Za-z0-9_])?")
_ADDRESS = re.compile(r"[0-9.]+|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?")
"""With a zone: the interface over which a link-local address is reached."""
_BRACKETS = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::(\d+))?")


def parse_cluster(reader: SettingsReader) -> ClusterSettings:
    """Return the settings of the cluster. Peers and the key's file need each other."""
    for given, missing in (("PROXY_CLUSTER", "PROXY_CLUSTER_KEY_FILE"), ("PROXY_CLUSTER_KEY_FILE", "PROXY_CLUSTER")):
        if reader.is_set(given) and not reader.is_set(missing):
            reader.add_fault(given, f"has no effect without {missing}; set both (docs/cluster.md)")
    port = reader.parse("PROXY_CLUSTER_PORT", parse_port, 0)
    if reader.is_set("PROXY_CLUSTER") and (user := _other_use(port, reader)):
        reader.add_fault("PROXY_CLUSTER_PORT", f"is {user}, too; use a port that is used for nothing else")
    peers = reader.entries("PROXY_CLUSTER", parse_peer, has_blanks=False)
    return ClusterSettings(
        peers=tuple(dict.fromkeys(peers)),
        key_file=Path(reader.text("PROXY_CLUSTER_KEY_FILE")),
        port=port,
        routed_networks=reader.entries("PROXY_ROUTED_NETWORKS", values.parse_network, has_blanks=False),
    )


def _other_use(port: int, reader: SettingsReader) -> str:
    """Return for what the proxy itself uses the port, besides the cluster; empty if for nothing."""
    if port in (HTTP_PORT, HTTPS_PORT):
        return "a port of visitors"
    for name, user in (("STATS_PORT", "the port of the statistics page"), ("MONITOR_PORT", "the port of the health check")):
        if reader.text(name).isdecimal() and int(reader.text(name)) == port:
            return f"{user} ({name})"
    return ""


def parse_peer(text: str) -> Peer:
    """Return a peer, written `name`, `address`, `name:port`, `[IPv6]` or `[IPv6]:port`. Raises ValueError."""
    if match := _BRACKETS.fullmatch(text):
        return Peer(host=str(ipaddress.ip_address(match[1])), port=parse_port(match[2]) if match[2] else None)
    if _ADDRESS.fullmatch(text):
        return Peer(host=str(ipaddress.ip_address(text)))
    host, sign, port = text.partition(":")
    if not _NAME.fullmatch(host):
        raise ValueError("is neither a host name nor an address; write for example tasks.lb or 10.0.0.5:7376")
    return Peer(host=host, port=parse_port(port) if sign else None)
