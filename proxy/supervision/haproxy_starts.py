"""Starts HAProxy on a state folder, or finds the one that already runs there.

In: the last good files, the start mark, `/proc`. Out: processes. Rules: a disk that refuses to take the mark does not
stop HAProxy from being started.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

from proxy.adapters.haproxy.haproxy_process import HaproxyProgram
from proxy.adapters.haproxy.master_identity import find_masters, is_reachable, is_starting, read_identity, write_mark
from proxy.adapters.haproxy.obstacles import SOCKETS, clear_obstacles
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.errors import StateError
from proxy.supervision.adopted_haproxy import AdoptedHaproxy
from proxy.supervision.process_keeper import Process
from proxy.supervision.watched_signals import unblock_signals

NO_SERVER_STATES = "1\n"
"""A server-state file (manual, `server-state-file`) that says nothing of any server: only the version of its format."""

logger = logging.getLogger(__name__)


class HaproxyStarts:
    """How HAProxy is started and found, and the mark that says so to the controller and to a later supervisor."""

    def __init__(self, program: HaproxyProgram, layout: StateLayout) -> None:
        self._program = program
        self._layout = layout
        self._told_obstacle: str | None = None

    def can_start(self) -> bool:
        """Return whether the files to start from are there, and nothing is in the way of the sockets."""
        obstacle = find_obstacle(self._layout)
        if not self._layout.config.exists():
            return False
        if obstacle and obstacle != self._told_obstacle:
            logger.error("HAProxy cannot be started: %s", obstacle)
        self._told_obstacle = obstacle
        return obstacle is None

    def find_running(self) -> list[AdoptedHaproxy]:
        """Return the masters that earlier supervisors left running: the one in charge comes first."""
        found = [AdoptedHaproxy.adopt(identity) for identity in find_masters(self._layout)]
        return [process for process in found if process]

    def start(self) -> Process:
        """Start HAProxy from the files. The mark is there before it runs, and names it from its first moment on."""
        # Before the start: who changes the files and then sees no mark knows that HAProxy reads them as they are.
        with contextlib.suppress(OSError):
            self._layout.start_mark.touch(mode=0o600)
        return self._run(self._mark_this_process)

    def start_beside(self, running: Process) -> Process:
        """Start a second HAProxy from the files, while the mark goes on naming the one that runs."""
        self.mark(running)
        return self._run()

    def is_reachable(self, process: Process) -> bool:
        """Return whether the sockets lead to this HAProxy, and it answers."""
        return is_reachable(process.pid, self._layout)

    def is_starting(self, process: Process) -> bool:
        """Return whether the master of this HAProxy answers, and its worker does not yet."""
        return is_starting(process.pid, self._layout)

    def mark(self, process: Process) -> None:
        """Name the process in the mark."""
        with contextlib.suppress(OSError):
            write_mark(self._layout.start_mark, read_identity(process.pid))

    def unmark(self) -> None:
        """Say that no HAProxy runs, and none is being started."""
        with contextlib.suppress(OSError):
            self._layout.start_mark.unlink()

    def _run(self, prepare: Callable[[], None] = lambda: None) -> Process:
        with contextlib.suppress(OSError):
            # What was saved before some reload long ago says nothing about servers now. HAProxy warns of a missing file.
            self._layout.server_state.unlink(missing_ok=True)
            self._layout.server_state.write_text(NO_SERVER_STATES)

        def prepare_child() -> None:
            unblock_signals()
            prepare()

        return subprocess.Popen(
            self._program.master_command(self._layout.config, self._layout.master_socket),
            env=self._program.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=prepare_child,
        )

    def _mark_this_process(self) -> None:
        """Name this process, a child that is about to become HAProxy: number and start time stay the same.

        The child does it, and not the supervisor, so that no HAProxy is ever without its mark, even if the supervisor is
        killed. Until HAProxy runs, the child holds the supervisor's lock, so that no other supervisor reads the mark.
        """
        with contextlib.suppress(OSError):
            write_mark(self._layout.start_mark, read_identity(os.getpid()))


def find_obstacle(layout: StateLayout) -> str | None:
    """Return what keeps HAProxy from making its sockets, and what to do about it; None when nothing does.

    HAProxy replaces a file that has the name of its socket, but no folder, and no file that it may not rename. What can be
    moved aside is moved.
    """
    try:
        clear_obstacles(layout, SOCKETS)
    except StateError as error:
        return str(error)
    for path in (layout.master_socket, layout.runtime_socket):
        try:
            owner = path.lstat().st_uid
        except OSError:
            continue
        if not _may_replace(path, owner):
            return f"{path} belongs to user {owner}, and HAProxy may not replace it; remove the file"
    return None


def _may_replace(path: Path, owner: int) -> bool:
    """Whether this user may put another file in the place of `path` (unlink(2), EPERM and EACCES)."""
    user, folder = os.geteuid(), path.parent.stat()
    if user in (0, owner):
        return True
    is_sticky = bool(folder.st_mode & stat.S_ISVTX)
    return os.access(path.parent, os.W_OK) and (not is_sticky or folder.st_uid == user)
