"""Containers of one Docker engine: read in one list call, kept up to date by inspecting what events name.

In: Docker's documents (`docker_engine`), parsed by `core/docker_json`. Out: `Snapshot` and triggers. Events are hints:
the thread in `watch` only passes ids on through a queue; `read`, in the caller's thread, owns the view of the engine
and looks at the named containers again. Everything is listed on the first read, after every (re)connect, and after
`invalidate`, which repairs whatever a lost hint left behind.
"""

from __future__ import annotations

import logging
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from proxy.core.containers import Container, ProxyContainer, Snapshot, State
from proxy.core.docker_json import (
    EngineEvent,
    has_foreign_network,
    is_listed,
    network_owner,
    parse_event,
    parse_inspected,
    parse_links,
    parse_listed,
    parse_proxy,
    parse_stop,
)
from proxy.core.schedule import Trigger
from proxy.errors import SourceError

STOP_GRACE_SECONDS = 2.0
"""How long after the engine's own patience a container that was told to stop, and still runs, is taken back."""

MAX_INSPECTIONS = 32
"""With more containers to look at again than this, one list call is cheaper than inspecting each."""

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 10.0

_log = logging.getLogger(__name__)
_OWN_FILE = re.compile(r"/([0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf)$")
_ID = re.compile(r"[0-9a-f]{12}|[0-9a-f]{64}")


class EventStream(Protocol):
    """An open stream of Docker's event documents; `close` ends a read that blocks in another thread."""

    def __iter__(self) -> Iterator[Mapping[str, Any]]: ...
    def close(self) -> None: ...


