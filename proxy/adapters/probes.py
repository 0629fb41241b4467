"""Probes of simple routing that the proxy runs itself, laid over what the engine says of a container's health.

In: containers, and what their labels say. Out: the same containers with the health that their probes come to, and a
trigger whenever that changes. A container with `aliyun.probe.cmd` is asked as long as it runs. One with
`aliyun.probe.url` is asked until its first good answer only, so that it gets no traffic before; then HAProxy's checks go
on. One thread per container asks; nothing of a thread is shared but the queue of its results.
"""

from __future__ import annotations

import dataclasses
import http.client
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue

from proxy.adapters.docker_engine import DockerEngine
from proxy.adapters.docker_exec import ContainerCommand
from proxy.core.addresses import choose_address
from proxy.core.containers import Container, Health, ProxyContainer, State
from proxy.core.probing import INTERVAL_SECONDS, Probe, ProbeRecord, Target
from proxy.core.schedule import Trigger
from proxy.core.simple_routing import find_probe
from proxy.core.spec_index import Key
from proxy.errors import SourceError

logger = logging.getLogger(__name__)

Ask = Callable[[], bool | None]
"""Asks a container once: good, bad, or None where it cannot be asked now. Raises SourceError when the engine is away."""


class Probes:
    """The running probes. `laid_over` and `changed` are called by the deciding thread only."""

    def __init__(self, engine: DockerEngine, network: str, put: Callable[[Trigger], None]) -> None:
        self._engine = engine
        self._network = network
        self._put = put
        self._workers: dict[Key, _Worker] = {}
        self._healths: dict[Key, Health] = {}
        self._results: SimpleQueue[tuple[_Worker, Health]] = SimpleQueue()

    def changed(self) -> set[Key]:
        """Return whose health has changed since the last call."""
        keys: set[Key] = set()
        while True:
            try:
                worker, health = self._results.get_nowait()
            except Empty:
                return keys
            if self._workers.get(worker.key) is worker:
                self._healths[worker.key] = health
                keys.add(worker.key)

    def lay_over(
        self, containers: Mapping[Key, Container | None], proxy: ProxyContainer | None, *, new_sources: frozenset[str]
    ) -> Mapping[Key, Container | None]:
        """Return the containers with the health of their probes; probes begin and end with the containers.

        What a source knows of at its first reading (`new_sources`) already ran, and is taken at its word.
        """
        return {
            key: container and self._lay_over_one(key, container, proxy, is_new=key[0] not in new_sources)
            for key, container in containers.items()
            if container or not self._end(key)
        }

    def _lay_over_one(self, key: Key, container: Container, proxy: ProxyContainer | None, *, is_new: bool) -> Container:
        probe = find_probe(container.labels)
        if probe is None:
            return container
        if container.state is State.STOPPED:
            self._end(key)
            return container
        if key not in self._healths:
            self._begin(key, container, probe, self._make_ask(container, probe, proxy), is_new=is_new)
        return dataclasses.replace(container, health=_worse(container.health, self._healths[key]))

    def _begin(self, key: Key, container: Container, probe: Probe, ask: Ask, *, is_new: bool) -> None:
        delay = probe.initial_delay_seconds
        if not is_new:
            delay = min(max(container.created + delay - time.time(), 0.0), delay)
        self._healths[key] = Health.STARTING if is_new or delay > 0 else Health.NONE
        if probe.target and self._healths[key] is Health.NONE:
            return
        worker = _Worker(
            key, container.name, ask, ProbeRecord(health=self._healths[key]), is_once=probe.target is not None, delay=delay
        )
        self._workers[key] = worker
        worker.start(lambda health: self._tell(worker, health))

    def _end(self, key: Key) -> bool:
        """End a container's probe; always False."""
        self._healths.pop(key, None)
        if worker := self._workers.pop(key, None):
            worker.stop()
        return False

    def _tell(self, worker: _Worker, health: Health) -> None:
        self._results.put((worker, health))
        self._put(Trigger(reason=f"container {worker.name}: its probe says {health}", container_id=worker.key[1]))
