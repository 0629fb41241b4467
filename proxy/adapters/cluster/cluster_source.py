"""The containers of all other nodes of a cluster: one member for each other proxy, and what they say, merged.

In: the names or addresses of the others, asked for again every second. Out: `Snapshot`, triggers, problems. Rules: a
container is told once, however many proxies report it; a member that cannot be reached keeps its last word, until its
address is gone from the DNS for a while, another proxy tells of the same node, or a manager of the Swarm (`down_nodes`) says
that the node is down; nobody waits for another node.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from proxy.adapters.cluster.cluster_problems import ClusterProblems
from proxy.adapters.cluster.member import Member, Status
from proxy.adapters.cluster.offer import NodeOffer
from proxy.adapters.cluster.own_node import OwnNode
from proxy.adapters.cluster.peer import Address
from proxy.adapters.cluster.peer_addresses import PeerAddresses
from proxy.adapters.cluster.standing import Standing
from proxy.adapters.engine.docker_engine import DockerEngine
from proxy.core.containers.containers import CLUSTER, Container, Snapshot
from proxy.core.trigger import Trigger, TriggerKind
from proxy.errors import SourceError

logger = logging.getLogger(__name__)

RESOLVE_SECONDS = 1.0
"""How often names are resolved again: a proxy that joins or leaves a Swarm is in its DNS at once."""
CARE_SECONDS = 5.0
"""How often the key and this proxy's own offer are looked after: that reads files."""
FORGET_SECONDS = 60.0
"""How long a member must be both gone from the DNS and unreachable until its containers are forgotten."""
START_SECONDS, LONGEST_START_SECONDS = 4.0, 20.0
"""How long the first look waits for members to answer, or to fail: so long while none does, and so long in all. What comes
after it is added one by one, which takes HAProxy much longer than to load everything at once."""
_START_PAUSE_SECONDS = 0.01
LOOK_SHARE = 0.0004
"""Share of the time that full looks at all members may take. Where they take long, the next ones are later, up to
`LONGEST_LOOK_PAUSE_SECONDS`. After a lost connection a member is looked at in any case."""
LONGEST_LOOK_PAUSE_SECONDS = 1800.0
MOST_AT_ONCE = 16

MakeMember = Callable[[Address, Callable[[Trigger], None]], Member]


