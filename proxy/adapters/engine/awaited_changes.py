"""Changes that events have told and the engine's list has not shown yet: which containers to look at again, and when.

In: events, and the containers as they were listed after them. Out: pauses before the next look. The list is asked again,
because an inspection would wait for the container's lock, which the engine holds for 200 ms and more while it starts or ends
a container. It belongs to the thread that reads.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from proxy.core.containers.containers import Container
from proxy.core.containers.docker_json import EngineEvent
from proxy.core.containers.event_effects import NEW_RUNS, aspect_of, is_shown

FIRST_PAUSE_SECONDS = 0.003
LOOKS = 11
"""How often a container is looked at again: each pause is twice as long as the last one, 6 s in all."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Awaited:
    """The last event of each property of one container, and how often its container was looked at since."""

    events: dict[str, EngineEvent] = field(default_factory=dict)
    looks: int = 0


class AwaitedChanges:
    """By container, what its events have told since the list last agreed with them."""

    def __init__(self) -> None:
        self._awaited: dict[str, _Awaited] = {}

    def note(self, event: EngineEvent) -> None:
        """Expect the list to show what this event tells. To note the same events again in the same order changes nothing."""
        aspect = aspect_of(event)
        if not aspect:
            return
        if event.action in NEW_RUNS:
            self._awaited.pop(event.container_id, None)
        awaited = self._awaited.setdefault(event.container_id, _Awaited())
        awaited.events[aspect], awaited.looks = event, 0

    def find_unshown(self, looked_at: Iterable[str], known: Mapping[str, Container]) -> Iterator[tuple[EngineEvent, float]]:
        """Yield an event for each of these containers that the list shows as before it, and the pause before the next look.

        What is not shown in the end is given up: the engine may have told of it too late.
        """
        for container_id in [key for key in looked_at if key in self._awaited]:
            awaited, listed = self._awaited[container_id], known.get(container_id)
            awaited.events = {key: event for key, event in awaited.events.items() if not is_shown(event, listed)}
            if awaited.events and awaited.looks < LOOKS:
                yield next(iter(awaited.events.values())), FIRST_PAUSE_SECONDS * 2**awaited.looks
                awaited.looks += 1
                continue
            for event in awaited.events.values():
                _log.info("the engine told %r, but its list does not show it; the proxy goes by the list", str(event))
            del self._awaited[container_id]
