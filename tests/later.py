"""Jobs that a test lets run when it wants: what happens between the begin and the end of a load or a check is its choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from proxy.controller.background import Results, run_job

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Job:
    urgency: int
    number: int
    name: str
    run: Callable[[], Callable[[], None]]


class Later(Results):
    """Stands for one thread. `run_next` does its work; what that comes to is handed over by `deliver`."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[_Job] = []
        self._submitted = 0

    def submit(
        self,
        name: str,
        job: Callable[[], Result],
        *,
        done: Callable[[Result], None],
        failed: Callable[[Exception], None],
        urgency: int = 0,
    ) -> None:
        """Take the job in."""
        self.expect(name)
        self._submitted += 1
        self.waiting.append(_Job(urgency, self._submitted, name, lambda: run_job(job, done, failed)))

    def run_next(self) -> bool:
        """Run the job that is the first by now; return whether there was one."""
        if not self.waiting:
            return False
        job = min(self.waiting, key=lambda job: (job.urgency, job.number))
        self.waiting.remove(job)
        self.add(job.name, job.run())
        return True

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits, and nothing is to be handed over."""
        return not (self.waiting or self._finished)
