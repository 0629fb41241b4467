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

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,250}[A-Za-z0-9_])?")
_BRACKETS = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::(\d+))?")


def parse_cluster(reader: SettingsReader) -> ClusterSettings:
    """Return the settings of the cluster. Peers and the key's file need each other."""
    for given, missing in (("PROXY_CLUSTER", "PROXY_CLUSTER_KEY_FILE"), ("PROXY_CLUSTER_KEY_FILE", "PROXY_CLUSTER")):
        if reader.is_set(given) and not reader.is_set(missing):
            reader.add_fault(given, f"has no effect without {missing}; set both (docs/cluster.md)")
    if reader.is_set("PROXY_CLUSTER") and reader.text("PROXY_CLUSTER_PORT") == reader.text("STATS_PORT"):
        reader.add_fault("PROXY_CLUSTER_PORT", "is the port of the statistics page, too (STATS_PORT); use another one")
    peers = reader.entries("PROXY_CLUSTER", parse_peer, has_blanks=False)
    return ClusterSettings(
        peers=tuple(dict.fromkeys(peers)),
        key_file=Path(reader.text("PROXY_CLUSTER_KEY_FILE")),
        port=reader.parse("PROXY_CLUSTER_PORT", parse_port, 0),
        routed_networks=reader.entries("PROXY_ROUTED_NETWORKS", values.parse_network, has_blanks=False),
    )


def parse_peer(text: str) -> Peer:
    """Return a peer, written `name`, `address`, `name:port`, `[IPv6]` or `[IPv6]:port`. Raises ValueError."""
    if match := _BRACKETS.fullmatch(text):
        return Peer(host=str(ipaddress.ip_address(match[1])), port=parse_port(match[2]) if match[2] else None)
    try:
        return Peer(host=str(ipaddress.ip_address(text)))
    except ValueError:
        host, sign, port = text.partition(":")
    if not _NAME.fullmatch(host):
        raise ValueError("is neither a host name nor an address; write for example tasks.lb or 10.0.0.5:7376")
    return Peer(host=host, port=parse_port(port) if sign else None)
