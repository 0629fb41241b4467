"""HAProxy as a program and as a running master: checks, reloads that are seamless, and reloads that fail."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.adapters.haproxy.haproxy_process import HaproxyControl, HaproxyProgram, find_ipv4_only_ports, find_taken_ports
from proxy.adapters.haproxy.runtime_socket import MasterSocket, RuntimeSocket
from proxy.adapters.haproxy.state_files import StateFiles
from proxy.core.haproxy.replies import parse_processes
from proxy.errors import ConfigCheckError, ReloadError, RuntimeApiError, SettingsError
from tests.eventually import eventually
from tests.haproxy.small_site import SmallSite, finish_request, make_site
from tests.ports import free_port

pytestmark = pytest.mark.haproxy

ENVIRONMENT = {"PATH": os.defpath, "SECRET_KEY": "s3cr3t"}


@pytest.fixture
def program(haproxy_binary: str) -> HaproxyProgram:
    return HaproxyProgram(haproxy_binary, ENVIRONMENT)


@pytest.fixture
def site(tmp_path: Path) -> SmallSite:
    return make_site(tmp_path)


@pytest.fixture
def store(site: SmallSite) -> Iterator[StateFiles]:
    with StateFiles(site.layout) as files:
        yield files


@pytest.fixture
def control(site: SmallSite, program: HaproxyProgram) -> HaproxyControl:
    master = MasterSocket(site.layout.master_socket)
    return HaproxyControl(program, master, site.layout.server_state)


@pytest.fixture
def running(
    site: SmallSite, store: StateFiles, control: HaproxyControl, program: HaproxyProgram
) -> Iterator[HaproxyControl]:
    """Run a master that serves the site's first files, until the test ends."""
    store.promote(store.write_candidate(site.files()))
    command = program.master_command(site.layout.config, site.layout.master_socket)
    with subprocess.Popen(command, env=program.environment) as master:
        try:
            eventually(lambda: control.is_running() and site.fetch())
            yield control
        finally:
            master.terminate()


def worker_pids(site: SmallSite) -> list[int]:
    """Return the processes of all workers, including those that only finish their connections."""
    processes = parse_processes(MasterSocket(site.layout.master_socket).send("show proc"))
    return [worker.pid for worker in (*processes.workers, *processes.old_workers)]


def test_version_is_the_one_of_the_binary(program: HaproxyProgram, haproxy_binary: str) -> None:
    said = subprocess.run([haproxy_binary, "-v"], capture_output=True, text=True, check=True).stdout

    assert f"HAProxy version {program.version()}" in said


def test_missing_program_is_told_by_name() -> None:
    with pytest.raises(SettingsError, match="'no-such-haproxy'"):
        HaproxyProgram("no-such-haproxy", ENVIRONMENT)


def test_candidate_with_relative_names_passes_the_check(site: SmallSite, store: StateFiles, program: HaproxyProgram) -> None:
    candidate = store.write_candidate(site.files())

    program.check(candidate / "haproxy.cfg")

    assert not site.layout.current.exists(), "the names were not found in the current generation"


def test_rejected_candidate_names_each_faulty_line_and_nothing_else(
    site: SmallSite, store: StateFiles, program: HaproxyProgram
) -> None:
    candidate = store.write_candidate(site.files(more="backend broken\n    first-fault\n    second-fault\n"))

    with pytest.raises(ConfigCheckError) as caught:
        program.check(candidate / "haproxy.cfg")

    config = candidate / "haproxy.cfg"
    last = len(config.read_text().splitlines())
    assert [
        f"config : parsing [{config}:{last - 1}] : unknown keyword 'first-fault' in 'backend' section",
        f"config : parsing [{config}:{last}] : unknown keyword 'second-fault' in 'backend' section",
    ] == list(caught.value.messages)


def test_configuration_cannot_read_the_environment_of_the_proxy(
    site: SmallSite, store: StateFiles, program: HaproxyProgram
) -> None:
    """The check's message shows the address of a server. Here that is the value of a variable, if HAProxy has it."""
    candidate = store.write_candidate(site.files(more='backend spy\n    server spy "${SECRET_KEY}"\n'))

    with pytest.raises(ConfigCheckError) as caught:
        program.check(candidate / "haproxy.cfg")

    assert "s3cr3t" not in str(caught.value)
    assert "SECRET_KEY" not in program.environment


def test_no_master_means_not_running_and_a_reload_says_so(control: HaproxyControl) -> None:
    assert not control.is_running()
    with pytest.raises(ReloadError, match="cannot be told to reload"):
        control.reload()


