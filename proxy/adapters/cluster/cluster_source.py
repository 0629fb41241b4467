"""The containers of all other nodes of a cluster: one member for each other proxy, and what they say, merged.

In: the names or addresses of the others, asked for again every second. Out: `Snapshot`, triggers, problems. Rules: a
container is told once, however many proxies report it; a member that cannot be reached keeps its last word, until its
address is gone from the DNS for a while or another proxy tells of the same node; nobody waits for another node.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from proxy.adapters.cluster.member import Member, Status
from proxy.adapters.cluster.offer import NodeOffer
from proxy.adapters.cluster.own_node import OwnNode
from proxy.adapters.cluster.peer import Address
from proxy.adapters.cluster.peer_addresses import PeerAddresses
from proxy.core.containers.containers import CLUSTER, Container, Snapshot
from proxy.core.trigger import Trigger, TriggerKind
from proxy.errors import THE_PROXY, Problem, SourceError

logger = logging.getLogger(__name__)

RESOLVE_SECONDS = 1.0
"""How often names are resolved again: a proxy that joins or leaves a Swarm is in its DNS at once."""
FORGET_SECONDS = 60.0
"""How long a member that is gone from the DNS may be unreachable until its containers are forgotten."""
START_SECONDS = 5.0
"""How long the first look waits for all members to answer, or to fail."""
SELF_SECONDS = 30.0
"""How often an address that is this proxy's own is asked again whether it still is."""
MOST_AT_ONCE = 16
_SETTING = "PROXY_CLUSTER"

MakeMember = Callable[[Address, Callable[[Trigger], None]], Member]


