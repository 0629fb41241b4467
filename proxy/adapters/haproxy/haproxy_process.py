"""HAProxy as a program and as a running master with workers: check, start command, reload, which worker serves.

In: paths. Out: `ConfigCheckError`, `ReloadError`, or no error if all is well. Rules: HAProxy never gets this program's
environment, because `"$NAME"` in a configuration would read keys and passwords from it. Whether a reload succeeded is
decided only by what the master reports.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from proxy.adapters.haproxy.process_signals import HAPROXY_UNREACHABLE, SYNCHRONISED
from proxy.core.haproxy.replies import (
    HaproxyVersion,
    Processes,
    Worker,
    hide_passwords_in,
    make_state_file,
    parse_processes,
    parse_reload_reply,
    parse_version,
    select_alerts,
)
from proxy.errors import (
    CheckNotRunError,
    ConfigCheckError,
    MasterUnreachableError,
    ReloadError,
    RuntimeApiError,
    SettingsError,
    StateError,
)

logger = logging.getLogger(__name__)

CHECK_TIMEOUT_SECONDS = 60.0
"""The longest time that a check may take. With 10,000 virtual hosts it takes about 0.2 s."""
RELOAD_TIMEOUT_SECONDS = 60.0
"""The longest time that a reload may take: reading the configuration, and 2 s of tries if a port is taken."""
START_TIMEOUT_SECONDS = 20.0
"""The longest time until a new master must answer. It reads the whole configuration first."""
POLL_SECONDS = 0.02
BACKGROUND_NICENESS = 10
_MAY_BE_OURS = (0, errno.EACCES)
"""HAProxy may bind low ports even where this process may not."""
_INHERITED_VARIABLES = ("PATH", "LANG", "TZ")


class CommandSocket(Protocol):
    """The master CLI."""

    def send(self, command: str, payload: str = "", *, timeout_seconds: float | None = None) -> str:
        """Return the reply to one command. Raises RuntimeApiError if there is none."""


class HaproxyProgram:
    """The HAProxy binary. Raises SettingsError if there is no program of that name."""

    def __init__(self, binary: str, environment: Mapping[str, str]) -> None:
        found = shutil.which(binary, path=environment.get("PATH"))
        if found is None:
            raise SettingsError(
                [f"there is no HAProxy program {binary!r}; install HAProxy, or set PROXY_HAPROXY to its full path"]
            )
        self.path = str(Path(found).absolute())
        self.environment = {name: environment[name] for name in _INHERITED_VARIABLES if name in environment}
        """The part of this program's environment that HAProxy gets."""

    def version(self) -> HaproxyVersion:
        """Return the version of the program on disk. Raises SettingsError if it does not run."""
        try:
            return parse_version(self._run("-v").stdout)
        except (OSError, subprocess.TimeoutExpired, RuntimeApiError) as error:
            raise SettingsError([f"HAProxy program {self.path} does not print its version: {error}"]) from error

    def check(self, config: Path, *, is_urgent: bool = True) -> None:
        """Raise ConfigCheckError unless HAProxy would load `config`, which stands in the folder of its files.

        With `is_urgent` false, the check runs at low priority. Raises CheckNotRunError if the check could not start, took
        too long, or was killed. The system's memory killer takes such a process first.
        """
        try:
            result = self._run("-c", *_place(config), niceness=0 if is_urgent else BACKGROUND_NICENESS)
        except subprocess.TimeoutExpired as error:
            raise CheckNotRunError(f"the check of a configuration took longer than {CHECK_TIMEOUT_SECONDS:g} s") from error
        except OSError as error:
            raise CheckNotRunError(f"the check of a configuration could not be started: {error.strerror}") from error
        if result.returncode < 0:
            name = signal.Signals(-result.returncode).name
            raise CheckNotRunError(f"the check of a configuration was killed by {name}; is there enough memory?")
        if result.returncode:
            output = result.stdout + result.stderr
            said = select_alerts(output) or tuple(output.strip().splitlines()[-1:])
            told = hide_passwords_in(said, config.read_text(errors="replace"))
            raise ConfigCheckError(told or (f"the check ended with status {result.returncode} and said nothing",))

    def master_command(self, config: Path, master_socket: Path) -> list[str]:
        """Return the command of a master that stays in the foreground even if `config` has a `daemon` line (`-db`)."""
        return [self.path, "-W", "-db", "-S", f"{master_socket},mode,600", *_place(config)]

    def _run(self, *arguments: str, niceness: int = 0) -> subprocess.CompletedProcess[str]:
        command = [self.path, *arguments]
        with subprocess.Popen(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        ) as process:
            if niceness:
                os.setpriority(os.PRIO_PROCESS, process.pid, niceness)
            try:
                output, errors = process.communicate(timeout=CHECK_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(command, process.returncode, output, errors)


class HaproxyControl:
    """The running HAProxy, controlled through its master CLI. The supervisor keeps it running."""

    def __init__(self, program: HaproxyProgram, master: CommandSocket, server_state: Path, supervisor: int = 0) -> None:
        """`supervisor` is the process that keeps HAProxy running; 0 if there is none."""
        self._program = program
        self._master = master
        self._server_state = server_state
        self._supervisor = supervisor

    def check(self, config: Path, *, is_urgent: bool = True) -> None:
        """Raise ConfigCheckError unless HAProxy would load `config`."""
        self._program.check(config, is_urgent=is_urgent)

    def is_running(self) -> bool:
        """Return whether a master and its worker answer."""
        return self._serves()

    def ask_replacement(self) -> None:
        """Tell the supervisor that the running HAProxy cannot be reached."""
        self._tell_supervisor(HAPROXY_UNREACHABLE)

    def tell_synchronised(self) -> None:
        """Tell the supervisor that HAProxy and this process have started well."""
        self._tell_supervisor(SYNCHRONISED)

    def find_taken_ports(self, ports: Iterable[int]) -> frozenset[int]:
        """Return those of `ports` that another program listens on (see the function of the same name)."""
        return find_taken_ports(ports)

    def find_ipv4_only_ports(self, ports: Iterable[int]) -> frozenset[int]:
        """Return those of `ports` that HAProxy cannot have over IPv6 (see the function of the same name)."""
        return find_ipv4_only_ports(ports)

    def old_workers(self) -> tuple[Worker, ...]:
        """Return the workers that only finish their connections. Raises RuntimeApiError."""
        processes = self._read_processes()
        return tuple(worker for worker in processes.old_workers if worker.pid != processes.serving_pid)

    def reload(self) -> None:
        """Start a new worker from the current files; it takes over from the old one. The health of servers is kept.

        Raises ReloadError if the reload failed; the old worker then still serves. HAProxy stops accepting connections for
        about 2 s while it tries to bind a port that is taken: see `find_taken_ports`. Raises StateError if the disk is
        read-only: HAProxy is not told to reload then, because its master ends if it cannot open its socket [tried: 3.4].
        """
        try:
            before = self._read_processes()
            self._save_server_state(before)
            reply = parse_reload_reply(self._master.send("reload", timeout_seconds=RELOAD_TIMEOUT_SECONDS))
        except RuntimeApiError as error:
            raise MasterUnreachableError(f"HAProxy cannot be told to reload: {error}") from error
        if reply is None:
            self._wait_for_new_worker(before)
        elif not reply.is_success:
            raise ReloadError("; ".join(reply.alerts) or "HAProxy gives no reason; see HAProxy's own log")
        self._wait_until_it_serves()

    def _serves(self) -> bool:
        """Return whether the worker answers through the master. Then it has also bound its own socket. On a busy machine
        this may be some time after the master's report [tried]."""
        try:
            return "Version:" in self._master.send(f"@!{self._read_processes().serving_pid} show info")
        except RuntimeApiError:
            return False

    def _wait_until_it_serves(self) -> None:
        deadline = time.monotonic() + RELOAD_TIMEOUT_SECONDS
        while not self._serves():
            if time.monotonic() > deadline:
                raise ReloadError(f"HAProxy has not answered for {RELOAD_TIMEOUT_SECONDS:g} s since it reloaded")
            time.sleep(POLL_SECONDS)

    def _tell_supervisor(self, number: int) -> None:
        """Send a signal to the supervisor, and never to another process that may have its number by now."""
        if self._supervisor and os.getppid() == self._supervisor:
            os.kill(self._supervisor, number)

    def _read_processes(self) -> Processes:
        return parse_processes(self._master.send("show proc"))

    def _save_server_state(self, processes: Processes) -> None:
        """Write the file from which the new worker reads the health of servers. Without it, that health is lost."""
        draft = self._server_state.with_suffix(".new")
        try:
            reply = self._master.send(f"@!{processes.serving_pid} show servers state")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(make_state_file(reply))
            draft.replace(self._server_state)
        except (OSError, RuntimeApiError) as error:
            if isinstance(error, OSError) and error.errno == errno.EROFS:
                raise StateError(f"{draft.parent} is read-only, and HAProxy opens its sockets there") from error
            logger.warning("this reload loses the health of servers: %s", error)
            self._server_state.unlink(missing_ok=True)

    def _wait_for_new_worker(self, before: Processes) -> None:
        """Wait until the master has counted the reload. Up to 2.6 its CLI reports no result, and is closed meanwhile.

        A master that was started again counts from zero. To wait for its count would keep every synchronisation waiting.
        """
        deadline = time.monotonic() + RELOAD_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            try:
                now = self._read_processes()
            except RuntimeApiError:
                now = before
            if now.master_pid != before.master_pid:
                raise MasterUnreachableError("HAProxy was started again while it was to reload")
            if now.reloads > before.reloads:
                if now.failed_reloads:
                    raise ReloadError("HAProxy did not load the new configuration; its own log above says why")
                return
            time.sleep(POLL_SECONDS)
        raise ReloadError(f"HAProxy has not answered for {RELOAD_TIMEOUT_SECONDS:g} s since it was told to reload")


def find_taken_ports(ports: Iterable[int]) -> frozenset[int]:
    """Return those of `ports` that another program listens on, so that HAProxy cannot.

    A check does not try to bind ports. With a taken port HAProxy does not start at all, or stops accepting connections on
    all other ports for about 2 s at a reload [tried: 2.6 and 3.4]. Only "in use" counts, because HAProxy may bind low ports
    even if this process may not. Like HAProxy itself, the test uses SO_REUSEPORT, so HAProxy's own ports do not count as
    taken.
    """
    return frozenset(port for port in ports if _is_taken(port))


def find_ipv4_only_ports(ports: Iterable[int]) -> frozenset[int]:
    """Return those of `ports` that HAProxy cannot have over IPv6: another program has them, or the machine has no IPv6."""
    return frozenset(port for port in ports if _try_to_bind(socket.AF_INET6, "::", port) not in _MAY_BE_OURS)


def _is_taken(port: int) -> bool:
    return _try_to_bind(socket.AF_INET, "", port) == errno.EADDRINUSE


def _try_to_bind(family: socket.AddressFamily, address: str, port: int) -> int:
    """Return the error (errno(3)) of binding a port, 0 if there is none."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address, port))
    except OSError as error:
        return error.errno or errno.EINVAL
    return 0


def _place(config: Path) -> tuple[str, ...]:
    """Return the arguments that load `config`, with file names relative to its folder.

    `default-path config` alone is not enough: 2.6 reads the maps of `use_backend %[...]` after it has left that folder.
    HAProxy applies `-C` again at each reload, so it follows a symlink that has been changed [tried: 2.6 and 3.4].
    """
    return "-C", str(config.parent), "-f", str(config)
