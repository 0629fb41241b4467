"""What the managers of a Docker Swarm know beside containers: the labels of services, and which nodes are down.

In: the own engine, where it is a manager, else a manager that a proxy of the cluster offers; events of all of them. Out: the
labels of ours of each service, nodes that are down, triggers. A thread of its own asks; nobody waits for it. Only what
events name is asked for, and everything at each full look. While no manager answers, what they said last stays in force.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from proxy.core.containers.swarm_json import (
    Labels,
    SwarmEvent,
    SwarmKind,
    is_manager,
    parse_down_nodes,
    parse_services,
    parse_swarm_event,
)
from proxy.core.trigger import Trigger
from proxy.errors import SourceError

logger = logging.getLogger(__name__)

MOST_NAMED = 32
"""With more services to ask for than this, asking for all is cheaper."""
START_SECONDS = 10.0
"""How long a start may be held up by managers that do not answer."""
SILENCE_SECONDS = 30.0
"""How long after a start nobody is told that no manager answers."""
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.5, 60.0
"""Pauses while no manager answers; doubled each time."""
TICK_SECONDS, FIRST_TICK_SECONDS = 1.0, 0.1
"""How often it is looked, in such a pause, whether other managers are known by now; the second at a start."""


class SwarmEngine(Protocol):
    """What is asked of an engine. Each call raises `SourceError` when it cannot be asked, or refuses."""

    def read_info(self) -> Mapping[str, Any]: ...
    def list_services(self, ids: Collection[str] = ()) -> Iterable[Mapping[str, Any]]: ...
    def list_nodes(self) -> Iterable[Mapping[str, Any]]: ...


@dataclass(slots=True)
class _Due:
    """What is to be asked for."""

    services: set[str]
    nodes: bool = False
    everything: bool = False

    def __bool__(self) -> bool:
        return bool(self.services or self.nodes or self.everything)


class SwarmManagers:
    """What is known of managers. With `put`, a thread asks from `begin` on; without, the first `want` asks at once."""

    def __init__(self, own: SwarmEngine, put: Callable[[Trigger], None] | None, *, full_look_seconds: float = 60.0) -> None:
        self._own = own
        self._put = put
        self._full_look_seconds = full_look_seconds
        self._others: Callable[[], Sequence[SwarmEngine] | None] = tuple
        self._is_own_manager = False
        self._wanted: SimpleQueue[SwarmEvent] = SimpleQueue()
        self._due = _Due(services=set(), everything=True)
        self._next_full_look = 0.0
        self._known: dict[str, Labels] = {}
        self._news: dict[str, Labels | None] = {}
        self._lock = threading.Lock()
        self._down: frozenset[str] = frozenset()
        self._began = time.monotonic()
        self._is_settled = False
        self._is_awaited = False
        self._has_answered = self._is_answering = False
        self._told_fault = ""

    def ask_also(self, others: Callable[[], Sequence[SwarmEngine] | None]) -> None:
        """Ask the managers of other nodes, too. `others` returns None while it is not known yet who they are."""
        self._others = others

    def begin(self) -> None:
        """Start to ask, and go on for ever."""
        threading.Thread(target=self._ask_for_ever, name="swarm managers", daemon=True).start()

    def note_event(self, document: Mapping[str, Any]) -> None:
        """Take an event of an engine that is not about a container. Any thread may call this."""
        if event := parse_swarm_event(document):
            self._wanted.put(event)

    def want(self, service_ids: Iterable[str]) -> None:
        """Ask for services that are not known yet. `take_news` tells of each of them once, also if it does not exist."""
        self._is_awaited = True
        for service_id in service_ids:
            self._wanted.put(SwarmEvent(kind=SwarmKind.SERVICE, id=service_id))
        if self._put is None and not self._is_settled:
            self._gather(0.0)
            self._look(self._others() or ())
            self._is_settled = True

    def take_news(self) -> Mapping[str, Labels | None]:
        """Return, once, the labels of services that are new or have changed; None for services that do not exist."""
        with self._lock:
            news, self._news = self._news, {}
        return news

    def down_nodes(self) -> frozenset[str]:
        """Return the Swarm's ids of the nodes that are down, as a manager said last."""
        return self._down

    @property
    def is_settled(self) -> bool:
        """Whether the managers have answered, or it is clear that none does."""
        return self._is_settled or time.monotonic() > self._began + START_SECONDS

    @property
    def is_silent(self) -> bool:
        """Whether no manager has answered, and it is not likely that one still will: other proxies may be starting, too."""
        is_early = self._put is not None and time.monotonic() < self._began + SILENCE_SECONDS
        return self.is_settled and not self._has_answered and not is_early

    def _ask_for_ever(self) -> None:
        retry_seconds = FIRST_RETRY_SECONDS
        while True:
            others = self._others()
            try:
                is_done = self._look(others or ()) if self._due else True
            except Exception:
                logger.exception("an error in this program interrupted a question to a manager; it is asked again")
                is_done = False
            if not self._is_settled and (is_done or others is not None):
                self._is_settled = True
                if self._is_awaited:
                    self._tell("it is known what the managers of the Swarm say")
            if is_done:
                retry_seconds = FIRST_RETRY_SECONDS
                self._gather(max(self._next_full_look - time.monotonic(), 0.0))
            else:
                self._wait_for_managers(retry_seconds, others)
                retry_seconds = min(2 * retry_seconds, LONGEST_RETRY_SECONDS)
            self._due.everything |= time.monotonic() >= self._next_full_look

    def _wait_for_managers(self, seconds: float, before: Sequence[SwarmEngine] | None) -> None:
        """Wait until it may help to ask again: after a while, with others than `before`, or with more to ask for.

        Where no container belongs to a Swarm, nobody is asked again.
        """
        if not (self._has_answered or self._is_awaited):
            self._gather(None)
            return
        until = time.monotonic() + seconds
        tick = TICK_SECONDS if self._is_settled else FIRST_TICK_SECONDS
        while self._others() == before and time.monotonic() < until and not self._gather(tick):
            pass

    def _gather(self, seconds: float | None) -> bool:
        """Wait for news for at most `seconds` (None: for ever), take all that has come, and return whether there is any."""
        events: list[SwarmEvent] = []
        with contextlib.suppress(Empty):
            events.append(self._wanted.get(timeout=seconds))
            while True:
                events.append(self._wanted.get_nowait())
        self._due.nodes |= any(event.kind is SwarmKind.NODE for event in events)
        self._due.services |= {event.id for event in events if event.kind is SwarmKind.SERVICE}
        return bool(events)

    def _look(self, others: Sequence[SwarmEngine]) -> bool:
        """Ask one manager after the other for what is due; return whether one has answered."""
        if self._due.everything or not self._is_answering:
            self._is_own_manager = self._ask_own_role()
            self._next_full_look = time.monotonic() + self._full_look_seconds
        fault = ""
        for engine in (self._own, *others) if self._is_own_manager else others:
            try:
                self._ask(engine)
            except SourceError as error:
                fault = fault or str(error)
                continue
            self._due = _Due(services=set())
            if self._told_fault:
                logger.info("a manager of the Swarm answers again")
            self._has_answered, self._is_answering, self._told_fault = True, True, ""
            return True
        if fault and not self._told_fault:
            logger.warning("no manager of the Swarm answers (%s); the labels that are known stay in force", fault)
            self._told_fault = fault
        self._is_answering, self._due.everything = False, True
        return False

    def _ask_own_role(self) -> bool:
        try:
            return is_manager(self._own.read_info())
        except SourceError:
            return False

    def _ask(self, engine: SwarmEngine) -> None:
        due = self._due
        is_whole = due.everything or len(due.services) > MOST_NAMED
        down = parse_down_nodes(engine.list_nodes()) if due.everything or due.nodes else self._down
        services: Mapping[str, Labels] = {}
        if is_whole or due.services:
            services = parse_services(engine.list_services(() if is_whole else sorted(due.services)))
        self._publish(services, (self._known.keys() | due.services if is_whole else due.services) - services.keys())
        if down != self._down:
            self._down = down
            self._tell("the state of a node of the Swarm has changed")

    def _publish(self, services: Mapping[str, Labels], gone: Collection[str]) -> None:
        news: dict[str, Labels | None] = {
            service_id: labels
            for service_id, labels in services.items()
            if self._known.get(service_id) != labels or service_id in self._due.services
        }
        is_of_interest = any(labels != self._known.get(key, {}) for key, labels in news.items())
        self._known |= services
        for service_id in gone:
            self._known.pop(service_id, None)
            news[service_id] = None
        with self._lock:
            self._news |= news
        if is_of_interest:
            self._tell("labels of Swarm services have changed")

    def _tell(self, reason: str) -> None:
        if self._put:
            self._put(Trigger(reason=reason))
