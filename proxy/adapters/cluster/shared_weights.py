"""Weights that users have set with `proxy weight`, on whichever node: every proxy of the cluster gets all of them.

In: the file of this node's weights, and what the others tell. Out: the same file, brought up to date, and what the others
are told. Each change has a stamp, one higher than all that were known where it was made; the highest counts. So clocks do
not matter, and every node comes to the same weights in whatever order it hears of them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from proxy.adapters.files.weight_file import read_weights, write_weights
from proxy.core.containers.node_state import SharedWeight, format_weights, parse_weights
from proxy.errors import StateError

logger = logging.getLogger(__name__)

MOST_WEIGHTS = 5_000
"""Of how many services the weights of other nodes are kept: many times what one proxy tells (`node_state.MAX_LENGTH`)."""


class SharedWeights:
    """The weights in the file `path`. What has been told of each is kept in `record`. One thread calls it."""

    def __init__(self, path: Path, record: Path) -> None:
        self._path = path
        self._record = record
        self._known = _read_record(record)

    def look(self) -> Mapping[str, SharedWeight]:
        """Take in what users have set on this node since the last call; return everything that is known."""
        try:
            weights = read_weights(self._path)
        except StateError as error:
            logger.debug("%s", error)  # the overlay that uses the file tells it
            return self._known
        known = {service: one.weight for service, one in self._known.items() if one.weight is not None}
        changed = {service for service in {*weights, *known} if weights.get(service) != known.get(service)}
        if changed:
            stamp = self._next_stamp()
            self._keep({service: SharedWeight(weight=weights.get(service), stamp=stamp) for service in changed})
        return self._known

    def merge(self, theirs: Mapping[str, SharedWeight]) -> bool:
        """Take in what another proxy tells; return whether this node's file has changed."""
        self.look()
        left_out = {*sorted(theirs.keys() - self._known.keys())[max(MOST_WEIGHTS - len(self._known), 0) :]}
        newer = {
            service: one
            for service, one in theirs.items()
            if service not in left_out and _rank(one) > _rank(self._known.get(service))
        }
        if not newer:
            return False
        wanted = {service: one.weight for service, one in {**self._known, **newer}.items() if one.weight is not None}
        try:
            write_weights(self._path, wanted)
        except StateError as error:
            logger.warning("%s; weights that were set on another node do not count here until it can be", error)
            return False
        self._keep(newer)
        return True

    def _next_stamp(self) -> int:
        return 1 + max((one.stamp for one in self._known.values()), default=0)

    def _keep(self, weights: Mapping[str, SharedWeight]) -> None:
        self._known = {**self._known, **weights}
        draft = self._record.with_suffix(".new")
        try:
            self._record.parent.mkdir(mode=0o700, exist_ok=True)
            draft.write_text(json.dumps(format_weights(self._known)), encoding="utf-8")
            draft.replace(self._record)
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._record, error.strerror)


def _rank(one: SharedWeight | None) -> tuple[int, int]:
    """Two changes with one stamp were made at the same time on two nodes: the larger weight counts, everywhere."""
    if one is None:
        return -1, 0
    return one.stamp, -1 if one.weight is None else one.weight


def _read_record(path: Path) -> Mapping[str, SharedWeight]:
    try:
        return parse_weights(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
