"""Supervisors in separate processes, on a small site, for tests of what they keep running.

The controller is a few lines of Python that record what happened to them in files beside the state.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from proxy.adapters.haproxy.runtime_socket import MasterSocket
from proxy.adapters.haproxy.state_files import StateFiles
from proxy.core.haproxy.replies import parse_processes
from proxy.errors import RuntimeApiError
from tests.eventually import eventually
from tests.haproxy.small_site import SmallSite

SUPERVISOR = """
import logging, os, sys
from pathlib import Path
from proxy.adapters.haproxy.haproxy_process import HaproxyProgram
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.supervision.supervisor import Supervisor
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
binary, folder, stop_seconds, *controller = sys.argv[1:]
program = HaproxyProgram(binary, os.environ)
layout = StateLayout(folder=Path(folder))
sys.exit(Supervisor(program, layout, controller, os.environ, float(stop_seconds)).run())
"""
CONTROLLER = """
import os, signal, sys, time
from pathlib import Path
notes = Path(sys.argv[1])
(notes / "draft").write_text(str(os.getpid()))
(notes / "draft").rename(notes / "pid")
while (notes / "wait").exists():
    time.sleep(0.01)
signal.signal(signal.SIGUSR1, lambda *_: (notes / "reloads").open("a").write("reload "))
signal.signal(signal.SIGRTMIN, lambda *_: (notes / "starts").open("a").write("start "))
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1, signal.SIGRTMIN})
(notes / "ready").touch()
while True:
    signal.pause()
"""
"""A controller that sets no signal handlers as long as there is a file `wait` beside its notes."""
STUBBORN_CONTROLLER = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + CONTROLLER
WRONG_SETTINGS = "raise SystemExit(2)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervised:
    """A supervisor in a separate process, the site that it serves, and the notes of its controller."""

    process: subprocess.Popen[bytes]
    site: SmallSite
    notes: Path
    log: Path

    def controller_pid(self) -> int:
        return int((self.notes / "pid").read_text())

    def haproxy_pid(self) -> int:
        """Return the master's process. The master answers a little later than the first worker serves."""
        return eventually(lambda: answering_pid(self.site))

    def serves(self) -> bool:
        return self.site.fetch() == "one"

    def says(self, text: str) -> bool:
        return text in self.log.read_text()

    def noted(self, name: str) -> int:
        """Return how often the controller noted that this happened to it."""
        with suppress(FileNotFoundError):
            return len((self.notes / name).read_text().split())
        return 0


Start = Callable[..., Supervised]


@contextmanager
def supervisors(binary: str, site: SmallSite, folder: Path) -> Iterator[Start]:
    """Start supervisors. Everything that still runs on the site at the end is killed."""
    started: list[Supervised] = []

    def start(controller: str = CONTROLLER, *, stop_seconds: float = 8.0, waits: bool = False) -> Supervised:
        notes = folder / f"notes{len(started)}"
        notes.mkdir()
        if waits:
            (notes / "wait").touch()
        log = notes / "log"
        arguments = [binary, str(site.layout.folder), str(stop_seconds)]
        command = [sys.executable, "-c", SUPERVISOR, *arguments, sys.executable, "-c", controller, str(notes)]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        started.append(Supervised(process=process, site=site, notes=notes, log=log))
        return started[-1]

    try:
        yield start
    finally:
        for supervised in started:
            print(supervised.log.read_text())
            kill_with_children(supervised.process)
        for pid in haproxy_pids(site):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def kill_with_children(process: subprocess.Popen[bytes]) -> None:
    """Kill a supervisor and everything it has started, including a child that is only about to become HAProxy."""
    if process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
    process.wait()


def save_files(site: SmallSite, **changes: str) -> None:
    """Put a set of files in force, as a controller does."""
    with StateFiles(site.layout) as store:
        store.promote(store.write_candidate(site.files(**changes)))


def answering_pid(site: SmallSite) -> int:
    """Return the master that answers; 0 if none does."""
    try:
        return parse_processes(MasterSocket(site.layout.master_socket).send("show proc")).master_pid
    except RuntimeApiError:
        return 0


def haproxy_pids(site: SmallSite) -> set[int]:
    """Return all HAProxy processes on this site's state folder, masters and workers. Their command lines identify them."""
    wanted = f"-S\0{site.layout.master_socket},".encode()
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if wanted in path.read_bytes():
                found.add(int(path.parent.name))
    return found


def master_pids(site: SmallSite) -> set[int]:
    """Return the masters among them: those whose parent is not one of them."""
    pids, masters = haproxy_pids(site), set()
    for pid in pids:
        with suppress(OSError):
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            masters |= set() if parent in pids else {pid}
    return masters


def is_answering(site: SmallSite) -> bool:
    try:
        site.fetch()
    except OSError:
        return False
    return True


def is_alive(pid: int) -> bool:
    """Return whether a process runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def voluntary_switches(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("voluntary_ctxt_switches")))


@contextmanager
def constant_requests(site: SmallSite) -> Iterator[list[str]]:
    """Send requests all the time. The list gets each answer and each error."""
    has_ended, answers = threading.Event(), list[str]()

    def ask() -> None:
        while not has_ended.is_set():
            try:
                answers.append(site.fetch())
            except OSError as error:
                answers.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        has_ended.set()
        thread.join()
