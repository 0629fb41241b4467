"""A source of a real engine that is read only when one of its own triggers says so, as the controller reads it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue

from proxy.adapters.engine.docker_source import DockerSource
from proxy.core.containers.containers import Container, Snapshot, State
from proxy.core.trigger import Trigger
from proxy.errors import SourceError


class Follower:
    """`containers` is what the source knows by now, and `states` what it has said of each container, in order."""

    def __init__(self, source: DockerSource) -> None:
        self.source = source
        self.triggers: SimpleQueue[Trigger | None] = SimpleQueue()
        self.containers: dict[str, Container] = {}
        self.states: dict[str, list[State]] = {}
        self.reasons: list[str] = []
        self.is_connected = threading.Event()
        self.threads = [
            threading.Thread(target=self.source.watch, args=(self.triggers.put,), daemon=True),
            threading.Thread(target=self._read, daemon=True),
        ]

    def _read(self) -> None:
        while (trigger := self.triggers.get()) is not None:
            with suppress(SourceError):  # then the source asks to be read again
                self._take(self.source.read_changes())
                self.reasons.append(trigger.reason)

    def _take(self, snapshot: Snapshot) -> None:
        changed = {container.id: container for container in snapshot.containers}
        kept = {} if snapshot.is_complete else self.containers
        self.containers = {key: known for key, known in kept.items() if key not in snapshot.gone} | changed
        for key, container in changed.items():
            self.states.setdefault(key, []).append(container.state)
        self.is_connected.set()

    def count(self, event: str) -> int:
        """Return how often the source was read because of such an event."""
        return sum(event in reason for reason in [*self.reasons])

    def stop(self) -> None:
        """End both threads."""
        self.source.stop()
        self.triggers.put(None)
        for thread in self.threads:
            thread.join(5)
            assert not thread.is_alive()


@contextmanager
def following(source: DockerSource) -> Iterator[Follower]:
    """Yield a follower of an engine, once it has read everything."""
    follower = Follower(source)
    for thread in follower.threads:
        thread.start()
    try:
        assert follower.is_connected.wait(30)
        yield follower
    finally:
        follower.stop()
