"""Servers that get no requests though they are expected to: waited for, unhealthy, or taken out by HAProxy's health check.

In: changes of backends, and what HAProxy says of its servers. Out: problems, and the reason of every server that gets no
requests. A server that has just come may take a moment before it is a problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from proxy.core.haproxy.served import Place, place_text, unserved
from proxy.core.model.model import UNHEALTHY, UNSERVED, Backend, Server, ServerState
from proxy.errors import Problem

PATIENCE_SECONDS = 10.0
"""How long a container may take to begin before that is a problem."""
MOST_REASONS = 1000
"""How many servers the status file names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unserved:
    """A server that the model gives no requests, since `since` (monotonic clock) for this reason."""

    backend: Backend
    server: Server
    since: float


class UnservedServers:
    """Keeps who gets no requests. `find` returns a server of the model; `clock` is monotonic, in seconds."""

    def __init__(self, find: Callable[[str, str], tuple[Backend, Server] | None], clock: Callable[[], float]) -> None:
        self._find = find
        self._clock = clock
        self._waiting: dict[Place, _Unserved] = {}
        self._down: Mapping[Place, str] = {}

    def clear(self) -> None:
        """Forget the servers of the model: it was built anew."""
        self._waiting.clear()

    def replace(self, before: Backend | None, after: Backend | None) -> None:
        """Take in a change of one backend."""
        known = {(before.name, server.name): None for server in before.servers} if before else {}
        old = {place: self._waiting.pop(place) for place in known if place in self._waiting}
        for server in after.servers if after else ():
            if after and server.state is not ServerState.READY:
                place = after.name, server.name
                is_old = place in old and old[place].server.reason == server.reason
                since = old[place].since if is_old else self._clock()
                self._waiting[place] = _Unserved(backend=after, server=server, since=since)

    def note_down(self, down: Mapping[Place, str]) -> None:
        """Take in what HAProxy says of its servers."""
        self._down = down

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for each server that should get requests by now."""
        now = self._clock()
        for entry in self._waiting.values():
            reason = entry.server.reason
            if reason == UNHEALTHY or (reason in UNSERVED and now >= entry.since + PATIENCE_SECONDS):
                yield unserved(entry.backend, entry.server, f"{entry.server.state}: {reason}")
        for place, reason in self._down.items():
            if (found := self._find(*place)) and place not in self._waiting:
                yield unserved(*found, reason)

    def reasons(self) -> Mapping[str, str]:
        """Return why servers get no requests, by `backend/server`."""
        waiting = ((place, entry.server.reason) for place, entry in self._waiting.items())
        down = ((place, reason) for place, reason in self._down.items() if self._find(*place))
        return {place_text(*place): reason for place, reason in islice((*waiting, *down), MOST_REASONS)}
