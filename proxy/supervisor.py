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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from proxy.adapters.haproxy_process import HaproxyProgram
from proxy.adapters.runtime_socket import MasterSocket
from proxy.adapters.state_files import StateLayout, StateLock
from proxy.core.commands import parse_processes
from proxy.errors import RuntimeApiError

logger = logging.getLogger(__name__)

STOP_SECONDS = 8.0
"""How long requests in flight may take to finish at the end; `docker stop` kills after 10 s by default."""
SETTINGS_WRONG = 2
"""The controller's exit code that says that starting it again is no use."""

_CONTROLLER_STOP_SECONDS = 1.0
_TERMINATION_SECONDS = 1.0
_STABLE_SECONDS = 10.0
_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 10.0
_FIRST_STATE_POLL_SECONDS = 0.02
_ADOPTED_POLL_SECONDS = 1.0
_STOPS = {signal.SIGTERM, signal.SIGINT}
_RELOADS = {signal.SIGHUP, signal.SIGUSR1}
_WATCHED = {signal.SIGCHLD} | _STOPS | _RELOADS
_PR_SET_PDEATHSIG = 1


class Process(Protocol):
    """What is needed of a process that is kept; `subprocess.Popen` has it."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit code, None while the process runs."""

    def send_signal(self, sig: int) -> None:
        """Send a signal; do nothing when the process has ended."""


@dataclass(slots=True)
class Backoff:
    """How long to wait before a process that ended is started again: not at all after it had stayed up, then longer."""

    _failures: int = 0

    def delay_after(self, uptime_seconds: float) -> float:
        """Return the delay, in seconds, after an end that came `uptime_seconds` after the start."""
        if uptime_seconds > _STABLE_SECONDS:
            self._failures = 0
        self._failures += 1
        if self._failures == 1:
            return 0.0
        # The exponent is bounded so that it never grows too large for a float.
        delay: float = _FIRST_DELAY_SECONDS * 2.0 ** min(self._failures - 2, 30)
        return min(delay, _LONGEST_DELAY_SECONDS)


class Keeper:
    """One process that is started again whenever it ends. `start` returns None while it cannot be started yet."""

    def __init__(self, name: str, start: Callable[[], Process | None]) -> None:
        self._name = name
        self._start = start
        self._backoff = Backoff()
        self._started_at = 0.0
        self._next_start = 0.0
        self.process: Process | None = None
        self.first_exit_code: int | None = None

    def notice_end(self, now: float) -> None:
        """Notice that the process has ended, if it has, and settle when it is started again."""
        code = self.process.poll() if self.process else None
        if code is None:
            return
        if self.first_exit_code is None:
            self.first_exit_code = code
        self.process = None
        self._wait_before_next(now, describe_exit(code))

    def start_if_due(self, now: float) -> None:
        """Start the process unless it runs, or has to wait."""
        if self.process is not None or now < self._next_start:
            return
        self._started_at = now
        try:
            self.process = self._start()
        except OSError as error:
            self._wait_before_next(now, error)
            return
        if self.process is None:
            self._next_start = now + _FIRST_STATE_POLL_SECONDS
        else:
            logger.info("%s runs as process %d", self._name, self.process.pid)

    def wake_time(self, now: float) -> float:
        """Return when to look again even if no child ends."""
        if self.process is None:
            return self._next_start
        return math.inf if isinstance(self.process, subprocess.Popen) else now + _ADOPTED_POLL_SECONDS

    def _wait_before_next(self, now: float, reason: object) -> None:
        delay = self._backoff.delay_after(now - self._started_at)
        self._next_start = now + delay
        logger.warning("%s ended: %s; it is started again in %.1f s", self._name, reason, delay)


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
        self._haproxy = Keeper("HAProxy", self._start_haproxy)
        self._controller = Keeper("controller", self._start_controller)
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
        """Send each signal in turn until the process has ended within the seconds that go with it.

        A further SIGINT means that somebody is in a hurry: soft stops are given up.
        """
        for number, seconds in steps:
            deadline = time.monotonic() + seconds
            process.send_signal(number)
            while not self._ends_within(process, min(deadline - time.monotonic(), _REPEAT_SECONDS)):
                if time.monotonic() >= deadline or (self._is_hurried and number == signal.SIGUSR1):
                    logger.warning("process %d still runs after %s", process.pid, number.name)
                    break
                # A master that is just starting, and executes itself anew, loses signals [tried: 2.6 and 3.4].
                process.send_signal(number)
            else:
                return

    def _ends_within(self, process: Process, seconds: float) -> bool:
        """Wait for a process to end, or for a SIGINT."""
        deadline = time.monotonic() + seconds
        is_child = isinstance(process, subprocess.Popen)
        while process.poll() is None:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or self._is_hurried:
                return False
            pause = remaining if is_child else min(remaining, _FIRST_STATE_POLL_SECONDS)
            if _wait_for_signal({signal.SIGCHLD, signal.SIGINT}, pause) == signal.SIGINT:
                self._is_hurried = True
        return True

    def _start_haproxy(self) -> Process | None:
        """Start HAProxy from the last good files, unless it runs; None while there are no files yet."""
        if not self._layout.config.exists():
            return None
        if running := self._find_running():
            logger.info("HAProxy of an earlier start is still running and goes on")
            return running
        # What was saved before some reload long ago says nothing about servers now.
        self._layout.server_state.unlink(missing_ok=True)
        return subprocess.Popen(
            self._program.master_command(self._layout.config, self._layout.master_socket),
            env=self._program.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_unblock_signals,
        )

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
            env=self._environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=prepare,
        )


def describe_exit(code: int) -> str:
    """Return how a process ended, for people; negative codes are signals, as `subprocess` has it."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _unblock_signals() -> None:
    """A child would inherit the blocked signals, and with them never see a SIGTERM."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)


def _wait_for_signal(watched: set[signal.Signals], seconds: float) -> int | None:
    """Wait for one of the blocked signals; None when none came in time."""
    if math.isinf(seconds):
        return signal.sigwait(watched)
    received = signal.sigtimedwait(watched, max(seconds, 0.0))
    return received.si_signo if received else None
