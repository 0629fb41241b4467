"""The streams of events that other proxies have open in this one's HAProxy. They would never end by themselves.

An old worker would wait for them until `hard-stop-after`, and HAProxy would wait for them when it is stopped.
"""

from __future__ import annotations

import logging
import re
import time
from contextlib import suppress

from proxy.adapters.haproxy.runtime_socket import MasterSocket, RuntimeSocket
from proxy.core.haproxy.cluster_section import SECTION, SERVER
from proxy.core.haproxy.replies import parse_processes
from proxy.errors import RuntimeApiError

logger = logging.getLogger(__name__)

_SESSION = re.compile(rf"^(0x[0-9a-f]+): .* fe={SECTION} ", re.MULTILINE)
"""A session of the section in the reply to `show sess` (management guide, section 9.3)."""

_LAST_LOOKS, _LAST_PAUSE_SECONDS = 3, 0.05


class OpenStreams:
    """Ends them where they keep a process alive that is to end. Who reads one opens another where HAProxy still serves."""

    def __init__(self, master: MasterSocket, runtime: RuntimeSocket) -> None:
        self._master = master
        self._runtime = runtime
        self._is_open = False
        self._ended: frozenset[int] = frozenset()

    def reopen(self) -> None:
        """Let others open streams, where an earlier controller has forbidden it when it was stopped."""
        if not self._is_open:
            with suppress(RuntimeApiError):
                self._runtime.send(f"enable frontend {SECTION}")
                self._is_open = True

    def end_in_old_workers(self) -> None:
        """End the streams of workers that a reload has replaced. An HAProxy that does not answer is asked again later."""
        try:
            old = frozenset(worker.pid for worker in parse_processes(self._master.send("show proc")).old_workers)
            for pid in old - self._ended:
                self._end_in(pid)
            self._ended = old
        except RuntimeApiError as error:
            logger.debug("streams of events in old workers could not be ended: %s", error)

    def end_all(self) -> None:
        """End all streams and let nobody open another: the proxy is being stopped.

        A connection that was accepted just before may still become a stream, so it is looked again.
        """
        try:
            self._runtime.send(f"disable frontend {SECTION}")
            for _ in range(_LAST_LOOKS):
                self._runtime.send(f"shutdown sessions server {SECTION}/{SERVER}")
                self.end_in_old_workers()
                time.sleep(_LAST_PAUSE_SECONDS)
        except RuntimeApiError as error:
            logger.debug("streams of events could not be ended: %s", error)

    def _end_in(self, pid: int) -> None:
        """End the streams of an old worker, one by one: its sections count as disabled, and accept no command."""
        for session in _SESSION.findall(self._master.send(f"@!{pid} show sess")):
            self._master.send(f"@!{pid} shutdown session {session}")