def test_reload_takes_maps_and_certificates_of_the_new_generation(
    site: SmallSite, store: StateFiles, running: HaproxyControl
) -> None:
    store.promote(store.write_candidate(site.files(answer="two", name="second.test")))

    running.reload()

    assert "two" == eventually(site.fetch)
    assert "second.test" == site.certificate_name()


def test_files_keep_their_relative_names_on_the_runtime_socket(
    site: SmallSite, store: StateFiles, running: HaproxyControl
) -> None:
    """Commands for maps and certificates use the same names as the configuration, whatever the generation is."""
    store.promote(store.write_candidate(site.files(answer="two")))
    running.reload()

    assert "(maps/hosts.map)" in site.runtime("show map")
    assert "certificates.list" == site.runtime("show ssl crt-list")
    assert "certs/shop.pem" in site.runtime("show ssl cert")


def test_weight_set_by_hand_ends_with_a_reload(site: SmallSite, running: HaproxyControl) -> None:
    """Only the model decides on a server's weight, so a resync restores it too. `proxy weight` is the way to set one."""
    site.runtime("set server weighted/first weight 25%")

    running.reload()

    assert "100 (initial 100)" == eventually(lambda: site.runtime("get weight weighted/first"))


def test_administrative_state_survives_a_reload(site: SmallSite, running: HaproxyControl) -> None:
    site.runtime("set server weighted/first state drain")

    running.reload()

    fields = site.runtime("show servers state weighted").splitlines()[2].split()
    assert "8" == fields[6], "SRV_ADMF_FDRAIN"


def test_failed_reload_tells_and_the_old_worker_serves_on(
    site: SmallSite, store: StateFiles, running: HaproxyControl
) -> None:
    before = worker_pids(site)
    store.promote(store.write_candidate(site.files(answer="two", more="no-such-section\n")))

    with pytest.raises(ReloadError):
        running.reload()

    assert "one" == site.fetch()
    assert before == worker_pids(site)


def test_reload_works_again_after_a_failed_one_was_rolled_back(
    site: SmallSite, store: StateFiles, running: HaproxyControl
) -> None:
    store.promote(store.write_candidate(site.files(answer="two", more="no-such-section\n")))
    with pytest.raises(ReloadError):
        running.reload()
    store.rollback()
    store.promote(store.write_candidate(site.files(answer="two")))

    running.reload()

    assert "two" == eventually(site.fetch)


def test_old_worker_finishes_its_request_and_leaves(site: SmallSite, running: HaproxyControl) -> None:
    (first_pid,) = worker_pids(site)
    request = site.begin_request()

    running.reload()

    assert [first_pid] == [worker.pid for worker in running.old_workers()]
    assert finish_request(request).endswith("one")
    eventually(lambda: not running.old_workers())


def test_reloads_under_load_lose_no_request(site: SmallSite, running: HaproxyControl) -> None:
    has_ended = threading.Event()
    answers: list[str] = []

    def keep_asking() -> None:
        while not has_ended.is_set():
            answers.append(site.fetch())

    thread = threading.Thread(target=keep_asking)
    thread.start()

    for _ in range(5):
        running.reload()
    has_ended.set()
    thread.join()

    assert {"one"} == set(answers)


def test_payload_reaches_the_worker(site: SmallSite, running: HaproxyControl) -> None:
    site.runtime("add map maps/hosts.map", "b.test one\nc.test two\n")

    shown = site.runtime("show map maps/hosts.map")

    assert ["a.test one", "b.test one", "c.test two"] == [line.split(maxsplit=1)[1] for line in shown.splitlines()]


def test_port_that_somebody_listens_on_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]

        while_taken = find_taken_ports([taken])

    assert {taken} == while_taken
    eventually(lambda: find_taken_ports([free_port()]) == set())


def test_port_that_somebody_has_over_ipv6_alone_stays_in_use_over_ipv4() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]

        found = [{*find_taken_ports([port])}, {*find_ipv4_only_ports([port])}]

    assert [set(), {port}] == found
    eventually(lambda: find_ipv4_only_ports([free_port()]) == set())


def test_machine_without_ipv6_has_every_port_over_ipv4_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def without_ipv6(family: int, kind: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, kind)

    monkeypatch.setattr(socket, "socket", without_ipv6)

    assert {80, 443} == find_ipv4_only_ports([80, 443])


def test_socket_that_does_not_answer_in_time_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "mute.sock"))
        listener.listen()

        with pytest.raises(RuntimeApiError, match=r"`show info` on socket .*mute.sock failed: no complete answer"):
            RuntimeSocket(tmp_path / "mute.sock").send("show info", timeout_seconds=0.05)


def test_socket_that_nobody_listens_on_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeApiError, match="No such file"):
        RuntimeSocket(tmp_path / "none.sock").send("show info")
