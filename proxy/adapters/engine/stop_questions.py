"""Asks the engine in the background how containers are stopped.

In: ids of containers. Out: a `StopRule` for each, from the thread that asks. Nobody waits for it: an inspection takes a
millisecond, but while the engine starts or ends that container it takes as long as that does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from functools import partial
from typing import Protocol

from proxy.adapters.engine.delayed_calls import DelayedCalls
from proxy.adapters.engine.docker_view import Engine
from proxy.core.containers.docker_json import StopRule, parse_stop
from proxy.errors import SourceError

DELAY_SECONDS = 1.0
"""How long after a container was seen to ask for it. Its traffic comes first."""
PAUSE_SECONDS = 0.01
"""Time between two questions that are not urgent. Ten thousand containers take 100 s, and a few percent of a processor."""

_log = logging.getLogger(__name__)


class _Take(Protocol):
    """Receives an answer. `is_awaited`: the container was sent a signal, and it is to be known what that means."""

    def __call__(self, container_id: str, rule: StopRule, *, is_awaited: bool) -> None: ...


class StopQuestions:
    """At most one question for each container. `take` receives the answers."""

    def __init__(self, engine: Engine, take: _Take) -> None:
        self._engine = engine
        self._take = take
        self._calls = DelayedCalls()
        self._waiting: set[str] = set()
        self._next_at = 0.0

    def ask_in_turn(self, container_ids: Iterable[str]) -> None:
        """Ask for these containers after a while, one by one, unless they wait for their turn already."""
        for container_id in container_ids:
            if container_id not in self._waiting:
                self._next_at = max(self._next_at + PAUSE_SECONDS, time.monotonic() + DELAY_SECONDS)
                self._ask_at(self._next_at, container_id, is_awaited=False)

    def ask_now(self, container_id: str) -> None:
        """Ask for this container before all others."""
        self._ask_at(time.monotonic(), container_id, is_awaited=True)

    def cancel(self, container_id: str) -> None:
        """Do not ask for this container: it has ended."""
        self._calls.cancel(container_id)
        self._waiting.discard(container_id)

    def stop(self) -> None:
        """Ask no more."""
        self._calls.stop()

    def _ask_at(self, at_seconds: float, container_id: str, *, is_awaited: bool) -> None:
        self._waiting.add(container_id)
        self._calls.set(container_id, at_seconds, partial(self._ask, container_id, is_awaited=is_awaited))

    def _ask(self, container_id: str, *, is_awaited: bool) -> None:
        self._waiting.discard(container_id)
        try:
            document = self._engine.inspect_container(container_id)
        except SourceError as error:
            _log.debug("%s", error)  # the read that fails for the same reason tells it; the next full look asks again
            return
        if document is not None:
            self._take(container_id, parse_stop(document), is_awaited=is_awaited)
