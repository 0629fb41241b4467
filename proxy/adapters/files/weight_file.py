"""Weights that a user has set while the proxy runs (`proxy weight`). They are kept in a file and override the labels.

In: `weights.json` in the state folder, service -> weight. Out: containers whose weight label has the value from the file,
so that no later stage needs to know about it. The command replaces the file in one step and then signals the controller.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from proxy.core.containers.containers import Container, ProxyContainer
from proxy.core.labels.labels import service_label
from proxy.core.model.spec_index import Key
from proxy.errors import StateError
from proxy.grammar.values import MAX_WEIGHT

logger = logging.getLogger(__name__)

WEIGHT_FILE = "weights.json"


class WeightFile:
    """The weights in `path`. They override the label named `label`."""

    def __init__(self, path: Path, label: str) -> None:
        self._path = path
        self._label = label
        self._weights: Mapping[str, int] = {}
        self._services: dict[Key, str] = {}
        self._told_fault = ""

    def changed(self) -> set[Key]:
        """Read the file and return the containers whose weight has changed. A faulty file changes nothing."""
        try:
            weights = read_weights(self._path)
        except StateError as error:
            if str(error) != self._told_fault:
                logger.warning("%s; the last known weights are used", error)
            self._told_fault = str(error)
            return set()
        self._told_fault = ""
        differing = {service for service in {*weights, *self._weights} if weights.get(service) != self._weights.get(service)}
        self._weights = weights
        return {key for key, service in self._services.items() if service in differing} if differing else set()

    def lay_over(
        self, containers: Mapping[Key, Container | None], proxy: ProxyContainer | None, new_sources: frozenset[str]
    ) -> Mapping[Key, Container | None]:
        """Return the containers with the weights that the user has set."""
        del proxy, new_sources
        return {key: self._lay_over_one(key, container) for key, container in containers.items()}

    def _lay_over_one(self, key: Key, container: Container | None) -> Container | None:
        if container is None:
            self._services.pop(key, None)
            return None
        service = self._services[key] = service_label(container)
        if service not in self._weights:
            return container
        return dataclasses.replace(container, labels={**container.labels, self._label: str(self._weights[service])})


def read_weights(path: Path) -> Mapping[str, int]:
    """Return the weights that users have set; empty if there is no file. Raises StateError when it cannot be read."""
    try:
        weights = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StateError(f"{path} cannot be read: {error}") from error
    if not isinstance(weights, dict) or not all(isinstance(weight, int) for weight in weights.values()):
        raise StateError(f"{path} is not a mapping of services to whole numbers; correct or remove it")
    return {str(service): min(max(weight, 0), MAX_WEIGHT) for service, weight in weights.items()}


def write_weights(path: Path, weights: Mapping[str, int]) -> None:
    """Replace the file in one step. Raises StateError if it cannot be written.

    Every user may read it, because `docker exec` runs as root and the controller does not.
    """
    draft = path.with_suffix(".new")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "w", encoding="utf-8") as file:
            json.dump(weights, file, indent=1, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}") from error
