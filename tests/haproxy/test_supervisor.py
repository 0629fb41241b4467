"""HAProxy and the controller, each killed, each stopped: traffic flows as long as it can, and the end is in good order.

The controller is a few lines of Python that say what happened to them in files beside the state.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.adapters.haproxy.runtime_socket import MasterSocket
from proxy.adapters.haproxy.state_files import StateFiles
from proxy.core.haproxy.replies import parse_processes
from proxy.errors import RuntimeApiError
from tests.eventually import eventually
from tests.haproxy.small_site import SmallSite, finish_request, make_site

pytestmark = pytest.mark.haproxy

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
import os, signal, sys
from pathlib import Path
notes = Path(sys.argv[1])
signal.signal(signal.SIGUSR1, lambda *_: (notes / "reloads").open("a").write("reload "))
(notes / "draft").write_text(str(os.getpid()))
(notes / "draft").rename(notes / "pid")
while True:
    signal.pause()
"""
STUBBORN_CONTROLLER = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + CONTROLLER
WRONG_SETTINGS = "raise SystemExit(2)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervised:
    """A supervisor in a process of its own, the site it serves, and what its controller noted."""

    process: subprocess.Popen[bytes]
    site: SmallSite
    notes: Path
    log: Path

    def controller_pid(self) -> int:
        return int((self.notes / "pid").read_text())

    def haproxy_pid(self) -> int:
        """The master's process. The master answers a little later than the first worker serves."""
        master = MasterSocket(self.site.layout.master_socket)
        return eventually(lambda: master_pid(master))

    def serves(self) -> bool:
        return self.site.fetch() == "one"


def master_pid(master: MasterSocket) -> int:
    """The process that answers, 0 while none does."""
    try:
        return parse_processes(master.send("show proc")).master_pid
    except RuntimeApiError:
        return 0


Start = Callable[..., Supervised]


@pytest.fixture
def site(tmp_path: Path) -> SmallSite:
    return make_site(tmp_path / "state")


@pytest.fixture
def saved_site(site: SmallSite) -> SmallSite:
    """A site whose files are on disk from an earlier run."""
    with StateFiles(site.layout) as store:
        store.promote(store.write_candidate(site.files()))
    return site


@pytest.fixture
def start(haproxy_binary: str, site: SmallSite, tmp_path: Path) -> Iterator[Start]:
    """Starts supervisors; whatever still runs at the end of the test is killed."""
    started: list[Supervised] = []

    def start(controller: str = CONTROLLER, *, stop_seconds: float = 8.0) -> Supervised:
        notes = tmp_path / f"notes{len(started)}"
        notes.mkdir()
        log = notes / "log"
        arguments = [haproxy_binary, str(site.layout.folder), str(stop_seconds)]
        command = [sys.executable, "-c", SUPERVISOR, *arguments, sys.executable, "-c", controller, str(notes)]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        started.append(Supervised(process=process, site=site, notes=notes, log=log))
        return started[-1]

    yield start
    for supervised in started:
        print(supervised.log.read_text())
        supervised.process.kill()
        supervised.process.wait()
    if is_answering(site):
        os.kill(started[-1].haproxy_pid(), signal.SIGKILL)


def is_answering(site: SmallSite) -> bool:
    try:
        site.fetch()
    except OSError:
        return False
    return True


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead but that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@contextmanager
def constant_requests(site: SmallSite) -> Iterator[list[str]]:
    """Ask all the time; what was answered, and what went wrong, is in the list."""
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


def test_last_good_files_are_served_while_the_controller_does_nothing(saved_site: SmallSite, start: Start) -> None:
    supervised = start()

    assert eventually(supervised.serves)


def test_first_files_are_served_as_soon_as_they_are_there(site: SmallSite, start: Start) -> None:
    supervised = start()
    eventually(supervised.controller_pid)
    with StateFiles(site.layout) as store:
        store.promote(store.write_candidate(site.files()))

    assert eventually(supervised.serves)


def test_killed_haproxy_is_started_again_and_the_controller_is_left_alone(saved_site: SmallSite, start: Start) -> None:
    supervised = start()
    eventually(supervised.serves)
    controller, haproxy = eventually(supervised.controller_pid), supervised.haproxy_pid()

    os.kill(haproxy, signal.SIGKILL)

    eventually(lambda: supervised.haproxy_pid() != haproxy)
    assert eventually(supervised.serves)
    assert controller == supervised.controller_pid()
    assert is_alive(controller)


def test_killed_controller_is_started_again_and_no_request_notices(saved_site: SmallSite, start: Start) -> None:
    supervised = start()
    eventually(supervised.serves)
    controller, haproxy = eventually(supervised.controller_pid), supervised.haproxy_pid()

    with constant_requests(saved_site) as answers:
        os.kill(controller, signal.SIGKILL)
        eventually(lambda: supervised.controller_pid() != controller)

    assert {"one"} == set(answers)
    assert haproxy == supervised.haproxy_pid()


def test_controller_that_keeps_ending_is_started_again_ever_later(site: SmallSite, start: Start) -> None:
    supervised = start("raise SystemExit(1)")

    def delays() -> list[str]:
        return [line.split()[-2] for line in supervised.log.read_text().splitlines() if "is started again" in line]

    eventually(lambda: len(delays()) >= 4)
    assert ["0.0", "0.2", "0.4", "0.8"] == delays()[:4]


