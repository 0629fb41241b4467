"""Keeps HAProxy and the controller running apart from each other, and ends both in good order.

In: the last good files on disk, signals, the ends of processes. Out: processes. Rules: traffic does not depend on the
controller: HAProxy starts from the last good files, and is not touched when the controller dies; nothing is polled
while all is quiet (but an adopted HAProxy, once a second); imports are few, for this process stays as long as the
proxy does.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import math
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from proxy.adapters.haproxy.haproxy_process import HaproxyProgram
from proxy.adapters.haproxy.runtime_socket import MasterSocket
from proxy.adapters.haproxy.state_layout import StateLayout, StateLock
from proxy.core.haproxy.replies import parse_processes
from proxy.errors import RuntimeApiError
from proxy.supervision.process_keeper import Process, ProcessKeeper

logger = logging.getLogger(__name__)

STOP_SECONDS = 8.0
"""How long requests in flight may take to finish at the end; `docker stop` kills after 10 s by default."""
SETTINGS_WRONG = 2
"""The controller's exit code that says that starting it again is no use."""

_CONTROLLER_STOP_SECONDS = 1.0
_TERMINATION_SECONDS = 1.0
_REPEAT_SECONDS = 1.0
_ENDING_POLL_SECONDS = 0.02
_STOPS = {signal.SIGTERM, signal.SIGINT}
_RELOADS = {signal.SIGHUP, signal.SIGUSR1}
_WATCHED = {signal.SIGCHLD} | _STOPS | _RELOADS
_PR_SET_PDEATHSIG = 1


