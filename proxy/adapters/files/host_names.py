"""The addresses of host names. Separate threads ask the DNS; answers are kept until a name is asked for again.

In: the names that are needed. Out: the answers that are known at that moment, and a trigger when one changes. The DNS may
take half a minute to fail, so the deciding thread never waits for it. The only exception is a moment at the start, so that
a normal start has all addresses in its first pass.
"""

from __future__ import annotations

import heapq
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from proxy.core.trigger import Trigger

RESOLVE_SECONDS = 30.0
"""The time between an answer and the next request for the same name."""
START_SECONDS = 0.2
"""How long the first look waits for answers."""
ONE_LOOK_SECONDS = 10.0
"""How long each look waits for answers if nobody watches. A command that looks only once cannot use a later answer."""
WORKERS = 8
"""The maximum number of names that are resolved at the same time."""


def resolve_host(host: str) -> tuple[str, ...]:
    """Return all addresses of a host name, sorted. Raises `OSError` if there are none."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(sorted({str(entry[4][0]) for entry in found}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The DNS's answer for a name: its addresses, or the reason why there are none."""

    addresses: tuple[str, ...] = ()
    fault: str = ""

    def __str__(self) -> str:
        return f"resolves to {', '.join(self.addresses)}" if self.addresses else f"cannot be resolved ({self.fault})"


@dataclass(slots=True, kw_only=True)
class _Name:
    """A name that is needed. `due` is the time of its next request; `told` is the answer that the last look got."""

    due: float
    answer: Answer | None = None
    told: Answer | None = None
    is_told: bool = False


class HostNames:
    """The names that the last look needed. One thread calls `answers`; any thread may call `watch` and `stop`.

    Each name is resolved again `again_in` seconds after its answer (None: `RESOLVE_SECONDS`).
    """

    def __init__(self, resolve: Callable[[str], tuple[str, ...]] = resolve_host, *, again_in: float | None = None) -> None:
        self._resolve = resolve
        self._again_in = again_in
        self._changed = threading.Condition()
        self._names: dict[str, _Name] = {}
        # The times at which names are due. It may contain names that are no longer needed or have been resolved since.
        self._order: list[tuple[float, str]] = []
        self._workers = 0
        self._put: Callable[[Trigger], None] | None = None
        self._has_waited = False
        self._is_stopped = False

    def watch(self, put: Callable[[Trigger], None]) -> None:
        """From now on, put a trigger for each answer that differs from the one that the last look got. Returns at once."""
        with self._changed:
            self._put = put
            self._changed.notify_all()

    def stop(self) -> None:
        """Resolve no more names. Each thread ends as soon as the DNS has answered it."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def answers(self, hosts: Iterable[str]) -> Mapping[str, Answer]:
        """Return the known answers for these names, without names that have no answer yet. Forgets all other names."""
        with self._changed:
            self._follow(set(hosts))
            self._wait()
            for name in self._names.values():
                name.told, name.is_told = name.answer, True
            return {host: name.answer for host, name in self._names.items() if name.answer}

    def _follow(self, hosts: set[str]) -> None:
        for host in self._names.keys() - hosts:
            del self._names[host]
        now = time.monotonic()
        for host in hosts - self._names.keys():
            self._names[host] = _Name(due=now)
            heapq.heappush(self._order, (now, host))
            self._changed.notify()
        while self._workers < min(WORKERS, len(self._names)):
            self._workers += 1
            threading.Thread(target=self._work, name="host names", daemon=True).start()

    def _wait(self) -> None:
        """Wait for answers: a moment at the start, or longer if nobody watches."""
        started = time.monotonic()
        while missing := [name for name in self._names.values() if name.answer is None]:
            watched_seconds = 0.0 if self._has_waited else START_SECONDS
            patience = watched_seconds if self._put else ONE_LOOK_SECONDS
            remaining = started + patience - time.monotonic()
            if remaining <= 0 or self._is_stopped:
                if not self._put:
                    for name in missing:
                        name.answer = Answer(fault=f"no answer within {patience:g} seconds")
                break
            self._changed.wait(remaining)
        self._has_waited = True

    def _work(self) -> None:
        while host := self._wait_for_name():
            try:
                answer = Answer(addresses=self._resolve(host))
            except (OSError, UnicodeError) as error:
                answer = Answer(fault=getattr(error, "strerror", None) or str(error))
            self._take_in(host, answer)

    def _wait_for_name(self) -> str | None:
        """Wait until a name is due and return it; None after `stop`."""
        with self._changed:
            while not self._is_stopped:
                remaining = self._order[0][0] - time.monotonic() if self._order else None
                if remaining is None or remaining > 0:
                    self._changed.wait(remaining)
                    continue
                due, host = heapq.heappop(self._order)
                if host in self._names and self._names[host].due == due:
                    return host
            return None

    def _take_in(self, host: str, answer: Answer) -> None:
        """Store an answer. A name that fails keeps the addresses it had."""
        with self._changed:
            name = self._names.get(host)
            if name is None:
                return
            if answer.addresses or name.answer is None or not name.answer.addresses:
                name.answer = answer
            name.due = time.monotonic() + (self._again_in or RESOLVE_SECONDS)
            heapq.heappush(self._order, (name.due, host))
            self._changed.notify_all()
            put, news = self._put, name.answer
            is_news = name.is_told and news != name.told
        if put and is_news:
            put(Trigger(reason=f"name {host} {news}"))