@pytest.mark.parametrize("haproxy_binary", ["HAPROXY_34"], ids=["3.4"], indirect=True)
def test_wrong_settings_end_everything_with_code_2(saved_site: SmallSite, start: Start) -> None:
    supervised = start(WRONG_SETTINGS)

    assert 2 == supervised.process.wait(timeout=30)
    assert not is_answering(saved_site)


def test_stop_finishes_a_request_in_flight_and_ends_with_code_0(saved_site: SmallSite, start: Start) -> None:
    supervised = start()
    eventually(supervised.serves)
    haproxy = supervised.haproxy_pid()
    request = saved_site.begin_request()

    supervised.process.send_signal(signal.SIGTERM)
    eventually(lambda: not is_answering(saved_site))

    assert finish_request(request).endswith("one")
    assert 0 == supervised.process.wait(timeout=30)
    assert not is_alive(haproxy)


def test_request_that_never_ends_does_not_hold_the_stop_up(saved_site: SmallSite, start: Start) -> None:
    supervised = start(stop_seconds=0.3)
    eventually(supervised.serves)
    haproxy = supervised.haproxy_pid()

    with saved_site.begin_request():
        supervised.process.send_signal(signal.SIGTERM)
        exit_code = supervised.process.wait(timeout=15)

    assert 0 == exit_code
    assert not is_alive(haproxy)


def test_second_interrupt_cuts_requests_off(saved_site: SmallSite, start: Start) -> None:
    supervised = start(stop_seconds=600)
    eventually(supervised.serves)

    with saved_site.begin_request():
        supervised.process.send_signal(signal.SIGINT)
        eventually(lambda: not is_answering(saved_site))
        supervised.process.send_signal(signal.SIGINT)
        exit_code = supervised.process.wait(timeout=30)

    assert 0 == exit_code


def test_controller_that_ignores_the_stop_is_killed(saved_site: SmallSite, start: Start) -> None:
    supervised = start(STUBBORN_CONTROLLER)
    eventually(supervised.serves)
    controller = eventually(supervised.controller_pid)

    supervised.process.send_signal(signal.SIGTERM)

    assert 0 == supervised.process.wait(timeout=30)
    assert not is_alive(controller)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1], ids=lambda number: number.name)
def test_request_for_a_reload_reaches_the_controller(site: SmallSite, start: Start, number: signal.Signals) -> None:
    supervised = start()
    eventually(supervised.controller_pid)

    supervised.process.send_signal(number)

    assert eventually(lambda: (supervised.notes / "reloads").read_text())


def test_haproxy_outlives_a_killed_supervisor_and_the_next_one_adopts_it(saved_site: SmallSite, start: Start) -> None:
    first = start()
    eventually(first.serves)
    controller, haproxy = eventually(first.controller_pid), first.haproxy_pid()

    with constant_requests(saved_site) as answers:
        first.process.kill()
        eventually(lambda: not is_alive(controller))
        second = start()
        eventually(second.controller_pid)

    assert {"one"} == set(answers)
    assert haproxy == second.haproxy_pid()

    second.process.send_signal(signal.SIGTERM)

    assert 0 == second.process.wait(timeout=30)
    assert not is_answering(saved_site)


def test_adopted_haproxy_that_dies_is_started_again(saved_site: SmallSite, start: Start) -> None:
    first = start()
    eventually(first.serves)
    haproxy = first.haproxy_pid()
    first.process.kill()
    second = start()
    eventually(lambda: "goes on" in second.log.read_text())

    os.kill(haproxy, signal.SIGKILL)

    eventually(lambda: second.haproxy_pid() != haproxy)
    assert eventually(second.serves)


def test_second_supervisor_on_the_same_folder_is_refused(saved_site: SmallSite, start: Start) -> None:
    first = start()
    eventually(first.serves)

    second = start()

    assert 1 == second.process.wait(timeout=30)
    assert "another proxy runs with state folder" in second.log.read_text()
    assert first.serves()


def test_start_of_haproxy_is_marked_until_it_has_ended(saved_site: SmallSite, start: Start) -> None:
    """The controller reads the mark: see `HaproxyControl.is_running`."""
    supervised = start()
    eventually(supervised.serves)
    was_marked = saved_site.layout.start_mark.exists()
    saved_site.layout.config.rename(saved_site.layout.config.with_suffix(".away"))

    os.kill(supervised.haproxy_pid(), signal.SIGKILL)

    assert was_marked
    eventually(lambda: not saved_site.layout.start_mark.exists())


def test_old_health_of_servers_is_not_taken_into_a_fresh_start(saved_site: SmallSite, start: Start) -> None:
    saved_site.layout.server_state.write_text("of long ago")

    supervised = start()
    eventually(supervised.serves)

    assert not saved_site.layout.server_state.exists()


def test_quiet_supervisor_uses_next_to_no_processor_time(saved_site: SmallSite, start: Start) -> None:
    """Counts how often it was woken, which other load on the machine does not change."""
    supervised = start()
    eventually(supervised.serves)
    eventually(supervised.controller_pid)

    before = voluntary_switches(supervised.process.pid)
    deadline = time.monotonic() + 1.0
    eventually(lambda: time.monotonic() > deadline, interval=0.2)

    assert voluntary_switches(supervised.process.pid) - before <= 1


def voluntary_switches(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("voluntary_ctxt_switches")))
