"""The real engine as a proxy sees it: that of its own node, or of another one."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.adapters.engine.docker_engine import DockerEngine
from proxy.adapters.engine.docker_source import DockerSource


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEngine:
    """`engine` answers questions; `is_own` says that they go to its socket, and not to another proxy."""

    engine: DockerEngine
    is_own: bool

    def source(self) -> DockerSource:
        """Return a source as the proxy makes it."""
        return DockerSource(self.engine, None, asks_ahead=self.is_own)
