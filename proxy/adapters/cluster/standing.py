"""Whose word counts, of several members that may tell of one container.

In: members, and the nodes that managers call down. Out: who has the word. A lost member has none where another one tells of
the same node, or where a manager says that the node is down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from proxy.adapters.cluster.member import Member, Status
from proxy.adapters.cluster.peer import Address


class Standing:
    """How it stood with the members at the last `look`. `forgotten` are those on nodes that are down."""

    def __init__(self) -> None:
        self._seen: Sequence[object] = []
        self._followed: frozenset[Address] = frozenset()
        self._wordless: frozenset[Address] = frozenset()
        self.forgotten: frozenset[Address] = frozenset()

    def look(self, members: Sequence[Member], down_nodes: frozenset[str]) -> frozenset[Address]:
        """Look at the members; return those whose word counts more or less than before."""
        seen = [down_nodes, [member.address for member in members], [member.revision for member in members]]
        if seen == self._seen:  # nearly always
            return frozenset()
        followed, wordless, self._seen = self._followed, self._wordless, seen
        self._followed = frozenset(member.address for member in members if member.status is Status.FOLLOWED)
        self.forgotten = frozenset(member.address for member in members if member.is_lost_on(down_nodes))
        self._wordless = self.forgotten | {member.address for member in members if member.is_superseded(members)}
        return (followed ^ self._followed) | (wordless ^ self._wordless)

    def choose(self, addresses: Iterable[Address]) -> Address | None:
        """Return the member that has the word, of those at `addresses`: one that is followed, if there is one."""
        candidates: AbstractSet[Address] = frozenset(addresses) - self._wordless
        return min(candidates & self._followed or candidates, default=None)