class ClusterSource:
    """All members. The deciding thread calls `read_changes`, which waits only at the start. `watch` runs the rest.

    With `looks_once` nobody calls `watch`: `read_changes` itself asks everybody.
    """

    name = CLUSTER

    def __init__(
        self,
        addresses: PeerAddresses,
        own: OwnNode,
        offer: NodeOffer,
        make: MakeMember,
        *,
        down_nodes: Callable[[], frozenset[str]] = frozenset,
        looks_once: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._addresses = addresses
        self._own = own
        self._offer = offer
        self._make = make
        self._down_nodes = down_nodes
        self._looks_once = looks_once
        self._members: dict[Address, Member] = {}
        self._leaving: dict[Address, Member] = {}
        self._left_at: dict[Address, float] = {}
        self._reports: dict[str, dict[Address, Container]] = {}
        self._told: dict[str, Container] = {}
        self._dropped: list[Member] = []
        self._standing = Standing()
        self._told_down: frozenset[str] = frozenset()
        self._lock = threading.RLock()
        self._problems = ClusterProblems(own)
        self._clock = clock
        self._care_at = 0.0
        self._wanted: frozenset[Address] | None = None
        self._has_begun = False
        self._has_looked = False
        self._put: Callable[[Trigger], None] | None = None
        self._stopped = threading.Event()
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
        self._problems.of_offer = tuple(self._offer.problems())
        return self._offer.section() != before

    def read_changes(self) -> Snapshot:
        """Return what has changed on other nodes. The first call waits for their first answers, for a while."""
        if self._looks_once:
            self._look_once()
            self._problems.of_offer = tuple(self._offer.problems())
            self._find_problems()
        elif not self._has_begun:
            self._wait_for_answers()
        self._has_begun = True
        with self._lock:
            touched = self._take_news()
            problems = self._problems.every()
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
        """Have members list everything again, in their own time: those whose last full look is long enough ago."""
        now, members = time.monotonic(), self._all()
        pause = min(sum(member.look_seconds for member in members) / LOOK_SHARE, LONGEST_LOOK_PAUSE_SECONDS)
        for member in members:
            if member.looked_at is not None and now >= member.looked_at + pause:
                member.look_again()

    def managers(self) -> Sequence[DockerEngine] | None:
        """Return the engines of managers of a Swarm that can be asked; None before the first answers.

        The order differs from proxy to proxy, so that not all ask the same manager.
        """
        with self._lock:
            if not self._has_begun and not self._is_settled():
                return None
        managers = [member for member in self.followed() if member.is_manager]
        return [member.engine for member in sorted(managers, key=lambda one: hash((self._own.instance, one.address)))]

    def watch(self, put: Callable[[Trigger], None]) -> None:
        """Follow the others until `stop`, and keep this proxy's own offer up to date."""
        while not self._stopped.is_set():
            try:
                self.maintain(put)
                self._problems.fault = ""
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

    def maintain(self, put: Callable[[Trigger], None]) -> None:
        """Do once what `watch` does again and again. Raises SourceError where this proxy has nothing to offer."""
        self._put = put
        now = self._clock()
        if now >= self._care_at:
            if self.prepare() or self._has_other_key:
                self._has_other_key = False
                put(Trigger(reason="what this node offers to the cluster has changed", kind=TriggerKind.RELOAD))
            self._care_at = now + CARE_SECONDS
        else:
            self._offer.publish(self._own.state())
        self._follow(put)
        for member in self._all():
            member.note_connection()
        if self._find_problems() or self._down_nodes() != self._told_down:
            self._told_down = self._down_nodes()
            put(Trigger(reason="the cluster's problems, or the nodes that are down, have changed"))

    def _follow(self, put: Callable[[Trigger], None]) -> None:
        """Begin and end members, as the DNS says."""
        wanted = self._addresses.look()
        if wanted is self._wanted and not self._leaving:
            return
        now = self._clock()
        with self._lock:
            for address in wanted - self._members.keys():
                member = self._leaving.pop(address, None) or self._begin(address, put)
                self._members[address] = member
            self._has_looked = True
            for address in self._members.keys() - wanted:
                self._leaving[address] = self._members.pop(address)
            self._left_at = {address: self._left_at.get(address, now) for address in self._leaving}
            for address, member in [*self._leaving.items()]:
                is_over = member.lost_at is not None and now > max(member.lost_at, self._left_at[address]) + FORGET_SECONDS
                is_over |= member.is_lost_on(self._down_nodes())
                if is_over or member.status is Status.SELF or member.is_superseded(self._members.values()):
                    self._end(self._leaving.pop(address))
                    put(Trigger(reason=f"the proxy at {address} has left the cluster"))
        self._wanted = wanted

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
        self._has_looked = True

    def _is_settled(self) -> bool:
        return self._has_looked and not self._count_new()

    def _wait_for_answers(self) -> None:
        """Wait until all members have answered or failed. Give up when none does so for a while."""
        began = changed_at = self._clock()
        before = -1
        while (waited_for := self._count_new()) and not self._stopped.wait(_START_PAUSE_SECONDS):
            now = self._clock()
            if waited_for != before:
                before, changed_at = waited_for, now
            if now > changed_at + START_SECONDS or now > began + LONGEST_START_SECONDS:
                return

    def _count_new(self) -> int:
        """Return how many members have not answered yet; one more while it is not known who they are."""
        is_known = self._has_looked and self._addresses.is_complete
        return sum(member.status is Status.NEW for member in self._all()) + (not is_known)

    def _take_news(self) -> set[str]:
        """Take in what members have to tell, and return the ids of the containers that it is about."""
        touched: set[str] = set()
        members = self._all()
        # First: what a member has told is there before it counts as followed.
        moved = self._standing.look(members, self._down_nodes())
        for member in members:
            for container_id, container in member.take().items() if member.has_news else ():
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
        if moved:
            touched |= {key for key, reports in self._reports.items() if moved & reports.keys()}
        for container_id in touched:
            if not self._reports.get(container_id, True):
                del self._reports[container_id]
        return touched

    def _choose(self, container_id: str) -> Container | None:
        """Return the container as the member tells it that has the word."""
        reports = self._reports.get(container_id, {})
        address = self._standing.choose(reports)
        return reports[address] if address else None

    def _all(self) -> list[Member]:
        with self._lock:
            return [*self._members.values(), *self._leaving.values()]

    def _find_problems(self) -> bool:
        return self._problems.find(self._all(), self._standing.forgotten, self._addresses.problems())

    def _tell_fault(self, fault: str) -> None:
        if fault != self._problems.fault:
            logger.error("%s", fault)
            self._problems.fault = fault
            if self._put:
                self._put(Trigger(reason="the cluster has a problem"))