class Engine(Protocol):
    """What this source asks of an engine. Each call raises `SourceError` when the engine cannot be asked."""

    address: str

    def list_containers(self) -> Sequence[Mapping[str, Any]]: ...
    def inspect_container(self, container: str) -> Mapping[str, Any] | None: ...
    def open_events(self, since: int | None) -> EventStream: ...


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
        self._view = _View(engine, own_container_id)
        self._hints: SimpleQueue[_Hint | None] = SimpleQueue()  # None: look at everything
        self._pending: dict[str, int] = {}  # container id: the signal it was sent, or 0
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
        """Look at what the hints name and return its ids; None after looking at everything."""
        self._take_hints()
        touched: set[str] | None = None
        if self._is_stale or len(self._pending) > MAX_INSPECTIONS or self._view.is_proxy_in(self._pending):
            self._view.read_all()
            looked_at = {key for key, number in self._pending.items() if number}
        else:
            looked_at = touched = set(self._pending)
        for container_id in sorted(looked_at):
            patience = self._view.read_one(container_id, self._pending[container_id])
            if patience:
                self._look_again(container_id, patience)
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
                hint = _Hint(container_id=event.container_id, signal=event.signal)
                self._hints.put(None if event.action == "rename" else hint)
                put(Trigger(reason=str(event), container_id=event.container_id))

    def _look_again(self, container_id: str, seconds: float) -> None:
        """Have a container that was told to stop looked at once more: one that lives on is taken back."""

        def hint() -> None:
            self._hints.put(_Hint(container_id=container_id))
            if self._put:
                self._put(Trigger(reason=f"container {container_id[:12]} was told to stop", container_id=container_id))

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
                self._pending[hint.container_id] = hint.signal or self._pending.get(hint.container_id, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hint:
    """A container to look at again, and the signal that it was sent, 0 for none."""

    container_id: str
    signal: int = 0


class _View:
    """The containers as they were last seen. A failed read leaves it as it was."""

    def __init__(self, engine: Engine, own_container_id: str | None) -> None:
        self._engine = engine
        self._own_container_id = own_container_id
        self._proxy: ProxyContainer | None = None
        self._links: Mapping[str, str] = {}
        self._containers: dict[str, Container] = {}
        self._borrowers: dict[str, set[str]] = {}
        # By id alone: environment and exposed ports of a container never change.
        self._inspected: dict[str, Container] = {}
        self._stopping: dict[str, float] = {}  # container id: when it is taken back, if it still runs

    def is_of_interest(self, event: EngineEvent) -> bool:
        """Say whether a container matters though it has no label of ours. May be called from any thread."""
        own_id = self._proxy.id if self._proxy else None
        return (
            event.container_id == own_id
            or event.container_id in self._borrowers
            or any(target in self._links for target in (event.name, event.container_id, event.container_id[:12]))
        )

    def is_proxy_in(self, container_ids: Iterable[str]) -> bool:
        """Say whether the proxy's own container is among them; a change of its networks or links concerns all."""
        return self._proxy is not None and self._proxy.id in set(container_ids)

    def read_all(self) -> None:
        """List every container, and inspect those of which the list does not say enough."""
        own = self._engine.inspect_container(self._own_container_id) if self._own_container_id else None
        links = parse_links(own) if own else {}
        listed = [parse_listed(entry) for entry in self._engine.list_containers()]
        self._containers = {container.id: self._mark_stopping(self._complete(container, links)) for container in listed}
        self._stopping = {key: until for key, until in self._stopping.items() if key in self._containers}
        self._borrowers = {}
        for container in listed:
            self._note_owner(container)
        self._inspected = {key: value for key, value in self._inspected.items() if key in self._containers}
        self._links = links
        self._proxy = parse_proxy(own) if own else None

    def read_one(self, container_id: str, signal_sent: int = 0) -> float:
        """Inspect one container; forget it when it has ended.

        Returns, for one that was just sent the signal that stops it, in how many seconds it should have ended; else 0.
        """
        document = self._engine.inspect_container(container_id)
        if document is None or not is_listed(document):
            for known in (self._containers, self._inspected, self._stopping):
                known.pop(container_id, None)
            return 0.0
        stop_signal, stop_seconds = parse_stop(document)
        patience = stop_seconds + STOP_GRACE_SECONDS if signal_sent in (stop_signal, signal.SIGKILL) else 0.0
        if patience:
            self._stopping[container_id] = time.monotonic() + patience
        container = parse_inspected(document)
        if has_foreign_network(container) or _alias_of(container, self._links):
            self._inspected[container_id] = container
        self._containers[container_id] = self._mark_stopping(self._complete(container, self._links))
        self._note_owner(container)
        return patience

    def _mark_stopping(self, container: Container) -> Container:
        until = self._stopping.get(container.id)
        if until is None or container.state is not State.RUNNING:
            return container
        if time.monotonic() >= until:
            del self._stopping[container.id]
            return container
        return replace(container, state=State.STOPPING)

    def make_snapshot(self) -> Snapshot:
        """Return all containers but the proxy's own, those that borrow a network with the networks of its owner."""
        return Snapshot(containers=self._containers_of(self._containers), proxy=self._make_proxy())

    def make_changes(self, touched: set[str]) -> Snapshot:
        """Return only these containers, and those that borrow the network of one of them."""
        borrowers = {key for owner in touched for key in self._borrowers.get(owner, ())}
        ids = touched | borrowers
        return Snapshot(
            containers=self._containers_of(ids & self._containers.keys()),
            gone=tuple(sorted(ids - self._containers.keys())),
            proxy=self._make_proxy(),
            is_complete=False,
        )

    def _containers_of(self, ids: Iterable[str]) -> tuple[Container, ...]:
        own_id = self._proxy.id if self._proxy else None
        return tuple(self._with_networks(self._containers[key]) for key in sorted(ids) if key != own_id)

    def _make_proxy(self) -> ProxyContainer | None:
        proxy = self._proxy
        if proxy and (owner := self._owner_of(proxy.network_mode)):
            return replace(proxy, networks=owner.networks, network_mode=owner.network_mode)
        return proxy

    def _complete(self, container: Container, links: Mapping[str, str]) -> Container:
        """Add what only an inspection tells: the environment of a linked container, the ports of a foreign network."""
        alias = _alias_of(container, links)
        if not alias and not has_foreign_network(container):
            return replace(container, environment={}) if container.environment else container
        if container.id not in self._inspected:
            document = self._engine.inspect_container(container.id)
            if document is None:  # it ended since it was listed; its event is on the way
                return container
            self._inspected[container.id] = parse_inspected(document)
        inspected = self._inspected[container.id]
        ports = inspected.ports if has_foreign_network(container) else container.ports
        return replace(container, alias=alias, ports=ports, environment=inspected.environment if alias else {})

    def _with_networks(self, container: Container) -> Container:
        owner = self._owner_of(container.network_mode)
        return replace(container, networks=owner.networks, network_mode=owner.network_mode) if owner else container

    def _note_owner(self, container: Container) -> None:
        if owner := network_owner(container.network_mode):
            self._borrowers.setdefault(owner, set()).add(container.id)

    def _owner_of(self, network_mode: str) -> Container | None:
        owner = network_owner(network_mode)
        if owner is None:
            return None
        # The engine writes the id, even where the user gave a name.
        return self._containers.get(owner) or next(
            (container for container in self._containers.values() if container.name == owner), None
        )


def _alias_of(container: Container, links: Mapping[str, str]) -> str:
    """Return the alias under which the proxy links to the container, by its name or a (short) id; else nothing."""
    for target in (container.name, container.id, container.id[:12]):
        if target in links:
            return links[target]
    return ""


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