class ClusterSource:
    """All members. The deciding thread calls `read_changes`, and nothing in it waits. `watch` runs the rest."""

    name = CLUSTER

    def __init__(self, addresses: PeerAddresses, own: OwnNode, offer: NodeOffer, make: MakeMember) -> None:
        self._addresses = addresses
        self._own = own
        self._offer = offer
        self._make = make
        self._members: dict[Address, Member] = {}
        self._leaving: dict[Address, Member] = {}
        self._reports: dict[str, dict[Address, Container]] = {}
        self._told: dict[str, Container] = {}
        self._dropped: list[Member] = []
        self._lock = threading.RLock()
        self._began = time.monotonic()
        self._has_begun = False
        self._put: Callable[[Trigger], None] | None = None
        self._stopped = threading.Event()
        self._fault = ""
        self._has_other_key = False
        """Whether HAProxy may still run with the CA of an earlier key: it started before this program did."""

    def prepare(self) -> bool:
        """Bring this proxy's own offer up to date. Return whether HAProxy's section has changed.

        Raises SourceError where that cannot be done.
        """
        self._own.learn()
        before = self._offer.section()
        self._has_other_key |= self._offer.maintain(datetime.now(UTC))
        self._offer.publish(self._own.state())
        return self._offer.section() != before

    def read_changes(self) -> Snapshot:
        """Return what has changed on other nodes. Raises SourceError while their first answers are waited for."""
        if self._put is None:
            self._look_once()
        with self._lock:
            if not self._has_begun and not self._is_settled():
                raise SourceError("the other proxies of the cluster have not answered yet")
            self._has_begun = True
            touched = self._take_news()
            problems = tuple(self._find_problems())
        changed, gone = [], []
        for container_id in touched:
            found = self._choose(container_id)
            if found is not None:
                if self._told.get(container_id) != found:
                    self._told[container_id] = found
                    changed.append(found)
            elif self._told.pop(container_id, None):
                gone.append(container_id)
        return Snapshot(containers=tuple(changed), gone=tuple(gone), is_complete=False, problems=problems)

    def followed(self) -> Sequence[Member]:
        """Return the members that can be reached. Any thread may ask."""
        return [member for member in self._all() if member.status is Status.FOLLOWED]

    def invalidate(self) -> None:
        """Have all members list everything again, in their own time."""
        for member in self._all():
            member.look_again()

    def watch(self, put: Callable[[Trigger], None]) -> None:
        """Follow the others until `stop`, and keep this proxy's own offer up to date."""
        self._put = put
        while not self._stopped.is_set():
            try:
                self._maintain(put)
                self._fault = ""
            except SourceError as error:
                self._tell_fault(str(error))
            except Exception:
                logger.exception("an error in this program interrupted the care of the cluster; it is tried again")
            self._stopped.wait(RESOLVE_SECONDS)

    def stop(self) -> None:
        """End `watch`, and all members."""
        self._stopped.set()
        self._addresses.stop()
        for member in self._all():
            member.stop()

    def _maintain(self, put: Callable[[Trigger], None]) -> None:
        if self.prepare() or self._has_other_key:
            self._has_other_key = False
            put(Trigger(reason="what this node offers to the cluster has changed", kind=TriggerKind.RELOAD))
        self._follow(put)
        for member in self._all():
            member.note_connection()

    def _follow(self, put: Callable[[Trigger], None]) -> None:
        """Begin and end members, as the DNS says."""
        wanted = self._addresses.look()
        now = time.monotonic()
        with self._lock:
            for address in wanted - self._members.keys():
                member = self._leaving.pop(address, None) or self._begin(address, put)
                self._members[address] = member
            for address in self._members.keys() - wanted:
                self._leaving[address] = self._members.pop(address)
            for address, member in [*self._leaving.items()]:
                is_over = member.lost_at is not None and now > member.lost_at + FORGET_SECONDS
                if is_over or member.status is Status.SELF or member.is_superseded(self._members.values()):
                    self._end(self._leaving.pop(address))
                    put(Trigger(reason=f"the proxy at {address} has left the cluster"))

    def _begin(self, address: Address, put: Callable[[Trigger], None]) -> Member:
        member = self._make(address, put)
        member.start()
        return member

    def _end(self, member: Member) -> None:
        member.stop()
        self._dropped.append(member)

    def _look_once(self) -> None:
        """Ask everybody in this call: a command looks only once."""
        for address in self._addresses.look():
            self._members.setdefault(address, self._make(address, lambda _: None))
        with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
            list(pool.map(Member.look_once, self._members.values()))

    def _is_settled(self) -> bool:
        if time.monotonic() > self._began + START_SECONDS:
            return True
        return self._addresses.is_complete and all(member.status is not Status.NEW for member in self._members.values())

    def _take_news(self) -> set[str]:
        """Take in what members have to tell, and return the ids of the containers that it is about."""
        touched: set[str] = set()
        for member in self._all():
            for container_id, container in member.take().items():
                touched.add(container_id)
                reports = self._reports.setdefault(container_id, {})
                if container is None:
                    reports.pop(member.address, None)
                else:
                    reports[member.address] = container
        for member in self._dropped:
            for container_id, reports in self._reports.items():
                if reports.pop(member.address, None):
                    touched.add(container_id)
        self._dropped.clear()
        for container_id in touched:
            if not self._reports.get(container_id, True):
                del self._reports[container_id]
        return touched

    def _choose(self, container_id: str) -> Container | None:
        """Return the container as a member tells it that can be reached, if there is one."""
        reports = self._reports.get(container_id)
        if not reports:
            return None
        members = {**self._leaving, **self._members}
        followed = {address for address in reports if (known := members.get(address)) and known.status is Status.FOLLOWED}
        return reports[min(followed or reports)]

    def _all(self) -> list[Member]:
        with self._lock:
            return [*self._members.values(), *self._leaving.values()]

    def _find_problems(self) -> Iterator[Problem]:
        yield from self._offer.problems()
        yield from self._own.problems(self._all())
        yield from self._addresses.problems()
        if self._fault:
            yield Problem(service=THE_PROXY, setting=_SETTING, reason=self._fault)
        yield from _lost(self._all())

    def _tell_fault(self, fault: str) -> None:
        if fault != self._fault:
            logger.error("%s", fault)
            self._fault = fault
            if self._put:
                self._put(Trigger(reason="the cluster has a problem"))


def _lost(members: Iterable[Member]) -> Iterator[Problem]:
    for member in sorted(members, key=lambda one: one.address):
        if member.status is Status.LOST:
            node = f"node {member.told.state.node.name}: " if member.told else ""
            kept = f"; its {member.count()} containers stay as they were" if member.count() else ""
            yield Problem(
                service=THE_PROXY, setting=_SETTING, value=str(member.address), reason=f"{node}{member.fault}{kept}"
            )
