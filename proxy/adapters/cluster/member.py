"""One other proxy of the cluster, and the containers of its engine, kept up to date in threads of their own.

In: its address. Out: changed containers, for whoever asks, and its status. Nobody else waits for it: the network to another
node may hang. A member that cannot be asked keeps its last word.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum
from queue import Empty, SimpleQueue
from typing import Any

from proxy.adapters.cluster.peer import Address, PeerClient, PeerContext, Told, make_engine
from proxy.adapters.engine.docker_source import CONNECTED, DockerSource
from proxy.core.containers.containers import CLUSTER, Container, Snapshot
from proxy.core.containers.link_table import ServiceKey
from proxy.core.containers.node_state import NodeState
from proxy.core.containers.told_containers import check_container
from proxy.core.trigger import Trigger, TriggerKind
from proxy.errors import SourceError

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
"""Pauses before a member that does not answer is asked again; doubled each time."""
MEET_PAUSE_SECONDS = 1.0
"""Pause before a member whose stream of events is open, but that could not be asked who it is, is asked again."""
ANSWER_SECONDS = 5.0
"""How long a member may take to answer for the first time before it counts as lost."""
SELF_SECONDS = 30.0
"""How often an address that is this proxy's own is asked again whether it still is."""
LARGEST_OFFSET_SECONDS = 2.0
"""Clocks that differ by less count as equal, and a difference that is known changes only by more. It is measured to a second
or two, and a container's age must not change with each measurement."""


class Status(StrEnum):
    """How it stands with a member."""

    NEW = "has not answered yet"
    SELF = "is this proxy"
    FOLLOWED = "is followed"
    LOST = "cannot be reached"


