"""Settings of containers in a place where the proxy does not look: variables of containers that are not linked.

In: the containers that a source tells. Those without labels of ours are inspected, one at a time and only once, because
neither can change. Out: the same containers with what was found; `core/labels/misspellings` makes notes of it. Rules:
nothing waits for it, and nothing depends on it. What the engine does not tell stays unknown.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any, Protocol

from proxy.core.containers.containers import Container, ProxyContainer, State
from proxy.core.containers.misplaced_json import parse_misplaced
from proxy.core.labels.labels import PREFIX
from proxy.core.labels.simple_routing import PORT_PREFIX
from proxy.core.model.services import is_in_scope
from proxy.core.model.spec_index import Key
from proxy.core.trigger import Trigger
from proxy.errors import SourceError
from proxy.settings import Scope, SourceKind

PAUSE_SECONDS = 0.05
"""Between two containers, so that the engine is hardly busy with them."""
MOST_AT_ONCE = 500
"""How many containers a command inspects, which waits for it."""


class Inspector(Protocol):
    """What is asked of an engine. It raises `SourceError` when it cannot be asked."""

    def inspect_container(self, container: str) -> Mapping[str, Any] | None: ...


Variables = Mapping[str, str]


class MisplacedSettings:
    """An overlay. With `put`, a thread inspects containers, and a trigger tells of what it finds; else at once."""

    def __init__(self, engine: Inspector, scope: Scope, put: Callable[[Trigger], None] | None) -> None:
        self._engine = engine
        self._scope = scope
        self._put = put
        self._wanted: SimpleQueue[tuple[Key, str]] = SimpleQueue()
        self._results: SimpleQueue[tuple[Key, Variables]] = SimpleQueue()
        self._found: dict[Key, Variables] = {}  # none, where it was only asked for
        if put:
            threading.Thread(target=self._inspect_for_ever, args=(put,), name="misplaced settings", daemon=True).start()

    def changed(self) -> set[Key]:
        """Return the containers of which something was found since the last call."""
        keys: set[Key] = set()
        while not self._results.empty():
            key, found = self._results.get()
            if key in self._found:
                self._found[key] = found
                keys.add(key)
        return keys

    def lay_over(
        self, containers: Mapping[Key, Container | None], proxy: ProxyContainer | None, new_sources: frozenset[str]
    ) -> Mapping[Key, Container | None]:
        """Return the containers with what was found, and have those looked at that are new."""
        del new_sources
        laid_over = dict(containers)
        asked = 0
        for key, container in containers.items():
            if container is None:
                self._found.pop(key, None)
            elif self._may_lack_labels(container) and is_in_scope(container, proxy, self._scope):
                if key not in self._found and (self._put or asked < MOST_AT_ONCE):
                    asked += 1
                    self._ask(key, container.id)
                laid_over[key] = _lay_over_one(container, self._found.get(key, {}))
        return laid_over

    @staticmethod
    def _may_lack_labels(container: Container) -> bool:
        is_of_engine = container.source == SourceKind.DOCKER and container.state is not State.STOPPED
        return (
            is_of_engine
            and not container.alias
            and not any(key.startswith((PREFIX, PORT_PREFIX)) for key in container.labels)
        )

    def _ask(self, key: Key, container_id: str) -> None:
        self._found[key] = {}
        if self._put:
            self._wanted.put((key, container_id))
        else:
            self._found[key] = self._inspect(container_id)

    def _inspect_for_ever(self, put: Callable[[Trigger], None]) -> None:
        while True:
            key, container_id = self._wanted.get()
            if found := self._inspect(container_id):
                self._results.put((key, found))
                put(Trigger(reason="settings in the wrong place", container_id=container_id))
            time.sleep(PAUSE_SECONDS)

    def _inspect(self, container_id: str) -> Variables:
        """Return the variables that a container has in the place of labels."""
        try:
            document = self._engine.inspect_container(container_id)
        except SourceError:
            return {}
        return parse_misplaced(document) if document else {}


def _lay_over_one(container: Container, found: Variables) -> Container:
    return dataclasses.replace(container, environment=found) if found else container
