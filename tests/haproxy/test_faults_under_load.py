"""What visitors notice when something around HAProxy, or HAProxy itself, is killed, frozen, full, broken or wrong.

Each fault happens while visitors of two services send requests, together with a change that has to be served afterwards. The
figures of `docs/reliability.md` are what the long forms print (`make soak`): each fault 20 times.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from proxy.core.haproxy.replies import Processes
from tests.builders import make_pem
from tests.eventually import eventually
from tests.haproxy.client import HOST, connect_tls
from tests.haproxy.process_limit import process_limit
from tests.haproxy.product import Product
from tests.haproxy.program import Program, read_processes
from tests.haproxy.small_disk import fill, read_only, small_disk
from tests.haproxy.under_load import OTHER, Site, repeat, wait
from tests.stub_engine import StubContainer, StubEngine, run_stub_engine, run_stub_process

LONG = [pytest.mark.soak, pytest.mark.timeout(1800)]
pytestmark = pytest.mark.haproxy
short_and_long = pytest.mark.parametrize("times", [pytest.param(1, id="short"), pytest.param(20, id="long", marks=LONG)])
VISITORS = 4
"""How many of them make new connections. Each may lose one when another HAProxy takes over without the sockets of the first:
the kernel resets what the first has not accepted yet."""
FROZEN_SECONDS = 0.4
WITHOUT_ROOM = "could not be checked"


@pytest.fixture
def town(program: Program, product: Product) -> Site:
    town = Site(program, product)
    town.write()
    return town


def start(town: Site) -> None:
    """Wait until a program that has just started is ready."""
    town.expect_change()
    eventually(lambda: "was compared with the containers" in town.program.log.read_text())


def kill_controller(town: Site) -> None:
    pid = town.program.controller_pid()
    os.kill(pid, signal.SIGKILL)
    town.change()
    town.expect_change()
    eventually(lambda: town.program.controller_pid() != pid)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # somebody has killed it meanwhile
            os.kill(pid, signal.SIGCONT)


def freeze(town: Site, pid: int) -> None:
    """Freeze a process while a container is replaced."""
    with frozen(pid):
        town.change()
        wait(FROZEN_SECONDS)
    town.expect_change()


@short_and_long
def test_controller_that_is_killed_or_frozen_costs_no_request(town: Site, times: int) -> None:
    with town.program.running():
        start(town)
        with town.all_served("controller killed"):
            repeat(times, lambda: kill_controller(town))
        with town.all_served("controller frozen"):
            repeat(times, lambda: freeze(town, town.program.controller_pid()))


@short_and_long
def test_frozen_haproxy_costs_time_and_no_request(town: Site, times: int) -> None:
    """A frozen worker keeps its visitors waiting. A frozen master is not noticed."""
    with town.program.running():
        start(town)
        with town.counted("worker frozen") as visits:
            repeat(times, lambda: freeze(town, read_processes(town.program).serving_pid))
        with town.all_served("master frozen"):
            repeat(times, lambda: freeze(town, read_processes(town.program).master_pid))

    assert [] == visits.failures


def expect_another(town: Site, before: Processes) -> None:
    """Wait until another HAProxy serves, and the controller knows it. One that is killed earlier is started later."""
    eventually(lambda: read_processes(town.program).serving_pid != before.serving_pid)
    town.expect_change()
    pid = read_processes(town.program).serving_pid
    eventually(lambda: f"HAProxy process {pid} was compared" in town.program.log.read_text())


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_worker_that_stays_frozen_is_replaced(town: Site) -> None:
    """The requests that it has accepted are lost. Others wait until another HAProxy listens."""
    with town.program.running():
        start(town)
        found = read_processes(town.program)
        with town.counted("worker frozen for good") as visits, frozen(found.serving_pid):
            town.change()
            expect_another(town, found)

    assert [] == visits.wrong


@pytest.mark.parametrize("victim", ["worker", "master"])
@short_and_long
def test_killed_haproxy_costs_the_time_of_a_start(town: Site, victim: str, times: int) -> None:
    """Nobody is sent to the wrong service. Only HAProxy itself can answer meanwhile, and it is being started."""

    def kill() -> None:
        found = read_processes(town.program)
        os.kill(found.master_pid if victim == "master" else found.serving_pid, signal.SIGKILL)
        town.change()
        expect_another(town, found)

    with town.program.running():
        start(town)
        with town.counted(f"{victim} killed") as visits:
            repeat(times, kill)

    assert [] == visits.wrong
    assert visits.answered > 0


class EngineSite(Site):
    """The same services from an engine that has faults."""

    engine: StubEngine

    def container(self, turn: int) -> StubContainer:
        backend = self.web[turn]
        return StubContainer(name=backend.name, service="web", labels=labels(HOST), port=backend.port)

    def write(self) -> None:
        """Tell nothing: the engine does."""

    def change(self) -> None:
        self.turn = 1 - self.turn
        self.engine.start(self.container(self.turn))
        self.engine.stop(self.container(1 - self.turn))

    def containers(self) -> list[StubContainer]:
        other = StubContainer(name=self.other.name, service="other", labels=labels(OTHER), port=self.other.port)
        return [self.container(self.turn), other]

    @contextmanager
    def running_engine(self) -> Iterator[None]:
        """Run an engine in this process, which can break it."""
        self._socket.unlink(missing_ok=True)
        with run_stub_engine(self.program.folder) as self.engine:
            self.engine.containers.update({container.id: container for container in self.containers()})
            yield

    @contextmanager
    def killed_engine(self) -> Iterator[None]:
        """Run an engine in a process of its own, which is killed in the end."""
        self._socket.unlink(missing_ok=True)
        with run_stub_process(self.program.folder) as stub:
            stub.load(self.containers())
            yield
            stub.process.kill()

    @property
    def _socket(self) -> Path:
        return self.program.folder / "engine.sock"


def labels(host: str) -> dict[str, str]:
    return {"aliyun.proxy.VIRTUAL_HOST": host}


@short_and_long
def test_engine_that_fails_costs_no_request(program: Program, product: Product, times: int) -> None:
    town = EngineSite(program, product)

    def kill() -> None:
        """Another engine follows the one that was killed. It has another container."""
        wait(FROZEN_SECONDS)
        town.turn = 1 - town.turn
        with town.killed_engine():
            town.expect_change()

    def hang() -> None:
        town.engine.is_free.clear()
        town.change()
        wait(FROZEN_SECONDS)
        town.engine.is_free.set()
        town.expect_change()

    def answer_errors() -> None:
        town.engine.is_broken = True
        town.change()
        wait(FROZEN_SECONDS)
        town.engine.is_broken = False
        town.expect_change()

    def cut_the_stream() -> None:
        town.engine.cut_streams()
        town.change()
        town.expect_change()

    def lie_once() -> None:
        """The list that follows the next opening of the stream lacks the only containers of two services."""
        lists = town.engine.lists
        town.engine.left_out = set(town.engine.containers)
        town.engine.cut_streams()
        eventually(lambda: town.engine.lists > lists)
        wait(FROZEN_SECONDS)
        town.change()
        town.expect_change()

    variables = {"PROXY_SOURCES": "docker", "DOCKER_HOST": f"unix://{program.folder / 'engine.sock'}"}
    with town.program.running(**variables):
        with town.killed_engine():
            start(town)
        with town.all_served("engine: kill"):
            repeat(times, kill)
        with town.running_engine():
            for fault in (hang, answer_errors, cut_the_stream, lie_once) if times > 1 else (answer_errors, lie_once):
                town.expect_change()
                with town.all_served(f"engine: {fault.__name__}"):
                    repeat(times, fault)


@short_and_long
def test_disk_that_is_full_or_emptied_costs_no_request(town: Site, times: int) -> None:
    """Each time a container is replaced. Containers are replaced by commands, so nobody waits for the disk."""

    def fill_the_disk() -> None:
        filler = fill(disk)
        town.change()
        town.expect_change()
        filler.unlink()

    def empty_it() -> None:
        for path in disk.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        town.change()
        town.expect_change()

    with small_disk(town.program.folder / "state") as disk, town.program.running():
        start(town)
        with town.all_served("disk full"):
            repeat(times, fill_the_disk)
        if times > 1:  # tests/haproxy/test_faults.py has the short form
            with town.all_served("state folder emptied", most_failed=times * VISITORS):
                repeat(times, empty_it)


@short_and_long
def test_disk_that_is_read_only_costs_no_request(town: Site, times: int) -> None:
    """No reload is under way when it becomes read-only: tests/haproxy/test_reloads.py has the one that is due later."""
    state = town.program.folder / "state"

    def make_it_read_only() -> None:
        with read_only(state):
            town.change()
            town.expect_change()
            eventually(lambda: "Read-only file system" in town.program.log.read_text())

    with town.program.running():
        start(town)
        with town.all_served("disk read-only"):
            repeat(times, make_it_read_only)


@short_and_long
def test_files_that_are_half_written_cost_no_request(town: Site, times: int) -> None:
    """They are written in place, in two parts. A certificate that was good is served until the new one is whole."""
    program, certificates = town.program, town.program.folder / "certificates"
    services, certificate = program.folder / "services.yml", certificates / "site.pem"
    names = (HOST, OTHER)
    certificates.mkdir()
    certificate.write_text(make_pem(*names))
    town.labels = {host: {"VIRTUAL_HOST": f"{host}, https://{host}"} for host in names}
    town.write()

    def write_half_of_the_services() -> None:
        town.change()
        text = services.read_text()
        problems = program.log.read_text().count("services.yml")
        services.write_text(text[: len(text) // 2])
        eventually(lambda: program.log.read_text().count("services.yml") > problems)
        services.write_text(text)
        town.expect_change()

    def write_half_of_a_certificate() -> None:
        text = make_pem(*names)
        with certificate.open("w") as file:
            for part in (text[: len(text) // 2], text[len(text) // 2 :]):
                file.write(part)
                file.flush()
                wait(FROZEN_SECONDS)
        eventually(lambda: shown_certificate(program) == certificate_of(text))

    with program.running(CERT_FOLDER=str(certificates)):
        start(town)
        eventually(lambda: shown_certificate(program) == certificate_of(certificate.read_text()))
        with town.all_served("services file half-written"):
            repeat(times, write_half_of_the_services)
        with town.all_served("certificate half-written", scheme="https"):
            repeat(times, write_half_of_a_certificate)


def shown_certificate(program: Program) -> bytes:
    """Return the certificate that a visitor of HOST is shown."""
    with connect_tls(443 + program.offset) as connection:
        return connection.getpeercert(binary_form=True) or b""


def certificate_of(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)


MOVED_CLOCK = """
import os, time
from pathlib import Path
clock, moved = time.time, Path(os.environ["MOVED_CLOCK"])
time.time = lambda: clock() + float(moved.read_text())
"""


@short_and_long
def test_clock_that_jumps_costs_no_request(town: Site, times: int) -> None:
    """Only the proxy's own clock is moved. HAProxy reads the clock by itself, and a test cannot move that of the machine."""
    folder = town.program.folder
    (folder / "sitecustomize.py").write_text(MOVED_CLOCK)
    moved = folder / "moved"
    moved.write_text("0")

    def jump(seconds: int) -> None:
        (folder / "moved.new").write_text(str(seconds))
        (folder / "moved.new").replace(moved)
        town.change()
        town.expect_change()

    with town.program.running(PYTHONPATH=str(folder), MOVED_CLOCK=str(moved)):
        start(town)
        with town.all_served("clock jumps"):
            repeat(times, lambda: jump(86_400), lambda: jump(-86_400), lambda: jump(0))
        told = town.program.run("check").stdout

    assert "0 problems" in told, told


