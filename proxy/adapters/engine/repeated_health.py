"""Health that an engine has told already: some engines tell the result of every check."""

from __future__ import annotations

from proxy.core.containers.docker_json import EngineEvent

MOST_CONTAINERS = 50_000
"""Of how many containers a health is remembered. No engine runs so many."""


class RepeatedHealth:
    """By container, the health that the events of one stream have told last."""

    def __init__(self) -> None:
        self._healths: dict[str, str] = {}

    def is_in(self, event: EngineEvent) -> bool:
        """Say whether the event tells a health that is known already, and remember what it tells."""
        if event.action != "health_status":
            if event.action in ("die", "destroy"):
                self._healths.pop(event.container_id, None)
            return False
        if self._healths.get(event.container_id) == event.detail:
            return True
        if len(self._healths) >= MOST_CONTAINERS:
            self._healths.clear()
        self._healths[event.container_id] = event.detail
        return False
