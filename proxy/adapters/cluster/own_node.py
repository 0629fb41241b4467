"""This node, as the other proxies of the cluster learn of it."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from proxy import __version__
from proxy.adapters.cluster.member import Member
from proxy.core.containers.containers import Node
from proxy.core.containers.node_state import NodeState, SharedWeight, parse_node
from proxy.core.containers.swarm_json import is_manager
from proxy.errors import THE_PROXY, Problem, SourceError

logger = logging.getLogger(__name__)

ASK_SECONDS = 60.0
"""How often the engine is asked who it is: a node can join a Swarm, or leave it."""
RETRY_SECONDS = 5.0


class OwnNode:
    """Who this node is. `read_info` returns the document of `GET /info`, or raises SourceError."""

    def __init__(self, read_info: Callable[[], Mapping[str, Any]], instance: str) -> None:
        self._read_info = read_info
        self.instance = instance or os.urandom(16).hex()
        """Different for every start of a proxy."""
        name = socket.gethostname()
        self._node = Node(id=self.instance, name=name)
        self._asked_at: float | None = None
        self._has_answer = False
        self._is_manager = False
        self.weights: Mapping[str, SharedWeight] = {}

    def state(self) -> NodeState:
        """Return what the others are told, as far as it is known."""
        return NodeState(
            instance=self.instance,
            node=self._node,
            version=__version__,
            is_manager=self._is_manager,
            weights=self.weights,
        )

    def learn(self) -> None:
        """Ask the engine who it is, where that is due. An engine that does not tell has the name of this machine."""
        now = time.monotonic()
        pause = ASK_SECONDS if self._has_answer else RETRY_SECONDS
        if self._asked_at is None or now > self._asked_at + pause:
            self._asked_at = now
            try:
                info = self._read_info()
                self._node, self._has_answer = parse_node(info, self._node), True
                self._is_manager = is_manager(info)
            except SourceError as error:
                logger.debug("the engine does not tell who it is: %s", error)

    def problems(self, members: Iterable[Member]) -> Iterator[Problem]:
        """Yield a problem for each two nodes that have one id though they are not the same machine."""
        names = {self._node.id: {self._node.name}}
        for member in members:
            if member.told:
                node = member.told.state.node
                names.setdefault(node.id, set()).add(node.name)
        for node_id, found in sorted(names.items()):
            if len(found) > 1:
                reason = (
                    f"the nodes {' and '.join(sorted(found))} have the same id {node_id}, as copies of one machine have; "
                    "stop the engine of one of them, remove its file engine-id, and let it join the Swarm again"
                )
                yield Problem(service=THE_PROXY, setting="PROXY_CLUSTER", reason=reason)
