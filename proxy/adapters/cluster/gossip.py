"""Hears from one other proxy after another, every two seconds, what it tells of itself: its node, and the weights it knows.

Each time, twice as many know something new, so 100 nodes know it after some twenty seconds. The work does not grow with
the number of nodes.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from proxy.adapters.cluster.cluster_source import ClusterSource
from proxy.adapters.cluster.own_node import OwnNode
from proxy.adapters.cluster.shared_weights import SharedWeights
from proxy.core.trigger import Trigger
from proxy.errors import SourceError

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 2.0


class Gossip:
    """Runs in a thread of its own, from `run` to `stop`."""

    def __init__(self, source: ClusterSource, own: OwnNode, weights: SharedWeights) -> None:
        self._source = source
        self._own = own
        self._weights = weights
        self._stopped = threading.Event()

    def run(self, put: Callable[[Trigger], None]) -> None:
        """Ask, until `stop`. What is new becomes a trigger."""
        while not self._stopped.wait(PAUSE_SECONDS):
            try:
                self.ask_one(put)
            except Exception:
                logger.exception("an error in this program interrupted the exchange with another proxy; it is tried again")

    def ask_one(self, put: Callable[[Trigger], None]) -> None:
        """Ask any member that is followed."""
        self._own.weights = self._weights.look()
        members = self._source.followed()
        if not members:
            return
        member = random.choice(members)
        try:
            state = member.hear()
        except SourceError as error:
            logger.debug("%s", error)  # whether it can be reached, its stream of events tells
            return
        if self._weights.merge(state.weights):
            self._own.weights = self._weights.look()
            put(Trigger(reason=f"weights that were set on another node, told by node {state.node.name}"))

    def stop(self) -> None:
        """End `run`."""
        self._stopped.set()
