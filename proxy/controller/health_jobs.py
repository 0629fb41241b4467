"""Asks HAProxy in the background which servers its health checks have taken out.

In: a runtime API. Out: the answers, given to `UnservedServers` in the thread that decides. How often depends on how long an
answer takes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from proxy.controller.check_jobs import tell
from proxy.controller.ports import Background, Runtime
from proxy.controller.unserved_servers import UnservedServers
from proxy.core.haproxy.served import Place

logger = logging.getLogger(__name__)

HEALTH = "question which servers are down"
LOOK_SECONDS = 5.0
"""How often HAProxy is asked which servers are down; less often where its answer takes long."""
LONGEST_SHARE = 0.01
"""Of one processor, for these questions."""
LONGEST_PAUSE_SECONDS = 60.0


class HealthJobs:
    """Asks HAProxy in the background which servers are down."""

    def __init__(
        self, *, servers: UnservedServers, runtime: Runtime, background: Background, clock: Callable[[], float]
    ) -> None:
        self._servers = servers
        self._runtime = runtime
        self._background = background
        self._clock = clock
        self._due_at = 0.0

    def begin(self, now: float, *, is_due: bool) -> None:
        """Ask, where it is time or `is_due`."""
        if (is_due or now >= self._due_at) and not self._background.is_busy(HEALTH):
            self._due_at = now + LOOK_SECONDS
            self._background.submit(HEALTH, self._ask, done=self._take, failed=self._take_failure, urgency=1)

    def _ask(self) -> tuple[Mapping[Place, str], float]:
        started = self._clock()
        down = self._runtime.read_down()
        return down, self._clock() - started

    def _take(self, answer: tuple[Mapping[Place, str], float]) -> None:
        down, seconds = answer
        self._due_at = self._clock() + min(max(LOOK_SECONDS, seconds / LONGEST_SHARE), LONGEST_PAUSE_SECONDS)
        self._servers.note_down(down)

    def _take_failure(self, error: Exception) -> None:
        """Log a fault of this program. That HAProxy does not answer is told elsewhere."""
        logger.debug("HAProxy does not tell which servers are down: %s", tell(error))
