"""What the sources say, merged: which containers have changed since the last look.

In: sources, and overlays of what the proxy itself knows. Out: changed containers by key. A source that cannot be read
keeps its last word; an error is never read as "no containers".
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from proxy.controller.ports import ContainerSource, Overlay
from proxy.core.containers.containers import Container, ProxyContainer, Snapshot
from proxy.core.model.spec_index import Key
from proxy.errors import Problem, SourceError

logger = logging.getLogger(__name__)


class Observation:
    """All containers of all sources."""

    def __init__(self, sources: Sequence[ContainerSource], overlays: Sequence[Overlay] = ()) -> None:
        self._sources = sources
        self._overlays = overlays
        self._containers: dict[str, dict[str, Container]] = {}
        self._proxies: dict[str, ProxyContainer] = {}
        self._problems: dict[str, tuple[Problem, ...]] = {}
        self._failed: dict[str, str] = {}

    def observe(self, *, is_resync: bool) -> Mapping[Key, Container | None]:
        """Read every source and return what has changed, None for what is gone.

        Raises SourceError while no source has ever answered: an empty world is never published.
        """
        changed: dict[Key, Container | None] = {}
        known_sources = frozenset(self._containers)
        for source in self._sources:
            if is_resync:
                source.invalidate()
            try:
                snapshot = source.read_changes()
            except SourceError as error:
                self._note_failure(source.name, str(error))
            else:
                if self._failed.pop(source.name, None):
                    logger.info("source %s: answers again", source.name)
                self._merge(source.name, snapshot, changed)
        if self._sources and not self._containers:
            raise SourceError("; ".join(self._failed.values()))
        return self._lay_over(changed, frozenset(self._containers) - known_sources)

    def proxy(self) -> ProxyContainer | None:
        """The proxy's own container, if a source knows it."""
        return next(iter(self._proxies.values()), None)

    def problems(self) -> Sequence[Problem]:
        """What is wrong with the sources' own input."""
        return [problem for problems in self._problems.values() for problem in problems]

    def _lay_over(self, changed: dict[Key, Container | None], new_sources: frozenset[str]) -> Mapping[Key, Container | None]:
        """Return what has changed, and what an overlay says anew of, with all overlays."""
        for name, container_id in {key for overlay in self._overlays for key in overlay.changed()}:
            if container := self._containers.get(name, {}).get(container_id):
                changed[name, container_id] = container
        laid_over: Mapping[Key, Container | None] = changed
        for overlay in self._overlays:
            laid_over = overlay.lay_over(laid_over, self.proxy(), new_sources)
        return laid_over

    def _note_failure(self, name: str, reason: str) -> None:
        if self._failed.get(name) != reason:
            logger.warning("source %s: %s; what is known stays in force", name, reason)
        self._failed[name] = reason

    def _merge(self, name: str, snapshot: Snapshot, changed: dict[Key, Container | None]) -> None:
        known = self._containers.setdefault(name, {})
        gone = set(snapshot.gone)
        if snapshot.is_complete:
            gone = known.keys() - {container.id for container in snapshot.containers}
        for container in snapshot.containers:
            if known.get(container.id) != container:
                known[container.id] = container
                changed[name, container.id] = container
        for container_id in gone:
            if known.pop(container_id, None):
                changed[name, container_id] = None
        if snapshot.proxy:
            self._proxies[name] = snapshot.proxy
        self._problems[name] = snapshot.problems