class AdoptedHaproxy:
    """A master that an earlier supervisor, which was killed, left running. It is not our child: only asking tells."""

    def __init__(self, pid: int, master_socket: Path) -> None:
        self.pid = pid
        self._master_socket = master_socket

    def poll(self) -> int | None:
        """Return None while something listens on the master socket, else 0: how it ended is not known."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            try:
                connection.connect(str(self._master_socket))
            except OSError:
                return 0
        return None

    def send_signal(self, sig: int) -> None:
        """Send a signal unless the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, sig)


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
        self._program = program
        self._layout = layout
        self._controller_command = controller
        self._environment = environment
        self._stop_seconds = stop_seconds
        self._haproxy = ProcessKeeper("HAProxy", self._start_haproxy)
        self._controller = ProcessKeeper("controller", self._start_controller, final_code=SETTINGS_WRONG)
        self._is_hurried = False

    def run(self) -> int:
        """Run until SIGTERM or SIGINT and return the exit code: 2 when the settings are wrong, else 0.

        SIGHUP and SIGUSR1 are handed to the controller, as SIGUSR1. Raises StateError when another supervisor has the
        state folder.
        """
        lock = StateLock(self._layout, "supervisor.lock")
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        try:
            return self._supervise()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            lock.release()

    def _supervise(self) -> int:
        keepers = (self._haproxy, self._controller)
        while True:
            now = time.monotonic()
            for keeper in keepers:
                keeper.notice_end(now)
            if self._haproxy.process is None:
                self._layout.start_mark.unlink(missing_ok=True)
            if self._controller.first_exit_code == SETTINGS_WRONG:
                self._stop()
                return SETTINGS_WRONG
            for keeper in keepers:
                keeper.start_if_due(now)
            received = _wait_for_signal(_WATCHED, min(keeper.wake_time(now) for keeper in keepers) - now)
            if received in _STOPS:
                logger.info("stopping: %s", signal.Signals(received).name)
                self._stop()
                return 0
            if received in _RELOADS and self._controller.process:
                self._controller.process.send_signal(signal.SIGUSR1)

    def _stop(self) -> None:
        """End the controller, then HAProxy: softly (SIGUSR1, management guide, section 4), then less so."""
        if controller := self._controller.process:
            self._end(controller, ((signal.SIGTERM, _CONTROLLER_STOP_SECONDS), (signal.SIGKILL, _TERMINATION_SECONDS)))
        if haproxy := self._haproxy.process:
            steps = (
                (signal.SIGUSR1, self._stop_seconds),
                (signal.SIGTERM, _TERMINATION_SECONDS),
                (signal.SIGKILL, _TERMINATION_SECONDS),
            )
            self._end(haproxy, steps)
        logger.info("stopped")

    def _end(self, process: Process, steps: Sequence[tuple[signal.Signals, float]]) -> None:
        """Go through signals, and how many seconds each may take, until the process has ended."""
        for number, seconds in steps:
            if self._ends_by(process, number, seconds):
                return
            logger.warning("process %d still runs after %s", process.pid, number.name)

    def _ends_by(self, process: Process, number: signal.Signals, seconds: float) -> bool:
        """Send a signal, and again each second: a master that is just starting loses some [tried: 2.6 and 3.4].

        Returns False when the process has not ended in time, or a further SIGINT says that a soft stop takes too long.
        """
        deadline = time.monotonic() + seconds
        while not (self._is_hurried and number == signal.SIGUSR1):
            process.send_signal(number)
            if self._ends_within(process, min(deadline - time.monotonic(), _REPEAT_SECONDS)):
                return True
            if time.monotonic() >= deadline:
                break
        return False

    def _ends_within(self, process: Process, seconds: float) -> bool:
        """Wait for a process to end; return False when time is up, or a further SIGINT has come."""
        deadline = time.monotonic() + seconds
        is_child = isinstance(process, subprocess.Popen)
        while process.poll() is None:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            pause = remaining if is_child else min(remaining, _ENDING_POLL_SECONDS)
            if _wait_for_signal({signal.SIGCHLD, signal.SIGINT}, pause) == signal.SIGINT:
                self._is_hurried = True
                return False
        return True

    def _start_haproxy(self) -> Process | None:
        """Start HAProxy from the last good files, unless it runs; None while there are no files yet."""
        if not self._layout.config.exists():
            return None
        if running := self._find_running():
            logger.info("HAProxy of an earlier start is still running and goes on")
            return running
        self._prepare_start()
        return subprocess.Popen(
            self._program.master_command(self._layout.config, self._layout.master_socket),
            env=self._program.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_unblock_signals,
        )

    def _prepare_start(self) -> None:
        """Tell the controller of the start. A disk that refuses is no reason not to serve."""
        with contextlib.suppress(OSError):
            # What was saved before some reload long ago says nothing about servers now.
            self._layout.server_state.unlink(missing_ok=True)
            # Before the start: who changes the files and then sees no mark knows that HAProxy reads them as they are.
            self._layout.start_mark.touch(mode=0o600)

    def _find_running(self) -> AdoptedHaproxy | None:
        try:
            processes = parse_processes(MasterSocket(self._layout.master_socket).send("show proc"))
        except RuntimeApiError:
            return None
        return AdoptedHaproxy(processes.master_pid, self._layout.master_socket)

    def _start_controller(self) -> Process:
        """Start the controller so that it does not outlive this process, which alone restarts it."""
        set_option = ctypes.CDLL(None).prctl
        supervisor = os.getpid()

        def prepare() -> None:
            _unblock_signals()
            set_option(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != supervisor:
                os.kill(os.getpid(), signal.SIGKILL)

        return subprocess.Popen(
            self._controller_command,
            env={**_CONTROLLER_MEMORY, **self._environment},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=prepare,
        )


def _unblock_signals() -> None:
    """A child would inherit the blocked signals, and with them never see a SIGTERM."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)


def _wait_for_signal(watched: set[signal.Signals], seconds: float) -> int | None:
    """Wait for one of the blocked signals; None when none came in time."""
    if math.isinf(seconds):
        return signal.sigwait(watched)
    received = signal.sigtimedwait(watched, max(seconds, 0.0))
    return received.si_signo if received else None
