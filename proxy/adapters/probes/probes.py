"""Probes of simple routing that the proxy runs itself. Their result is combined with the engine's health of a container.

In: containers with their labels. Out: the same containers with the health that follows from their probes, and a trigger
whenever that health changes. A container with `aliyun.probe.cmd` is probed as long as it runs. One with `aliyun.probe.url`
is probed only until its first good answer, so that it gets no traffic before; after that, HAProxy's own checks probe it.
Each container has its own thread. The threads share only the queue of their results.
"""

from __future__ import annotations

import dataclasses
import http.client
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from proxy.adapters.engine.docker_engine import DockerEngine
from proxy.adapters.engine.docker_exec import ContainerCommand
from proxy.core.containers.addresses import Endpoint, Reach, choose_endpoint
from proxy.core.containers.containers import Attachment, Container, Health, ProxyContainer, State
from proxy.core.labels.probing import INTERVAL_SECONDS, Probe, ProbeRecord, Target, combine
from proxy.core.labels.simple_routing import find_probe
from proxy.core.model.spec_index import Key
from proxy.core.trigger import Trigger
from proxy.errors import SourceError
from proxy.settings import SourceKind

logger = logging.getLogger(__name__)

Ask = Callable[[], bool | None]
"""Probes a container once: True, False, or None if it cannot be probed now. SourceError: the engine is unreachable."""


@dataclass(slots=True, kw_only=True)
class _Watch:
    """A container that has been probed since `started` (monotonic). `worker` is None while no thread has to probe it."""

    probe: Probe
    networks: tuple[Attachment, ...]
    started: float
    health: Health
    worker: _Worker | None = None


class Probes:
    """The running probes. Only the deciding thread calls its methods."""

    def __init__(self, engine: DockerEngine, reach: Reach, put: Callable[[Trigger], None]) -> None:
        self._engine = engine
        self._reach = reach
        self._put = put
        self._watches: dict[Key, _Watch] = {}
        self._results: SimpleQueue[tuple[Key, _Worker, Health]] = SimpleQueue()

    def changed(self) -> set[Key]:
        """Return the keys of the containers whose health has changed since the last call."""
        keys: set[Key] = set()
        while True:
            try:
                key, worker, health = self._results.get_nowait()
            except Empty:
                return keys
            watch = self._watches.get(key)
            if watch and watch.worker is worker:
                watch.health = health
                keys.add(key)

    def lay_over(
        self, containers: Mapping[Key, Container | None], proxy: ProxyContainer | None, new_sources: frozenset[str]
    ) -> Mapping[Key, Container | None]:
        """Return the containers with the health of their probes. Starts and stops probes as containers come and go.

        Containers of `new_sources`, which report for the first time, ran before the proxy started. They are trusted without
        a test.
        """
        laid_over: dict[Key, Container | None] = {}
        for key, container in containers.items():
            if container is None:
                self._end(key)
                laid_over[key] = None
            else:
                laid_over[key] = self._lay_over_one(key, container, proxy, is_new=key[0] not in new_sources)
        return laid_over

    def _lay_over_one(self, key: Key, container: Container, proxy: ProxyContainer | None, *, is_new: bool) -> Container:
        probe = find_probe(container.labels)
        if probe is None or (probe.command and container.source != SourceKind.DOCKER):
            return container
        if container.state is State.STOPPED:
            self._end(key)
            return container
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = _begin(container, probe, is_new=is_new)
            self._put_to_work(key, container, watch, proxy)
        elif probe.target and watch.networks != container.networks:
            watch.networks = container.networks
            self._put_to_work(key, container, watch, proxy)
        return dataclasses.replace(container, health=combine(container.health, watch.health))

    def _put_to_work(self, key: Key, container: Container, watch: _Watch, proxy: ProxyContainer | None) -> None:
        """Start a thread that probes, in place of the earlier one. None is needed if HAProxy's own checks probe."""
        if watch.worker:
            watch.worker.stop()
        if watch.probe.target and watch.health in (Health.NONE, Health.HEALTHY):
            return
        worker = watch.worker = _Worker(
            name=container.name,
            ask=self._make_ask(container, watch.probe, proxy),
            start_time=watch.started + watch.probe.initial_delay_seconds,
            record=ProbeRecord(health=watch.health),
            is_once=watch.probe.target is not None,
        )

        def tell(health: Health) -> None:
            self._results.put((key, worker, health))
            self._put(Trigger(reason=f"container {container.name}: its probe says {health}", container_id=container.id))

        threading.Thread(target=worker.run, args=(tell,), name=f"probe of {container.name}", daemon=True).start()

    def _make_ask(self, container: Container, probe: Probe, proxy: ProxyContainer | None) -> Ask:
        target = probe.target
        if target is None:
            return ContainerCommand(self._engine, container.id, probe.command, probe.timeout_seconds)

        def ask() -> bool | None:
            try:
                endpoint = choose_endpoint(container, target.port, dataclasses.replace(self._reach, proxy=proxy))
                return answers(endpoint, target, probe.timeout_seconds)
            except ValueError:
                return None  # it has no address (yet), which the model reports

        return ask

    def _end(self, key: Key) -> None:
        watch = self._watches.pop(key, None)
        if watch and watch.worker:
            watch.worker.stop()


@dataclass(slots=True, kw_only=True, eq=False)
class _Worker:
    """The work of one thread: probe at each interval from `start_time` (monotonic); with `is_once`, until a good answer."""

    name: str
    ask: Ask
    start_time: float
    record: ProbeRecord
    is_once: bool
    _stopped: threading.Event = field(default_factory=threading.Event)
    _failure: str = ""

    def run(self, tell: Callable[[Health], None]) -> None:
        """Probe until `stop` is called, and pass each change of the health to `tell`."""
        due = self.start_time
        while not self._stopped.wait(max(due - time.monotonic(), 0.0)):
            due = max(due, time.monotonic()) + INTERVAL_SECONDS
            is_good = self._ask_once()
            if is_good is None:
                continue
            before = self.record.health
            if self.record.add(is_good=is_good) is not before:
                tell(self.record.health)
            if is_good and self.is_once:
                return

    def stop(self) -> None:
        """Stop probing. The answer of a probe that still runs is dropped."""
        self._stopped.set()

    def _ask_once(self) -> bool | None:
        """Probe once. Returns None if the engine is unreachable, and logs each such failure only once in a row."""
        try:
            answer = self.ask()
        except SourceError as error:
            if str(error) != self._failure:
                logger.warning("container %s cannot be probed: %s; its last health is kept", self.name, error)
            self._failure = str(error)
            return None
        self._failure = ""
        return answer


def answers(endpoint: Endpoint, target: Target, timeout_seconds: float) -> bool:
    """Probe in the same way as HAProxy's check: the port must accept, and a path must answer 2xx or 3xx."""
    try:
        if not target.path:
            socket.create_connection(endpoint, timeout=timeout_seconds).close()
            return True
        connection = http.client.HTTPConnection(*endpoint, timeout=timeout_seconds)
        try:
            connection.request("GET", target.path, headers={"Host": target.host})
            return 200 <= connection.getresponse().status < 400
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False


def _begin(container: Container, probe: Probe, *, is_new: bool) -> _Watch:
    """Begin to watch. A container that ran before is trusted, unless it was created less than its delay ago."""
    age = 0.0 if is_new else max(time.time() - container.created, 0.0)
    is_trusted = not is_new and age >= probe.initial_delay_seconds
    return _Watch(
        probe=probe,
        networks=container.networks,
        started=time.monotonic() - age,
        health=Health.NONE if is_trusted else Health.STARTING,
    )
