"""Work that takes long, beside the thread that decides: files, checks of configurations, reloads.

In: jobs, each with what is to be done with its result. Out: the results, handed over in the thread that decides, when it
asks for them. Rules: a job sees values only, never an object that the deciding thread changes; one job of a name at a time.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from proxy.core.trigger import Trigger, TriggerKind

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(order=True, slots=True)
class _Job:
    urgency: int
    number: int
    name: str = field(compare=False)
    run: Callable[[], Callable[[], None]] = field(compare=False)


class Results:
    """What jobs have come to, on its way to the deciding thread, which alone calls `is_busy` and `deliver`."""

    def __init__(self) -> None:
        self._finished: deque[tuple[str, Callable[[], None]]] = deque()
        self._busy: Counter[str] = Counter()

    def expect(self, name: str) -> None:
        """Take note that a job of that name was submitted."""
        self._busy[name] += 1

    def add(self, name: str, hand_over: Callable[[], None]) -> None:
        """Keep the result of an expected job until `deliver` is called. Any thread may call it."""
        self._finished.append((name, hand_over))

    def is_busy(self, name: str) -> bool:
        """Whether a job of that name has not been delivered yet."""
        return self._busy[name] > 0

    def deliver(self) -> bool:
        """Hand over what has finished, and return whether anything has.

        A result whose taking in fails is handed over again at the next call.
        """
        has_delivered = bool(self._finished)
        while self._finished:
            name, hand_over = self._finished[0]
            hand_over()
            self._finished.popleft()
            self._busy[name] -= 1
        return has_delivered


class Background(Results):
    """One thread for jobs. `submit` is the deciding thread's."""

    def __init__(self, name: str, put: Callable[[Trigger], None]) -> None:
        super().__init__()
        self._name = name
        self._put = put
        self._jobs: queue.PriorityQueue[_Job] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def submit(
        self,
        name: str,
        job: Callable[[], Result],
        *,
        done: Callable[[Result], None],
        failed: Callable[[Exception], None],
        urgency: int = 0,
    ) -> None:
        """Have `job` run; then `done` gets its result, or `failed` what it raised. A lower `urgency` comes first."""
        self.expect(name)
        self._jobs.put(_Job(urgency, next(self._numbers), name, lambda: run_job(job, done, failed)))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            self.add(job.name, job.run())
            self._put(Trigger(reason=f"{job.name} has ended", kind=TriggerKind.URGENT))


class AtOnce(Results):
    """Runs each job in the thread that asks for it. Results are handed over by `deliver` all the same."""

    def submit(
        self,
        name: str,
        job: Callable[[], Result],
        *,
        done: Callable[[Result], None],
        failed: Callable[[Exception], None],
        urgency: int = 0,
    ) -> None:
        """Run the job now."""
        del urgency
        self.expect(name)
        self.add(name, run_job(job, done, failed))


def run_job(
    job: Callable[[], Result], done: Callable[[Result], None], failed: Callable[[Exception], None]
) -> Callable[[], None]:
    """Run a job, and return what hands its result over."""
    try:
        result = job()
    except Exception as error:  # noqa: BLE001  whatever it is, the deciding thread has to know
        cause = error
        return lambda: failed(cause)
    return lambda: done(result)