@pytest.mark.parametrize("reloads", [pytest.param(3, id="short"), pytest.param(30, id="long", marks=LONG)])
def test_reloads_in_a_row_cost_no_request(town: Site, reloads: int) -> None:
    def reload() -> None:
        worker = read_processes(town.program).serving_pid
        process.send_signal(signal.SIGUSR1)
        eventually(lambda: read_processes(town.program).serving_pid != worker)

    with town.program.running() as process:
        start(town)
        with town.all_served(f"{reloads} reloads in a row"):
            repeat(reloads, reload)
        town.change()
        town.expect_change()


@short_and_long
def test_limit_of_processes_costs_no_request(town: Site, times: int) -> None:
    """Settings that need a check and a reload wait until a process can be started. Everything else is done at once."""
    log = town.program.log

    def change_without_room() -> None:
        failures, reloads = log.read_text().count(WITHOUT_ROOM), log.read_text().count(" reload: ")
        with limit.reached():
            town.labels[OTHER] = {"VIRTUAL_HOST": OTHER, "HTTP_CHECK": f"GET /{reloads}"}
            town.change()
            town.expect_change()
            eventually(lambda: log.read_text().count(WITHOUT_ROOM) > failures)
        eventually(lambda: log.read_text().count(" reload: ") > reloads)

    with (
        process_limit(town.program.folder.name) as limit,
        town.program.running(within=("sh", "-c", limit.script, "sh")),
    ):
        start(town)
        with town.all_served("limit of processes"):
            repeat(times, change_without_room)
