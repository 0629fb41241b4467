"""What an event says of a container by itself, compared with what the engine's list shows of it.

In: an event, and a container as it was listed. Out: whether the list already contains what the event tells. An engine may
tell of a change before its list shows it: Docker tells of a pause, and of networks that are connected or disconnected, 2 to
10 ms before, and longer where the disk is slow [measured: 20.10].
"""

from __future__ import annotations

from proxy.core.containers.containers import Container, Health, State
from proxy.core.containers.docker_json import EngineEvent

NEW_RUNS = frozenset({"start", "die", "destroy"})
"""Events that begin or end a run of a container. What earlier events have told of it no longer matters."""


def aspect_of(event: EngineEvent) -> str:
    """Return which property of its container the event tells; a later event of the same property replaces it.

    Empty where the list shows nothing of it ("kill", "update").
    """
    if event.action in NEW_RUNS or event.action in ("pause", "unpause"):
        return "state"
    if event.network:
        return f"network {event.network}"
    if event.action == "rename" or (event.action == "health_status" and event.detail in set(Health)):
        return event.action
    return ""


def is_shown(event: EngineEvent, listed: Container | None) -> bool:
    """Say whether the list shows what the event tells. `listed` is None for a container that does not run."""
    if listed is None:
        return event.action != "start"
    match event.action:
        case "die" | "destroy":
            return False
        case "pause":
            return listed.state is State.PAUSED
        case "unpause":
            return listed.state is not State.PAUSED
        case "connect" | "disconnect":
            is_attached = event.network in (attachment.network for attachment in listed.networks)
            return is_attached == (event.action == "connect")
        case "rename":
            return listed.name == event.name
        case "health_status":  # a paused container is listed without its health
            return listed.state is State.PAUSED or listed.health == event.detail
        case _:
            return True
