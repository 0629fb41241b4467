"""What the sources say, merged: which containers have changed since the last look.

In: sources, and overlays of what the proxy itself knows. Out: changed containers by key. While a source cannot be read,
what it said last stays in force; an error is never read as "no containers". What a source or an overlay has told is kept
until the caller says that it has taken it in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from proxy.controller.ports import ContainerSource, Overlay
from proxy.core.containers.containers import CLUSTER, OWN_ENGINE, Container, ProxyContainer, Snapshot
from proxy.core.model.spec_index import Key
from proxy.errors import Problem, SourceError

logger = logging.getLogger(__name__)


class Observation:
    """All containers of all sources.

    `notes` tells of settings without effect. `needs_all` tells whether the first look counts only when every source has
    answered. A proxy that serves its last good state would drop the routes of a source that is slower than the others.
    """

    def __init__(
        self,
        sources: Sequence[ContainerSource],
        overlays: Sequence[Overlay] = (),
        *,
        needs_all: Callable[[], bool] = lambda: False,
        notes: Callable[[], Sequence[Problem]] = tuple,
    ) -> None:
        self._sources = sources
        self._overlays = overlays
        self._needs_all = needs_all
        self.notes = notes
        self._has_begun = False
        self._containers: dict[str, dict[str, Container]] = {}
        self._proxies: dict[str, ProxyContainer] = {}
        self._problems: dict[str, tuple[Problem, ...]] = {}
        self._failed: dict[str, str] = {}
        self._untaken: dict[Key, Container | None] = {}
        self._new_sources: set[str] = set()

    def observe(self, *, is_resync: bool) -> Mapping[Key, Container | None]:
        """Read every source and return all changes that have not been taken in yet, None for what is gone.

        Whatever is raised, the next call returns what this one has read. Raises SourceError while no source has ever
        answered, or not all of them where all are needed, or while an overlay waits: an empty world is never published.
        """
        for source in self._sources:
            if is_resync:
                source.invalidate()
            try:
                snapshot = source.read_changes()
            except SourceError as error:
                self._note_failure(source.name, str(error))
            else:
                if self._failed.pop(source.name, None):
                    logger.info("source %s answers again", source.name)
                self._merge(source.name, snapshot)
        has_all = len(self._containers) == len(self._sources)
        if not has_all and not (self._containers and (self._has_begun or not self._needs_all())):
            raise SourceError("; ".join(self._failed.values()))
        self._has_begun = True
        return self._lay_over()

    def taken(self) -> None:
        """Forget the changes that `observe` has returned: the caller has taken them in."""
        self._untaken.clear()
        self._new_sources.clear()

    def proxy(self) -> ProxyContainer | None:
        """The proxy's own container, if a source knows it."""
        return next(iter(self._proxies.values()), None)

    def problems(self) -> Sequence[Problem]:
        """What is wrong with the sources' own input."""
        return [problem for problems in self._problems.values() for problem in problems]

    def _lay_over(self) -> Mapping[Key, Container | None]:
        """Return what has changed, and what an overlay has news of, with all overlays."""
        for overlay in self._overlays:
            for name, container_id in overlay.changed():
                if container := self._containers.get(name, {}).get(container_id):
                    self._note(name, container_id, container)
        laid_over: Mapping[Key, Container | None] = dict(self._untaken)
        for overlay in self._overlays:
            laid_over = overlay.lay_over(laid_over, self.proxy(), frozenset(self._new_sources))
        return laid_over

    def _note_failure(self, name: str, reason: str) -> None:
        if self._failed.get(name) != reason:
            logger.warning("source %s: %s; what it said last stays in force", name, reason)
        self._failed[name] = reason

    def _merge(self, name: str, snapshot: Snapshot) -> None:
        if name not in self._containers:
            self._new_sources.add(name)
        known = self._containers.setdefault(name, {})
        gone = set(snapshot.gone)
        if snapshot.is_complete:
            gone = known.keys() - {container.id for container in snapshot.containers}
        for container in snapshot.containers:
            if known.get(container.id) != container:
                known[container.id] = container
                self._note(name, container.id, container)
        for container_id in gone:
            if known.pop(container_id, None):
                self._note(name, container_id, None)
        if snapshot.proxy:
            self._proxies[name] = snapshot.proxy
        self._problems[name] = snapshot.problems

    def _note(self, name: str, container_id: str, container: Container | None) -> None:
        """Note a change. Where another node's proxy tells of the own engine, too, the engine has the word."""
        if name == CLUSTER and container_id in self._containers.get(OWN_ENGINE, {}):
            return
        self._untaken[name, container_id] = container
        others = self._containers.get(CLUSTER, {}) if name == OWN_ENGINE else {}
        if container_id in others:
            self._untaken[CLUSTER, container_id] = others[container_id] if container is None else None
