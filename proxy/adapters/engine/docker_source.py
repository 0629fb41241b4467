"""Containers of one Docker engine: read in one list call, kept up to date by inspecting what events name.

In: Docker's documents (`docker_engine`), parsed by `docker_json`. Out: `Snapshot` and triggers. Events are hints:
the thread in `watch` only passes ids on through a queue; `read`, in the caller's thread, owns the view of the engine
and looks at the named containers again. Everything is listed on the first read, after every (re)connect, and after
`invalidate`, which repairs whatever a lost hint left behind.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from queue import Empty, SimpleQueue

from proxy.adapters.engine.docker_view import DockerView, Engine, EventStream
from proxy.core.containers.containers import Snapshot
from proxy.core.containers.docker_json import (
    EngineEvent,
    parse_event,
)
from proxy.core.trigger import Trigger, TriggerKind
from proxy.errors import SourceError

MAX_LOOKS = 32
"""With more containers to look at again than this, listing all in one call is cheaper than asking for each."""

ENDS = ("kill", "die")
"""Events after which a container gets no more traffic: at once, for its address may soon be another one's."""

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 10.0

_log = logging.getLogger(__name__)
_OWN_FILE = re.compile(r"/([0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf)$")
_ID = re.compile(r"[0-9a-f]{12}|[0-9a-f]{64}")


def find_own_container_id(mountinfo_text: str, hostname: str) -> str | None:
    """Return the id of the container this process runs in, or None outside of any.

    The engine mounts three files of its folder for the container over /etc; `mountinfo_text` (/proc/self/mountinfo, see
    proc(5)) shows that folder. Failing that, an engine's default host name is the short id.
    """
    for line in mountinfo_text.splitlines():
        fields = line.split()
        # Only those mounts: a host shows the folders of all its containers in other mounts.
        if len(fields) > 4 and fields[4] in ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf"):
            match = _OWN_FILE.search(fields[3])
            if match:
                return match[1]
    return hostname if _ID.fullmatch(hostname) else None


class DockerSource:
    """The containers that `engine` runs, less the one the proxy itself runs in (`own_container_id`)."""

    name = "docker"

    def __init__(self, engine: Engine, own_container_id: str | None) -> None:
        self._engine = engine
        self._view = DockerView(engine, own_container_id)
        self._hints: SimpleQueue[EngineEvent | None] = SimpleQueue()  # None: look at everything
        self._pending: list[EngineEvent] = []
        self._is_stale = True
        self._stopped = threading.Event()
        self._events: EventStream | None = None
        self._put: Callable[[Trigger], None] | None = None
        self._last_event: int | None = None  # seconds, by the engine's clock

    def read(self) -> Snapshot:
        """Return all containers as they are now; after `SourceError`, the next read makes good what this one missed."""
        self._refresh()
        return self._view.make_snapshot()

    def read_changes(self) -> Snapshot:
        """Return what the events have named since the last call; everything where that is not enough.

        Raises `SourceError`; the next read makes good what this one missed.
        """
        touched = self._refresh()
        return self._view.make_snapshot() if touched is None else self._view.make_changes(touched)

    def _refresh(self) -> set[str] | None:
        """Look at what the events name and return its ids; None after looking at everything."""
        self._take_hints()
        ids = {event.container_id for event in self._pending}
        touched: set[str] | None = None
        if self._is_stale or len(ids) > MAX_LOOKS or self._view.is_proxy_in(ids):
            self._view.read_all()
            ids = {event.container_id for event in self._pending if event.action in ENDS}
        else:
            touched = ids
        for event in self._pending:
            patience = self._view.note_event(event)
            if patience:
                self._look_again(event, patience)
        for container_id in sorted(ids):
            self._view.read_one(container_id)
        self._pending.clear()
        self._is_stale = False
        return touched

    def invalidate(self) -> None:
        """Make the next read list everything. May be called from any thread."""
        self._hints.put(None)

    def watch(self, put: Callable[[Trigger], None]) -> None:
        """Put a trigger for each event that may matter, until `stop`; a lost engine is tried again for ever."""
        self._put = put
        delay_seconds, is_lost = FIRST_DELAY_SECONDS, False
        while not self._stopped.is_set():
            started = time.monotonic()
            try:
                with closing(self._engine.open_events(self._last_event)) as events:
                    if is_lost:
                        _log.info("engine at %s is back", self._engine.address)
                    is_lost = False
                    self._watch_events(events, put)
            except SourceError as error:
                if not is_lost and not self._stopped.is_set():
                    _log.warning("%s; the last known containers stay in force, trying again", error)
                is_lost = True
            if time.monotonic() - started > LONGEST_DELAY_SECONDS:
                delay_seconds = FIRST_DELAY_SECONDS
            self._stopped.wait(delay_seconds)
            delay_seconds = min(2 * delay_seconds, LONGEST_DELAY_SECONDS)

    def stop(self) -> None:
        """End `watch`, also while it waits for an event."""
        self._stopped.set()
        if events := self._events:
            events.close()

    def _watch_events(self, events: EventStream, put: Callable[[Trigger], None]) -> None:
        """Pass on the events of one connection until it ends."""
        self._events = events
        if self._stopped.is_set():  # `stop` came before there was a stream to close
            return
        # The stream is open: what changes from here on is in it, so listing now leaves no gap.
        self.invalidate()
        put(Trigger(reason="engine connected"))
        healths: dict[str, str] = {}
        for document in events:
            event = parse_event(document)
            if event is None:
                continue
            self._last_event = max(self._last_event or 0, event.time)
            if not event.has_labels_of_ours and not self._view.is_of_interest(event):
                continue
            if not _repeats_health(event, healths):
                self._hints.put(None if event.action == "rename" else event)
                kind = TriggerKind.URGENT if event.action in ENDS else TriggerKind.LOOK
                put(Trigger(reason=str(event), kind=kind, container_id=event.container_id))

    def _look_again(self, event: EngineEvent, seconds: float) -> None:
        """Have a container that was told to stop looked at once more: one that lives on is taken back."""

        def hint() -> None:
            self._hints.put(replace(event, action="look again"))
            if self._put:
                self._put(Trigger(reason=f"container {event.name} was told to stop", container_id=event.container_id))

        timer = threading.Timer(seconds, hint)
        timer.daemon = True
        timer.start()

    def _take_hints(self) -> None:
        while True:
            try:
                hint = self._hints.get_nowait()
            except Empty:
                return
            if hint is None:
                self._is_stale = True
            else:
                self._pending.append(hint)


def _repeats_health(event: EngineEvent, healths: dict[str, str]) -> bool:
    """Say whether the event reports a health already reported: some engines tell the result of every check."""
    if event.action != "health_status":
        if event.action in ("die", "destroy"):
            healths.pop(event.container_id, None)
        return False
    if healths.get(event.container_id) == event.detail:
        return True
    healths[event.container_id] = event.detail
    return False
