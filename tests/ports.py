"""Free ports of this machine, for servers that tests start.

All of them are below the range from which the system takes ports for clients. A port of that range could be taken by a
connection of any test between the search and the server's start.
"""

from __future__ import annotations

import itertools
import random
import socket
from pathlib import Path

CLIENT_PORTS_BEGIN = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def free_offset(*ports: int) -> int:
    """Return an offset at which each of `ports` is free on the loopback address; a different one at each call."""
    for _ in itertools.repeat(None, 200):
        offset = random.randrange(10000, CLIENT_PORTS_BEGIN - max(ports))
        if all(_is_free(offset + port) for port in ports):
            return offset
    raise RuntimeError("no free ports")


def free_low_port() -> int:
    """Return a TCP port, below every offset, that is free on all addresses: for servers on several of them."""
    return next(port for port in iter(lambda: random.randrange(2000, 9999), 0) if _is_free(port))


def free_port() -> int:
    """Return a TCP port that is free on all addresses."""
    return next(port for port in iter(lambda: random.randrange(10000, CLIENT_PORTS_BEGIN), 0) if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
