"""What is to be deleted from the running HAProxy as soon as its connections have ended, and the bound on the wait.

In: servers and backends that have left the model, and whether HAProxy has deleted them. Out: commands that are due: at
once, and then ever more rarely, so that what HAProxy keeps costs other events nothing. Times are in seconds of one
monotonic clock.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from proxy.core.haproxy import runtime_commands as runtime
from proxy.core.haproxy.runtime_commands import Command
from proxy.core.model.model import Backend

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """One deletion that is due, of a backend where `server` is empty. The last of `commands` says whether it is done."""

    backend: str
    server: str
    commands: tuple[Command, ...]


@dataclass(slots=True, kw_only=True)
class _Wait:
    since: float
    due_at: float


class Removals:
    """Everything that is still to be deleted; `limit_seconds` bounds how long connections may keep it alive."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._servers: dict[tuple[str, str], _Wait] = {}
        self._backends: dict[str, Backend] = {}
        self._backend_waits: dict[str, _Wait] = {}
        self._servers_left: Counter[str] = Counter()
        self._next_due = math.inf

    def __bool__(self) -> bool:
        return bool(self._servers or self._backends)

    def add(self, servers: Iterable[tuple[str, str]], backends: Iterable[Backend], now: float) -> None:
        """Take in what has left the model at `now`; it is due at once."""
        for key in servers:
            self._servers_left[key[0]] += key not in self._servers
            self._servers[key] = _Wait(since=now, due_at=now)
            self._next_due = now
        for backend in backends:
            self._backends[backend.name] = backend
            self._backend_waits[backend.name] = _Wait(since=now, due_at=now)
            self._next_due = now

    def due(self, now: float) -> Sequence[Removal]:
        """Return what may be tried now: servers, and backends that have none left. Each is to be `done` or `put_off`."""
        if now < self._next_due:
            return ()
        removals = [
            Removal(backend=key[0], server=key[1], commands=self._server_commands(key, now - wait.since))
            for key, wait in self._servers.items()
            if wait.due_at <= now
        ]
        removals += [
            Removal(backend=name, server="", commands=runtime.delete_backend(name))
            for name, wait in self._backend_waits.items()
            if wait.due_at <= now and not self._servers_left[name]
        ]
        if not removals:
            self._find_next()
        return removals

    def pause_seconds(self, now: float) -> float | None:
        """Return how long to wait before the next try, never nothing, for what is due may not be possible yet.

        None when there is nothing to try.
        """
        return max(self._next_due - now, FIRST_PAUSE_SECONDS) if self else None

    def done(self, removal: Removal) -> None:
        """Forget what HAProxy has deleted."""
        if removal.server:
            self._forget_server((removal.backend, removal.server))
        else:
            self._forget_backend(removal.backend)

    def put_off(self, removal: Removal, now: float) -> None:
        """Try what HAProxy has not deleted again later: the older it is, the longer it waits.

        Servers that others have once tracked are never deleted, so they stay until a reload, at next to no cost.
        """
        key = removal.backend, removal.server
        wait = self._servers[key] if removal.server else self._backend_waits[removal.backend]
        wait.due_at = now + min(max(FIRST_PAUSE_SECONDS, (now - wait.since) / 4), LONGEST_PAUSE_SECONDS)

    def take_back(self, servers: Iterable[tuple[str, str]], backends: Iterable[str]) -> None:
        """Forget what has come back into the model."""
        for key in servers:
            self._forget_server(key)
        for name in backends:
            self._forget_backend(name)

    def clear(self) -> None:
        """Forget everything: a new worker does not know it."""
        self._servers.clear()
        self._backends.clear()
        self._backend_waits.clear()
        self._servers_left.clear()

    def servers(self) -> AbstractSet[tuple[str, str]]:
        """The (backend, server) that HAProxy still has though the model has not."""
        return self._servers.keys()

    def backends(self) -> Mapping[str, Backend]:
        """The backends that HAProxy still has though the model has not."""
        return self._backends

    def _server_commands(self, key: tuple[str, str], age_seconds: float) -> tuple[Command, ...]:
        """Delete a server; before that, close what is still open once the wait is over."""
        delete = runtime.delete_server(*key)
        return (runtime.close_sessions(*key), delete) if age_seconds > self._limit_seconds else (delete,)

    def _find_next(self) -> None:
        waits = [*self._servers.values()]
        waits += [wait for name, wait in self._backend_waits.items() if not self._servers_left[name]]
        self._next_due = min((wait.due_at for wait in waits), default=math.inf)

    def _forget_server(self, key: tuple[str, str]) -> None:
        if self._servers.pop(key, None):
            self._servers_left[key[0]] -= 1
            if not self._servers_left[key[0]]:
                del self._servers_left[key[0]]

    def _forget_backend(self, name: str) -> None:
        self._backends.pop(name, None)
        self._backend_waits.pop(name, None)
