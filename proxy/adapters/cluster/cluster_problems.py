"""What is wrong with a cluster, for people: found beside the passes, and kept until it changes.

In: members, this node's own offer, names. Out: problems. With a hundred nodes it takes a millisecond to find them, so it is
done only where something has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from proxy.adapters.cluster.member import Member, Status
from proxy.adapters.cluster.own_node import OwnNode
from proxy.adapters.cluster.peer import Address
from proxy.errors import THE_PROXY, Problem

_SETTING = "PROXY_CLUSTER"


class ClusterProblems:
    """The problems as they were found last. `fault` is what keeps the own offer from being cared for."""

    def __init__(self, own: OwnNode) -> None:
        self._own = own
        self._seen: Sequence[object] = ()
        self._of_members: tuple[Problem, ...] = ()
        self._of_names: tuple[Problem, ...] = ()
        self.of_offer: tuple[Problem, ...] = ()
        self.fault = ""

    def every(self) -> tuple[Problem, ...]:
        """Return all problems. What the offer says itself is not told twice."""
        is_told = any(problem.reason in self.fault for problem in self.of_offer)
        faults = [Problem(service=THE_PROXY, setting=_SETTING, reason=self.fault)] if self.fault and not is_told else []
        return (*self.of_offer, *self._of_names, *faults, *self._of_members)

    def find(self, members: Sequence[Member], forgotten: AbstractSet[Address], of_names: Iterable[Problem]) -> bool:
        """Find out what is wrong. Return whether that has changed. `forgotten` are members on nodes that are down."""
        before = self._of_names, self._of_members
        seen = [(one.address, one.status, one.fault, one.told.state.node if one.told else None) for one in members]
        if [seen, forgotten] != self._seen:
            self._seen = [seen, forgotten]
            self._of_members = (*self._own.problems(members), *_lost(members, forgotten))
        self._of_names = tuple(of_names)
        return before != (self._of_names, self._of_members)


def _lost(members: Iterable[Member], forgotten: AbstractSet[Address]) -> Iterator[Problem]:
    for member in sorted(members, key=lambda one: one.address):
        if member.status is not Status.LOST:
            continue
        node = f"node {member.told.state.node.name}: " if member.told else ""
        kept = f"; its {member.count()} containers stay as they were" if member.count() else ""
        if member.address in forgotten:
            kept = "; a manager says that the node is down, so its containers get no requests"
        reason = f"{node}{member.fault}{kept}"
        yield Problem(service=THE_PROXY, setting=_SETTING, value=str(member.address), reason=reason)
