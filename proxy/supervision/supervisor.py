"""Keeps HAProxy and the controller running apart from each other, and ends both in good order.

In: the last good files on disk, signals, the ends of processes. Out: processes. Rules: traffic does not depend on the
controller: HAProxy starts from the last good files, and is not touched when the controller dies; there is one HAProxy,
and two only while one takes over from the other; nothing is polled while all is quiet; imports are few, because this
process stays as long as the proxy does.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from proxy.adapters.haproxy.haproxy_process import HaproxyProgram
from proxy.adapters.haproxy.obstacles import LOCKS, clear_obstacles
from proxy.adapters.haproxy.process_signals import (
    HAPROXY_STARTED,
    HAPROXY_UNREACHABLE,
    SUPERVISOR_VARIABLE,
    SYNCHRONISED,
)
from proxy.adapters.haproxy.state_layout import StateLayout, StateLock
from proxy.supervision.endings import HARD_STEPS, Ending, end_all, soft_steps
from proxy.supervision.haproxy_starts import HaproxyStarts
from proxy.supervision.memory_limit import MemoryLimit
from proxy.supervision.process_keeper import Process, ProcessKeeper
from proxy.supervision.replacement import Replacement
from proxy.supervision.watched_signals import RELOADS, STOPS, WATCHED, wait_for_signal

logger = logging.getLogger(__name__)

STOP_SECONDS = 8.0
"""How long requests in flight may take to finish at the end; `docker stop` kills after 10 s by default."""
SETTINGS_WRONG = 2
"""The controller's exit code that says that starting it again would not help."""

_HAPROXY_GOOD_AFTER_SECONDS = 1.0
_CONTROLLER_GOOD_AFTER_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1

_CONTROLLER_MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
"""Settings of glibc's allocator (mallopt(3)): the large texts of an engine's list and of configurations are given back to
the system once they are not needed, instead of leaving holes."""


class Supervisor:
    """Runs HAProxy on a state folder, and `controller`, the command that keeps that folder up to date."""

    def __init__(
        self,
        program: HaproxyProgram,
        layout: StateLayout,
        controller: Sequence[str],
        environment: Mapping[str, str],
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._layout = layout
        self._controller_command = controller
        self._environment = environment
        self._stop_seconds = stop_seconds
        self._has_looked = False
        self._starts = HaproxyStarts(program, layout)
        explain_kill = MemoryLimit().explain_kill
        self._haproxy = ProcessKeeper("HAProxy", self._start_haproxy, _HAPROXY_GOOD_AFTER_SECONDS, explain_kill)
        self._replacement = Replacement(self._haproxy, self._starts, stop_seconds)
        self._controller = ProcessKeeper(
            "controller", self._start_controller, _CONTROLLER_GOOD_AFTER_SECONDS, explain_kill, final_code=SETTINGS_WRONG
        )

    def run(self) -> int:
        """Run until SIGTERM or SIGINT and return the exit code: 2 when the settings are wrong, else 0.

        SIGHUP and SIGUSR1 are handed to the controller, as SIGUSR1. SIGUSR2 asks for another HAProxy in the place of the
        one that runs. SYNCHRONISED clears the back-off of HAProxy and of the controller. Raises StateError when another
        supervisor has the state folder.
        """
        clear_obstacles(self._layout, LOCKS)
        lock = StateLock(self._layout, "supervisor.lock")
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        try:
            return self._supervise()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            lock.release()

    def _supervise(self) -> int:
        while True:
            now = time.monotonic()
            is_new = self._notice(now)
            if self._controller.first_exit_code == SETTINGS_WRONG:
                self._stop()
                return SETTINGS_WRONG
            self._start(now, is_new=is_new)
            wake_time = min(part.wake_time(now) for part in (self._haproxy, self._controller, self._replacement))
            received = wait_for_signal(WATCHED, wake_time - now)
            if received in STOPS:
                logger.info("stopping: %s", signal.Signals(received).name)
                self._stop()
                return 0
            if received in RELOADS and self._controller.process:
                self._controller.process.send_signal(signal.SIGUSR1)
            if received == HAPROXY_UNREACHABLE:
                self._replacement.ask(time.monotonic())
            if received == SYNCHRONISED:
                for keeper in (self._controller, self._haproxy):
                    keeper.note_good_start(time.monotonic())

    def _notice(self, now: float) -> bool:
        """Notice what has ended; return whether another HAProxy has taken over."""
        has_taken_over = self._replacement.advance(now)
        self._haproxy.notice_end(now)
        self._controller.notice_end(now)
        if self._haproxy.process is None and self._has_looked:
            self._starts.unmark()
        return has_taken_over

    def _start(self, now: float, *, is_new: bool) -> None:
        """Start what is due, and tell a controller that runs already of an HAProxy that it does not know."""
        is_new |= self._haproxy.start_if_due(now)
        if is_new and self._controller.process:
            self._controller.process.send_signal(HAPROXY_STARTED)
        self._controller.start_if_due(now)

    def _stop(self) -> None:
        """End the controller, then every HAProxy: softly first, then less so."""
        if controller := self._controller.process:
            end_all([Ending(controller, HARD_STEPS)])
        endings = self._replacement.stop()
        if haproxy := self._haproxy.process:
            endings.append(Ending(haproxy, soft_steps(self._stop_seconds)))
        end_all(endings)
        logger.info("stopped")

    def _start_haproxy(self) -> Process | None:
        """Take over the HAProxy that runs, or start one from the last good files; None while there are no files yet."""
        can_start = self._starts.can_start()
        if can_start or not self._has_looked:
            self._has_looked = True
            if running := self._find_running():
                return running
        return self._starts.start() if can_start else None

    def _find_running(self) -> Process | None:
        running = [process for process in self._starts.find_running() if not self._replacement.is_known(process.pid)]
        if not running:
            return None
        logger.info("HAProxy process %d from an earlier start still runs and is kept", running[0].pid)
        self._starts.mark(running[0])
        for process in running[1:]:
            self._replacement.retire(process)
        return running[0]

    def _start_controller(self) -> Process:
        """Start the controller so that it does not outlive this process, which alone restarts it."""
        set_option = ctypes.CDLL(None).prctl
        supervisor = os.getpid()

        def prepare() -> None:
            # Their default action would end a controller that has no handlers yet: blocked signals wait until it has.
            signal.pthread_sigmask(signal.SIG_SETMASK, {HAPROXY_STARTED, signal.SIGUSR1})
            set_option(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != supervisor:
                os.kill(os.getpid(), signal.SIGKILL)

        return subprocess.Popen(
            self._controller_command,
            env={**_CONTROLLER_MEMORY, **self._environment, SUPERVISOR_VARIABLE: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=prepare,
        )
