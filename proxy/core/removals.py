"""What is to be deleted from the running HAProxy as soon as its connections have ended, and the bound on the wait.

In: servers and backends that have left the model, replies to `del server` and `del backend`. Out: commands that are due.
Times are in seconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from proxy.core import runtime_commands as runtime
from proxy.core.model import Backend
from proxy.core.runtime_commands import Command

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """One deletion that is due: try `command`; before it, `close` what is still open once the wait is over."""

    backend: str
    server: str
    command: Command
    close: Command | None = None


class Removals:
    """Everything that is still to be deleted; `limit_seconds` bounds how long connections may keep it alive."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._servers: dict[tuple[str, str], float] = {}
        self._backends: dict[str, Backend] = {}

    def __bool__(self) -> bool:
        return bool(self._servers or self._backends)

    def add(self, servers: Iterable[tuple[str, str]], backends: Iterable[Backend], now: float) -> None:
        """Take in what has left the model at `now`."""
        self._servers.update(dict.fromkeys(servers, now))
        self._backends.update({backend.name: backend for backend in backends})

    def due(self, now: float) -> Sequence[Removal]:
        """Return what may be tried now: servers, then the backends that have none left."""
        removals = [
            Removal(
                backend=backend,
                server=server,
                command=runtime.delete_server(backend, server),
                close=runtime.close_sessions(backend, server) if now - since > self._limit_seconds else None,
            )
            for (backend, server), since in self._servers.items()
        ]
        return removals + [Removal(backend=name, server="", command=runtime.delete_backend(name)) for name in self._backends]

    def pause_seconds(self, now: float) -> float | None:
        """Return how long to wait before the next try, the longer the older it is; None when there is nothing to try.

        What HAProxy never deletes costs next to nothing so: servers that others have once tracked stay until a reload.
        """
        ages = [now - since for since in self._servers.values()] or [0.0] * bool(self._backends)
        return min((min(max(FIRST_PAUSE_SECONDS, age / 4), LONGEST_PAUSE_SECONDS) for age in ages), default=None)

    def has_servers(self, backend: str) -> bool:
        """Whether servers of a backend are still to be deleted, so that it cannot be yet."""
        return any(name == backend for name, _ in self._servers)

    def done(self, removal: Removal) -> None:
        """Forget what HAProxy has deleted."""
        if removal.server:
            self._servers.pop((removal.backend, removal.server), None)
        else:
            self._backends.pop(removal.backend, None)

    def take_back(self, servers: Iterable[tuple[str, str]], backends: Iterable[str]) -> None:
        """Forget what has come back into the model."""
        for key in servers:
            self._servers.pop(key, None)
        for name in backends:
            self._backends.pop(name, None)

    def clear(self) -> None:
        """Forget everything: a new worker does not know it."""
        self._servers.clear()
        self._backends.clear()

    def servers(self) -> frozenset[tuple[str, str]]:
        """The (backend, server) that HAProxy still has though the model has not."""
        return frozenset(self._servers)

    def backends(self) -> Mapping[str, Backend]:
        """The backends that HAProxy still has though the model has not."""
        return self._backends
