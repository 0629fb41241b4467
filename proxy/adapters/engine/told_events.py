"""The events of one stream, parsed. A stream that is not that of an engine, or floods the proxy, is an error.

In: documents, as they come. Out: events. Whatever was missed, the full look after the next stream is opened makes up for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from proxy.adapters.engine.docker_view import SHAPE_ERRORS
from proxy.core.containers.docker_json import EngineEvent, parse_event
from proxy.core.containers.told_containers import check_event
from proxy.errors import SourceError

MOST_EVENTS, WINDOW_SECONDS = 20_000, 10.0
"""More events in so much time are a flood. A start of 100 containers in a second is 400 events."""
MOST_WAITING = 20_000
"""How many events may wait to be looked at. One full look then costs less than to look at each."""


def told_events(
    documents: Iterable[Mapping[str, Any]],
    address: str,
    count_waiting: Callable[[], int],
    pass_on: Callable[[Mapping[str, Any]], None],
) -> Iterator[EngineEvent]:
    """Yield the events about containers that the engine at `address` tells; `pass_on` gets others. Raises SourceError."""
    since, count = time.monotonic(), 0
    for document in documents:
        now = time.monotonic()
        if now - since > WINDOW_SECONDS:
            since, count = now, 0
        count += 1
        if count > MOST_EVENTS or count_waiting() > MOST_WAITING:
            raise SourceError(f"the engine at {address} tells of more events than can be looked at")
        try:
            event = parse_event(document)
            if event is not None:
                yield check_event(event)
            else:
                pass_on(document)
        except SHAPE_ERRORS as error:
            text = f"the engine at {address} tells of an event in a way that is not understood: {error!r:.200}"
            raise SourceError(text) from error
