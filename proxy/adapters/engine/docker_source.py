"""Containers of one Docker engine: read in one list call, kept up to date by looking again at what events name.

In: Docker's documents (`docker_engine`), parsed by `docker_json`. Out: `Snapshot` and triggers. Events are hints:
the thread in `watch` only passes them on through a queue; `read`, in the caller's thread, owns the view of the engine
and looks at the named containers again, until the list shows what the events tell. Everything is listed on the first read,
after every (re)connect, and after `invalidate`. What such a full look finds, and no event has told, shows that the stream of
events has fallen silent. What a read was to look at stays pending until it has succeeded.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import closing
from dataclasses import replace
from enum import StrEnum
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from proxy.adapters.engine.awaited_changes import AwaitedChanges
from proxy.adapters.engine.delayed_calls import DelayedCalls
from proxy.adapters.engine.docker_view import DockerView, Engine, EventStream, take_as_it_is
from proxy.adapters.engine.repeated_health import RepeatedHealth
from proxy.adapters.engine.stop_questions import StopQuestions
from proxy.adapters.engine.told_events import told_events
from proxy.adapters.engine.untold_changes import GRACE_SECONDS, UntoldChanges, find_changes
from proxy.core.containers.containers import Container, Snapshot
from proxy.core.containers.docker_json import EngineEvent, StopRule
from proxy.core.containers.event_effects import NEW_RUNS
from proxy.core.containers.link_table import ServiceKey
from proxy.core.trigger import Trigger, TriggerKind
from proxy.errors import SourceError

MAX_LOOKS, MAX_LOOKS_SHARE = 32, 1 / 32
"""With more containers to look at again than this, and than this share of all, one list of all is cheaper than a question
for each. A list of ten thousand takes so long that dozens of events come meanwhile: they must be no reason for another."""

ENDS = ("kill", "die", "pause")
"""Events after which a container gets no more traffic. They are urgent: another container may soon have its address, and
requests to a paused one wait."""

CONNECTED = "engine connected"
"""The reason of the trigger after the stream of events was opened: perhaps another engine answers than before."""
LOOK_AGAIN = "look again"
"""The action of an event that no engine has told: its container is only to be looked at again."""

FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.1, 2.0
"""Pauses before the stream of events is opened again; doubled each time."""
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 30.0
"""Pauses before a read that failed is tried again while the stream is open; doubled each time."""

_log = logging.getLogger(__name__)
_UNTOLD = "a full rescan found that %s, but no event said so; the stream of events of the engine at %s is opened again"


class FullLook(StrEnum):
    """Why everything is to be listed."""

    AFTER_GAP = "after gap"
    """Nothing is known, or events may have been missed: the stream has just been opened."""
    ON_REQUEST = "on request"
    """Somebody asked for it. The events should have told of all changes."""


class _Hint(NamedTuple):
    """An event, and when it came (monotonic clock)."""

    event: EngineEvent
    at_seconds: float


class DockerSource:
    """The containers that `engine` runs, less the proxy's own (`own_container_id`). `named` services count as linked.

    With `asks_ahead`, the engine is asked how each container is stopped before it is. `check` is that of `DockerView`, and
    `pass_on` gets other events.
    """

    name = "docker"

    def __init__(
        self,
        engine: Engine,
        own_container_id: str | None,
        named: frozenset[ServiceKey] = frozenset(),
        *,
        asks_ahead: bool = True,
        check: Callable[[Container], Container] = take_as_it_is,
        pass_on: Callable[[Mapping[str, Any]], None] = lambda document: None,
    ) -> None:
        self._engine = engine
        self._view = DockerView(engine, own_container_id, named, check)
        self._hints: SimpleQueue[_Hint | tuple[str, StopRule] | FullLook] = SimpleQueue()
        self._pending: list[_Hint] = []
        self._full_look: FullLook | None = FullLook.AFTER_GAP
        self._stopped = threading.Event()
        self._events: EventStream | None = None
        self._is_reopening = False
        self._put: Callable[[Trigger], None] | None = None
        self._last_event: int | None = None  # seconds, by the engine's clock
        self._later = DelayedCalls()
        self._untold, self._awaited = UntoldChanges(), AwaitedChanges()
        self._stop_questions = StopQuestions(engine, self._take_answer)
        self._asks_ahead, self._pass_on = asks_ahead, pass_on
        self._retry_seconds = FIRST_RETRY_SECONDS

    @property
    def is_connected(self) -> bool:
        """Whether the stream of events is open, as far as is known; for any thread."""
        return self._events is not None

    def read(self) -> Snapshot:
        """Return all containers as they are now; after an exception, the next read makes up for this one."""
        return self._read(is_whole=True)

    def read_changes(self) -> Snapshot:
        """Return what the events have named since the last call; everything where that is not enough.

        Raises `SourceError`. Whatever is raised, the next read makes up for this one.
        """
        return self._read(is_whole=False)

    def _read(self, *, is_whole: bool) -> Snapshot:
        self._take_hints()
        try:
            touched = self._look()
        except SourceError:
            self._ask_again_later()
            raise
        snapshot = self._view.make_snapshot() if is_whole or touched is None else self._view.make_changes(touched)
        # Only now: whatever was raised before, all of it is still to be looked at.
        self._pending.clear()
        self._full_look = None
        self._retry_seconds = FIRST_RETRY_SECONDS
        return snapshot

    def _look(self) -> set[str] | None:
        """Look at what the pending events name and return its ids; None after looking at everything."""
        ids = {hint.event.container_id for hint in self._pending}
        most = max(MAX_LOOKS, len(self._view.known()) * MAX_LOOKS_SHARE)
        is_full = self._full_look is not None or len(ids) > most or self._view.is_proxy_in(ids)
        if is_full:
            # For the retry, should anything fail from here on: it has to return everything, too.
            self._full_look = self._full_look or FullLook.AFTER_GAP
            self._look_at_all(ids)
        for hint in self._pending:
            self._note(hint)
        for container_id in sorted(ids):
            if is_full:
                self._view.mark_end(container_id)
            else:
                self._view.read_one(container_id)
        self._plan_looks(self._view.known().keys() if is_full else ids, ids)
        return None if is_full else ids

    def _look_at_all(self, pending_ids: Set[str]) -> None:
        """List everything. What has changed though no event told is a reason to open the stream of events again."""
        stream, before, started = self._events, self._view.known(), time.monotonic()
        self._view.read_all(pending_ids)
        if stream is None or self._full_look is not FullLook.ON_REQUEST:
            return
        changes = find_changes(before, self._view.known())
        suspected = {key: text for key, text in changes.items() if key not in pending_ids}
        check = partial(self._reopen_if_untold, stream, suspected, started - GRACE_SECONDS)
        if suspected:
            self._later.set("events", time.monotonic() + GRACE_SECONDS, check)

    def _reopen_if_untold(self, stream: EventStream, changes: Mapping[str, str], since: float) -> None:
        """Have the stream opened again if it has not told of these changes by now."""
        untold = self._untold.find_untold(changes, since)
        if not untold or self._events is not stream or not self._untold.may_reopen(time.monotonic()):
            return
        more = f" and {len(untold) - 1} more changes" if len(untold) > 1 else ""
        _log.warning(_UNTOLD, f"{untold[0]}{more}", self._engine.address)
        self._is_reopening = True
        stream.close()

    def _ask_again_later(self) -> None:
        """Have a read that failed tried again. Without a stream that is not needed: the next one begins with a full look."""

        def ask_again() -> None:
            if self._put and self._events:
                self._put(Trigger(reason="the engine did not answer"))

        self._later.set("engine", time.monotonic() + self._retry_seconds, ask_again)
        self._retry_seconds = min(2 * self._retry_seconds, LONGEST_RETRY_SECONDS)

    def invalidate(self) -> None:
        """Make the next read list everything. May be called from any thread."""
        self._hints.put(FullLook.ON_REQUEST)

    def watch(self, put: Callable[[Trigger], None]) -> None:
        """Put a trigger for each event that may matter, until `stop`; a lost engine is tried again for ever."""
        self._put = put
        delay_seconds, is_lost = FIRST_DELAY_SECONDS, False
        while not self._stopped.is_set():
            started, self._is_reopening = time.monotonic(), False
            try:
                with closing(self._engine.open_events(self._last_event)) as events:
                    if is_lost:
                        _log.info("the engine at %s answers again", self._engine.address)
                    is_lost = False
                    self._watch_events(events, put)
            except SourceError as error:
                if not (is_lost or self._is_reopening or self._stopped.is_set()):
                    _log.warning("%s; existing routes keep working, and the proxy tries again", error)
                is_lost = not self._is_reopening
            finally:
                self._events = None
            if time.monotonic() - started > LONGEST_DELAY_SECONDS:
                delay_seconds = FIRST_DELAY_SECONDS
            self._stopped.wait(delay_seconds)
            delay_seconds = min(2 * delay_seconds, LONGEST_DELAY_SECONDS)

    def stop(self) -> None:
        """End `watch`, also while it waits for an event."""
        self._stopped.set()
        self._later.stop()
        self._stop_questions.stop()
        if events := self._events:
            events.close()

    def _watch_events(self, events: EventStream, put: Callable[[Trigger], None]) -> None:
        """Pass on the events of one connection until it ends."""
        # The stream is open: what changes from here on is in it, so listing now leaves no gap.
        self._hints.put(FullLook.AFTER_GAP)
        self._events = events
        if self._stopped.is_set():  # `stop` came before there was a stream to close
            return
        put(Trigger(reason=CONNECTED))
        repeated = RepeatedHealth()
        for event in told_events(events, self._engine.address, self._count_waiting, self._pass_on):
            now = time.monotonic()
            self._untold.note_event(event.container_id, now)
            self._last_event = max(self._last_event or 0, event.time)
            is_wanted = event.has_labels_of_ours or self._view.is_of_interest(event)
            if is_wanted and not repeated.is_in(event):
                self._hints.put(_Hint(event=event, at_seconds=now))
                kind = TriggerKind.URGENT if event.action in ENDS else TriggerKind.LOOK
                put(Trigger(reason=str(event), kind=kind, container_id=event.container_id))

    def _count_waiting(self) -> int:
        return self._hints.qsize() + len(self._pending)

    def _note(self, hint: _Hint) -> None:
        """Take in what an event says by itself. A retry does so again, which changes nothing."""
        event, container_id = hint.event, hint.event.container_id
        self._awaited.note(event)
        self._view.note_event(event, hint.at_seconds)
        if event.action in NEW_RUNS:
            self._later.cancel(f"stop of {container_id}")
            self._stop_questions.cancel(container_id)
        elif event.action == "kill" and not self._view.stopping.knows_rule(container_id):
            self._stop_questions.ask_now(container_id)
        if (change_at := self._view.stopping.next_change(container_id)) is not None:
            look_again = partial(self._look_again, event, reason=f"container {event.name} was told to stop")
            self._later.set(f"stop of {container_id}", change_at, look_again)

    def _plan_looks(self, read_ids: Iterable[str], told_ids: Set[str]) -> None:
        """Ask for what is still unknown of the containers that were read, and look again at those that lag their events."""
        known, stopping = self._view.known(), self._view.stopping
        of_ours = (container for key in read_ids if (container := known.get(key)) and container.may_want_route)
        if self._asks_ahead:
            self._stop_questions.ask_in_turn(container.id for container in of_ours if not stopping.knows_rule(container.id))
        for event, pause_seconds in self._awaited.find_unshown(told_ids, known):
            look_again = partial(self._look_again, event, reason=str(event))
            self._later.set(f"list of {event.container_id}", time.monotonic() + pause_seconds, look_again)

    def _take_answer(self, container_id: str, rule: StopRule, *, is_awaited: bool) -> None:
        """Have the rule taken in by the thread that reads."""
        self._hints.put((container_id, rule))
        if self._put and is_awaited:
            reason = f"the stop signal of container {container_id[:12]} is known"
            self._put(Trigger(reason=reason, kind=TriggerKind.URGENT, container_id=container_id))

    def _look_again(self, event: EngineEvent, reason: str) -> None:
        """Have the container of an event looked at once more."""
        self._hints.put(_Hint(event=replace(event, action=LOOK_AGAIN, network=""), at_seconds=time.monotonic()))
        if self._put:
            kind = TriggerKind.URGENT if event.action in ENDS else TriggerKind.LOOK
            self._put(Trigger(reason=reason, kind=kind, container_id=event.container_id))

    def _take_hints(self) -> None:
        while True:
            try:
                hint = self._hints.get_nowait()
            except Empty:
                return
            if isinstance(hint, _Hint):
                self._pending.append(hint)
                if hint.event.action == "rename":  # others may name their owner or link by it
                    self._full_look = self._full_look or FullLook.ON_REQUEST
            elif isinstance(hint, FullLook):
                self._full_look = self._full_look if self._full_look is FullLook.AFTER_GAP else hint
            elif self._view.stopping.note_rule(*hint):
                event = EngineEvent(action=LOOK_AGAIN, container_id=hint[0], name=hint[0][:12])
                self._pending.append(_Hint(event=event, at_seconds=time.monotonic()))
