"""Which process is the HAProxy master of a state folder. A process is identified by its number and its start time.

In: `/proc`, the start mark, the master socket. Out: identities. Rules: a process number alone proves nothing, because the
kernel gives it to another program later. A master that does not answer at the moment is still a master, because HAProxy 2.6
refuses connections while it reloads. Number and start time stay the same over reloads [tried: 2.6 and 3.4].
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from proxy.adapters.haproxy.runtime_socket import MasterSocket, RuntimeSocket
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.core.haproxy.replies import parse_processes
from proxy.errors import RuntimeApiError

_PROC = Path("/proc")
_ANSWER_SECONDS = 1.0
_REACH_SECONDS = 0.3
"""It is short because the supervisor does nothing else meanwhile; it asks again later."""
_EXEC_TRIES = 50
_EXEC_PAUSE_SECONDS = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterIdentity:
    """A process: its number, and its start time in clock ticks since the machine was started (proc(5), stat)."""

    pid: int
    start_time: int


def read_identity(pid: int) -> MasterIdentity | None:
    """Return the identity of a running process; None if there is none, or if it has ended and is a zombie."""
    fields = _read_stat(pid)
    return MasterIdentity(pid=pid, start_time=int(fields[19])) if fields else None


def is_master(identity: MasterIdentity, master_socket: Path) -> bool:
    """Return whether exactly this process still runs and was started as HAProxy with this master socket.

    Workers have the same command line, but no caller asks about a worker: see `find_masters` and the start mark.
    """
    for _ in range(_EXEC_TRIES):
        if read_identity(identity.pid) != identity:
            return False
        if arguments := _read_arguments(identity.pid):
            return _names_socket(arguments, master_socket)
        # The command line is empty for a moment while HAProxy 2.6 executes itself again for a reload.
        time.sleep(_EXEC_PAUSE_SECONDS)
    return False


def read_mark(path: Path) -> MasterIdentity | None:
    """Return the master that a start mark names; None if there is no mark, or if it names none."""
    try:
        pid, start_time = map(int, path.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return None
    return MasterIdentity(pid=pid, start_time=start_time)


def write_mark(path: Path, identity: MasterIdentity | None) -> None:
    """Write a start mark in one step. Raises OSError if the disk refuses; the earlier mark then stays."""
    draft = path.with_suffix(".new")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(f"{identity.pid} {identity.start_time}\n" if identity else "")
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def find_masters(layout: StateLayout) -> tuple[MasterIdentity, ...]:
    """Return the masters that run on a state folder: first the one in charge, then those that should not be there.

    The one in charge is the master that the start mark names, else the one that listens on the master socket, else the one
    that was started last. There is more than one only if a supervisor was killed while one master took over from another.
    """
    found = set(_scan(layout.master_socket))
    marked, listening = read_mark(layout.start_mark), _find_listening(layout.master_socket)
    if marked and is_master(marked, layout.master_socket):
        found.add(marked)
    if listening and not found:
        # Its command line does not name the socket in the form that we write, but it listens there as a master.
        found.add(listening)
    return tuple(sorted(found, key=lambda one: (one != marked, one != listening, -one.start_time)))


def is_reachable(pid: int, layout: StateLayout) -> bool:
    """Return whether this process is the master that answers, and its worker answers on the runtime socket.

    HAProxy 3.4 opens its master socket before its worker is ready [tried].
    """
    try:
        master = MasterSocket(layout.master_socket, timeout_seconds=_REACH_SECONDS)
        processes = parse_processes(master.send("show proc"))
        told = RuntimeSocket(layout.runtime_socket, timeout_seconds=_REACH_SECONDS).send("show info")
    except RuntimeApiError:
        return False
    return processes.master_pid == pid and f"Pid: {processes.serving_pid}" in told.splitlines()


def is_starting(pid: int, layout: StateLayout) -> bool:
    """Return whether this process is the master that answers, but its worker does not answer yet: it still starts."""
    master = MasterSocket(layout.master_socket, timeout_seconds=_REACH_SECONDS)
    try:
        processes = parse_processes(master.send("show proc"))
        return processes.master_pid == pid and "Version:" not in master.send(f"@!{processes.serving_pid} show info")
    except RuntimeApiError:
        return False


def _scan(master_socket: Path) -> list[MasterIdentity]:
    """Search all processes for masters. A worker has its master's command line, but it does not lead a session."""
    found = []
    for path in _PROC.iterdir():
        if path.name.isdigit() and _names_socket(_read_arguments(int(path.name)), master_socket):
            pid = int(path.name)
            fields = _read_stat(pid)
            if fields and int(fields[3]) == pid:
                found.append(MasterIdentity(pid=pid, start_time=int(fields[19])))
    return found


def _find_listening(master_socket: Path) -> MasterIdentity | None:
    """Return the master that answers on the socket, if the kernel confirms that this process listens there."""
    try:
        reply = MasterSocket(master_socket, timeout_seconds=_ANSWER_SECONDS).send("show proc")
        pid = parse_processes(reply).master_pid
        return read_identity(pid) if pid == _listener_pid(master_socket) else None
    except (OSError, RuntimeApiError):
        return None


def _listener_pid(path: Path) -> int:
    """Return the process that listens on a Unix socket, by the number that this process sees (unix(7), SO_PEERCRED)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        connection.connect(str(path))
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", credentials)[0]
    return pid


def _read_stat(pid: int) -> list[str]:
    """Return the fields of `/proc/PID/stat` from the third one (the state) on; empty if the process has ended."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
    return [] if fields[0] in "ZX" else fields


def _read_arguments(pid: int) -> list[bytes]:
    try:
        text = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return text.split(b"\0") if text else []


def _names_socket(arguments: list[bytes], master_socket: Path) -> bool:
    """Return whether the arguments contain `-S` with this socket, as `HaproxyProgram.master_command` writes it."""
    wanted = os.fsencode(master_socket)
    return any(option == b"-S" and value.partition(b",")[0] == wanted for option, value in itertools.pairwise(arguments))
