"""Finds out when a new server first accepts a connection. It tries at once, and then every few milliseconds.

In: the servers that must accept a connection first. Out: those that have. Each one that `wait_for` has waited for also puts
a trigger. One thread with one event loop does all the waiting. It has nothing to do while there are no such servers.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import select
import socket
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from proxy.core.model.readiness import Target
from proxy.core.trigger import Trigger, TriggerKind

PAUSE_SHARE = 0.1
"""The pause between two tries, as a share of the time since the first try. So the delay until a server gets traffic is in
proportion to the time that it took to start."""
FIRST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.05
PAUSE_PER_TARGET_SECONDS = 0.0005
"""The more servers there are, the longer each pause: all together at most about 2,000 tries a second."""
PATIENCE_SECONDS = 60.0
"""After this time, a server that has not answered is tried only once a second."""
SLOW_PAUSE_SECONDS = 1.0
CONNECT_TIMEOUT_SECONDS = 2.0
AT_ONCE_SECONDS = 0.001
"""How long the deciding thread waits for first tries. A listening or closed port on this host answers in a tenth of it."""
MOST_AT_ONCE = 128
"""The maximum number of connections that the first try opens."""


class ConnectProber:
    """Waits until servers accept connections. The deciding thread calls `ask_at_once`, `wait_for` and `take_answers`."""

    def __init__(self, put: Callable[[Trigger], None]) -> None:
        self._put = put
        self._answers: SimpleQueue[Target] = SimpleQueue()
        self._tasks: dict[Target, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="connect prober", daemon=True).start()

    def ask_at_once(self, targets: frozenset[Target]) -> set[Target]:
        """Return the targets that accept a connection now. The others may be ready too, since not all are tried."""
        poll, pending = select.poll(), dict[int, tuple[socket.socket, Target]]()
        answers: set[Target] = set()
        try:
            for target in sorted(targets, key=lambda target: (target.address, target.port))[:MOST_AT_ONCE]:
                if connection := _begin(target):
                    pending[connection.fileno()] = connection, target
                    poll.register(connection, select.POLLOUT)
            deadline = time.monotonic() + AT_ONCE_SECONDS
            while pending and (events := poll.poll(max(deadline - time.monotonic(), 0) * 1000)):
                for descriptor, _ in events:
                    connection, target = pending.pop(descriptor)
                    poll.unregister(descriptor)
                    with connection:
                        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                            answers.add(target)
        finally:
            for connection, _ in pending.values():
                connection.close()
        return answers

    def wait_for(self, targets: frozenset[Target]) -> None:
        """Wait for exactly these targets from now on, and for no others."""
        self._loop.call_soon_threadsafe(self._follow, targets)

    def take_answers(self) -> set[Target]:
        """Return the targets that have accepted a connection since the last call."""
        answers: set[Target] = set()
        while True:
            try:
                answers.add(self._answers.get_nowait())
            except Empty:
                return answers

    def _follow(self, targets: frozenset[Target]) -> None:
        for target in self._tasks.keys() - targets:
            self._tasks.pop(target).cancel()
        for target in targets - self._tasks.keys():
            self._tasks[target] = self._loop.create_task(self._ask(target))

    async def _ask(self, target: Target) -> None:
        started = self._loop.time()
        while not await _accepts(target):
            pause = max(_pause_after(self._loop.time() - started), len(self._tasks) * PAUSE_PER_TARGET_SECONDS)
            # The pause is random, or targets that started together would all be tried at the same moment.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        self._answers.put(target)
        reason = f"{target.name} accepts connections on port {target.port}"
        self._put(Trigger(reason=reason, kind=TriggerKind.URGENT))


def _pause_after(waited_seconds: float) -> float:
    if waited_seconds > PATIENCE_SECONDS:
        return SLOW_PAUSE_SECONDS
    return min(max(waited_seconds * PAUSE_SHARE, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


def _begin(target: Target) -> socket.socket | None:
    """Begin to connect. Returns None if the address is a name that needs a look-up, or if no socket can be made."""
    try:
        family = socket.AF_INET if ipaddress.ip_address(target.address).version == 4 else socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except (ValueError, OSError):
        return None
    connection.connect_ex((target.address, target.port))
    return connection


async def _accepts(target: Target) -> bool:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(target.address, target.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
