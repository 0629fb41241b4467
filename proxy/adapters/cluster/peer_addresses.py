"""Where the other proxies of the cluster are, as PROXY_CLUSTER and the DNS say.

In: names and addresses, asked for again every second. Out: addresses, without this proxy's own. A name that fails keeps the
addresses that it had.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping, Sequence

from proxy.adapters.cluster.peer import Address
from proxy.adapters.files.host_names import Answer, HostNames
from proxy.errors import THE_PROXY, Problem
from proxy.settings import Peer
from proxy.settings.value_parsers import is_address

OWN_SECONDS = 30.0
"""How often it is asked again which addresses are this proxy's own: that takes a socket for each."""


class PeerAddresses:
    """The addresses of `peers`; `default_port` is the cluster port here, and where a peer has none of its own."""

    def __init__(self, peers: Sequence[Peer], default_port: int, names: HostNames) -> None:
        self._peers = peers
        self._default_port = default_port
        self._names = names
        self._wanted = frozenset(peer.host for peer in peers if not is_address(peer.host))
        self._answers: Mapping[str, Answer] = {}
        self._found: frozenset[Address] = frozenset()
        self._found_at: float | None = None

    def look(self) -> frozenset[Address]:
        """Return the addresses that are known at this moment."""
        answers, now = self._names.answers(self._wanted), time.monotonic()
        if answers != self._answers or self._found_at is None or now > self._found_at + OWN_SECONDS:
            self._answers, self._found, self._found_at = answers, self._find(answers), now
        return self._found

    def _find(self, answers: Mapping[str, Answer]) -> frozenset[Address]:
        found: set[Address] = set()
        for peer in self._peers:
            answer = answers.get(peer.host)
            hosts = (answer.addresses if answer else ()) if peer.host in self._wanted else (peer.host,)
            found |= {Address(host, peer.port or self._default_port) for host in hosts}
        return frozenset(one for one in found if one.port != self._default_port or not is_own_address(one.host))

    @property
    def is_complete(self) -> bool:
        """Whether the DNS has answered for every name, be it that there is none."""
        return self._wanted <= self._answers.keys()

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for each name without an address."""
        for host, answer in sorted(self._answers.items()):
            if not answer.addresses:
                reason = f"{answer}; write the name that stands for all proxies, in a Swarm tasks.SERVICE"
                yield Problem(service=THE_PROXY, setting="PROXY_CLUSTER", value=host, reason=reason)

    def stop(self) -> None:
        """Resolve no more names."""
        self._names.stop()


def is_own_address(host: str) -> bool:
    """Return whether this machine, or this container, has the address: only then a socket can be bound to it (bind(2))."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True