class Member:
    """The proxy at `address`. Its threads run from `start` to `stop`. `put` gets a trigger for each news.

    `is_own` tells whether a proxy that answers is this one itself, by its instance. `pass_on` gets the events of its engine
    that are not about containers. `clock` is monotonic.
    """

    def __init__(
        self,
        address: Address,
        context: PeerContext,
        named: frozenset[ServiceKey],
        is_own: Callable[[str], bool],
        put: Callable[[Trigger], None],
        *,
        pass_on: Callable[[Mapping[str, Any]], None] = lambda document: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = address
        self.client = PeerClient(address, context)
        self.told: Told | None = None
        self.status = Status.NEW
        self.revision = 0
        """It grows with each change of `status` and `told`."""
        self.fault = ""
        self.lost_at: float | None = None
        """Since when it cannot be reached, by `clock`."""
        self.has_news = False
        """Whether `take` returns anything."""
        self.looked_at: float | None = None
        """When everything was listed last, by the monotonic clock."""
        self.look_seconds = 0.0
        """How much processor time that took."""
        self.engine = make_engine(address, context)
        self._source = DockerSource(self.engine, None, named, asks_ahead=False, pass_on=pass_on, check=check_container)
        self._is_own = is_own
        self._put = put
        self._hints: SimpleQueue[Trigger | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._changes: dict[str, Container | None] = {}
        self._known: dict[str, Container] = {}
        self._stopped = threading.Event()
        self._clock = clock
        self._since = clock()
        self._clock_offset = 0.0

    def start(self) -> None:
        """Ask it for its state, then follow its engine."""
        threading.Thread(target=self._run, name=f"member {self.address}", daemon=True).start()

    def stop(self) -> None:
        """End its threads. Nothing more comes from it."""
        self._stopped.set()
        self._source.stop()
        self._hints.put(None)

    def look_again(self) -> None:
        """Have everything listed again."""
        self._source.invalidate()
        self._hints.put(Trigger(reason="resync"))

    def take(self) -> Mapping[str, Container | None]:
        """Return, once, what has changed, by id; None for containers that are gone."""
        with self._lock:
            changes, self._changes, self.has_news = self._changes, {}, False
        return changes

    def look_once(self) -> None:
        """Ask for everything in this thread. What goes wrong becomes the status."""
        try:
            self._meet()
            if self.status is not Status.SELF:
                self._take_in(self._source.read())
                self._note_found()
        except SourceError as error:
            self._note_lost(str(error))

    def hear(self) -> NodeState:
        """Ask what it tells of itself now. Raises SourceError."""
        before, told = self.told, self.client.read_state()
        self._learn(told)
        if before and before.state.node != told.state.node:
            self.look_again()
        return told.state

    def note_connection(self) -> None:
        """Note whether the stream of events is still open."""
        is_late = self.status is Status.NEW and self._clock() > self._since + ANSWER_SECONDS
        if (self.status is Status.FOLLOWED or is_late) and not self._source.is_connected:
            self._note_lost(f"the proxy at {self.address} does not tell what its engine runs")

    def count(self) -> int:
        """Return how many containers it has told of that ask for something."""
        return sum(1 for container in [*self._known.values()] if container.labels)

    @property
    def is_manager(self) -> bool:
        """Whether its node is a manager of a Swarm, and can be asked."""
        return self.status is Status.FOLLOWED and self.told is not None and self.told.state.is_manager

    def is_lost_on(self, nodes: Collection[str]) -> bool:
        """Say whether it cannot be reached, and its node is one of these."""
        return self.status is Status.LOST and self.told is not None and self.told.state.node.id in nodes

    def is_superseded(self, others: Iterable[Member]) -> bool:
        """Say whether another proxy, which can be reached, tells of the same node by now."""
        if self.status is not Status.LOST or self.told is None:
            return False
        node = self.told.state.node.id
        return any(one.status is Status.FOLLOWED and one.told and one.told.state.node.id == node for one in others)

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopped.is_set():
            try:
                self._meet()
            except SourceError as error:
                self._note_lost(str(error))
                self._put_news(TriggerKind.LOOK, f"{error}")
            else:
                if self.status is not Status.SELF:
                    break
            self._stopped.wait(SELF_SECONDS if self.status is Status.SELF else pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        if self._stopped.is_set():
            return
        watch, put = self._source.watch, self._hints.put
        threading.Thread(target=watch, args=(put,), name=f"events {self.address}", daemon=True).start()
        self._follow()

    def _meet(self) -> None:
        """Ask who it is."""
        self._learn(self.client.read_state())

    def _learn(self, told: Told) -> None:
        """Take in who it is: its address may be another proxy's by now, or this one's."""
        self.told, self.revision = told, self.revision + 1
        if abs(told.clock_offset - self._clock_offset) > LARGEST_OFFSET_SECONDS:
            self._clock_offset = told.clock_offset
        is_own, was_own = self._is_own(told.state.instance), self.status is Status.SELF
        if is_own and not was_own:
            self._set_status(Status.SELF)
            self._put_news(TriggerKind.LOOK, f"{self.address} is this proxy")
        elif was_own and not is_own:
            self._set_status(Status.NEW)
            self._since = self._clock()

    def _follow(self) -> None:
        """Read whenever the stream of events says so."""
        has_met = True  # for the first stream
        while (hint := self._hints.get()) and not self._stopped.is_set():
            urgency, reason, container_id, is_new = hint.kind, hint.reason, hint.container_id, hint.reason == CONNECTED
            while True:  # what has come meanwhile is read together
                try:
                    more = self._hints.get_nowait()
                except Empty:
                    break
                if more is None:
                    return
                urgency = TriggerKind.URGENT if TriggerKind.URGENT in (urgency, more.kind) else urgency
                is_new |= more.reason == CONNECTED
            self._read(urgency, reason, container_id, is_new=is_new and not has_met)
            has_met &= not is_new

    def _read(self, kind: TriggerKind, reason: str, container_id: str, *, is_new: bool) -> None:
        try:
            if is_new:  # the address may be another proxy's by now
                self._meet()
            snapshot = Snapshot() if self.status is Status.SELF else self._look()
        except SourceError as error:
            self._note_lost(str(error))
            self._put_news(TriggerKind.LOOK, str(error))
            if is_new and self._source.is_connected and not self._stopped.wait(MEET_PAUSE_SECONDS):
                self._hints.put(Trigger(reason=CONNECTED))  # else nothing would be read before the next full rescan
            return
        is_back = self.status in (Status.NEW, Status.LOST)
        has_changed = self._take_in(snapshot)  # first: who takes its status for its word finds its containers, too
        if self.status is not Status.SELF:
            self._note_found()
        if has_changed or is_back:
            self._put_news(kind, reason, container_id)

    def _look(self) -> Snapshot:
        started = time.thread_time()
        snapshot = self._source.read_changes()
        if snapshot.is_complete:
            self.looked_at, self.look_seconds = time.monotonic(), time.thread_time() - started
        return snapshot

    def _take_in(self, snapshot: Snapshot) -> bool:
        """Keep what differs from before, with the node; return whether anything does."""
        changes: dict[str, Container | None] = {}
        gone = set(snapshot.gone)
        if snapshot.is_complete:
            gone = self._known.keys() - {container.id for container in snapshot.containers}
        for container in map(self._place, snapshot.containers):
            if self._known.get(container.id) != container:
                changes[container.id] = self._known[container.id] = container
        changes |= {key: None for key in gone if self._known.pop(key, None)}
        with self._lock:
            self._changes |= changes
            self.has_news = bool(self._changes)
        return bool(changes)

    def _place(self, container: Container) -> Container:
        """Return the container with its node, and with its age by this machine's clock."""
        if self.told is None:
            return container
        node = self.told.state.node
        node = node if node.address else dataclasses.replace(node, address=self.address.host)
        created = container.created - round(self._clock_offset)
        return dataclasses.replace(container, source=CLUSTER, node=node, created=created)

    def _set_status(self, status: Status) -> None:
        """Set a status in which nothing is wrong."""
        if status is not self.status:
            self.revision += 1
        self.status, self.fault, self.lost_at = status, "", None

    def _note_found(self) -> None:
        if self.status is Status.LOST:
            logger.info("the proxy at %s answers again", self.address)
        self._set_status(Status.FOLLOWED)

    def _note_lost(self, fault: str) -> None:
        if self.status is Status.SELF:  # its own HAProxy starts, or stops
            return
        if self.status is not Status.LOST:
            self.lost_at = self._clock()
            logger.warning("%s; what it said last stays in force, and it is asked again and again", fault)
            self.status, self.revision = Status.LOST, self.revision + 1
        self.fault = fault

    def _put_news(self, kind: TriggerKind, reason: str, container_id: str = "") -> None:
        name = self.told.state.node.name if self.told else str(self.address)
        self._put(Trigger(reason=f"node {name}: {reason}", kind=kind, container_id=container_id))
