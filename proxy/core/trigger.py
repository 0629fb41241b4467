"""A hint that something may have changed: what sources, watchers and signals put into the queue of the loop."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TriggerKind(StrEnum):
    """What a trigger asks for."""

    LOOK = "look"
    """Something may have changed: look again."""
    URGENT = "urgent"
    """Look almost at once: a server that was waited for accepts connections, or one that has them is about to end."""
    FILES = "files"
    """A file besides the sources' own may have changed: look at files, too."""
    HAPROXY = "haproxy"
    """HAProxy was started: compare what it has with the model."""
    RELOAD = "reload"
    """The user asked for a reload, whether or not anything changed."""
    STOP = "stop"
    """End the loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A hint that something may have changed; `reason` is a phrase for the log ("container shop-web-1: start")."""

    reason: str
    kind: TriggerKind = TriggerKind.LOOK
    container_id: str = ""
