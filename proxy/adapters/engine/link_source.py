"""Linked containers from the proxy's own environment, for a proxy that cannot or must not reach the engine.

In: environment variables. Out: `Snapshot`. The engine writes the variables once, when the proxy's container starts, so
there is nothing to watch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.core.containers.containers import Snapshot
from proxy.core.containers.links import SOURCE_NAME, parse_link_variables
from proxy.core.trigger import Trigger


class LinkSource:
    """The containers that the proxy is linked to, as `environment` says."""

    name = SOURCE_NAME

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._snapshot = Snapshot(containers=parse_link_variables(environment))

    def read(self) -> Snapshot:
        """Return the linked containers; always the same."""
        return self._snapshot

    def read_changes(self) -> Snapshot:
        """Return everything: there is little, and the caller compares."""
        return self.read()

    def invalidate(self) -> None:
        """Do nothing: variables do not change while a process runs."""

    def watch(self, put: Callable[[Trigger], None]) -> None:
        """Return at once: the environment of a running process does not change."""

    def stop(self) -> None:
        """Do nothing, as `watch` does not block."""
