"""There is only one HAProxy on a state folder. One that an earlier supervisor left running is taken over, whether or not it
answers at that moment. No other process is ever mistaken for it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from functools import partial

import pytest

from proxy.adapters.haproxy.haproxy_process import HaproxyProgram
from proxy.adapters.haproxy.master_identity import MasterIdentity, is_reachable, read_identity, read_mark, write_mark
from tests.eventually import eventually
from tests.haproxy.small_site import SmallSite, finish_request
from tests.haproxy.supervised import (
    Start,
    Supervised,
    constant_requests,
    haproxy_pids,
    is_alive,
    is_answering,
    master_pids,
    save_files,
    voluntary_switches,
)

pytestmark = [pytest.mark.haproxy, pytest.mark.usefixtures("saved_site")]


@pytest.fixture
def left(start: Start) -> int:
    """Return the master that a killed supervisor has left running."""
    first = start()
    eventually(first.serves)
    pid, controller = first.haproxy_pid(), eventually(first.controller_pid)
    first.process.kill()
    first.process.wait()
    eventually(lambda: not is_alive(controller))
    return pid


def has_adopted(supervised: Supervised) -> bool:
    return supervised.says("is kept")


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
    eventually(lambda: "is kept" in second.log.read_text())

    os.kill(haproxy, signal.SIGKILL)

    eventually(lambda: second.haproxy_pid() != haproxy)
    assert eventually(second.serves)


def test_haproxy_that_does_not_answer_at_the_moment_is_adopted(left: int, saved_site: SmallSite, start: Start) -> None:
    """HAProxy 2.6 refuses connections to its master socket while it reloads. Here the socket is gone for good."""
    saved_site.layout.master_socket.unlink()

    second = start()
    eventually(lambda: second.says("runs as process"))

    assert {left} == master_pids(saved_site)
    assert has_adopted(second)


def test_adopted_haproxy_that_refuses_connections_is_not_taken_for_dead(
    left: int, saved_site: SmallSite, start: Start
) -> None:
    second = start()
    eventually(lambda: has_adopted(second))
    saved_site.layout.master_socket.rename(saved_site.layout.master_socket.with_suffix(".away"))

    deadline = time.monotonic() + 2.5
    eventually(lambda: time.monotonic() > deadline, interval=0.2)

    assert {left} == master_pids(saved_site)
    assert not second.says("is started again")


def test_reloads_while_supervisors_come_and_go_leave_one_haproxy(left: int, saved_site: SmallSite, start: Start) -> None:
    for _ in range(4):
        os.kill(left, signal.SIGUSR2)
        supervised = start()
        eventually(partial(supervised.says, "runs as process"))
        os.kill(left, signal.SIGUSR2)
        supervised.process.kill()
        supervised.process.wait()

    # A master that executes itself again for a reload has no command line for a moment.
    eventually(lambda: {left} == master_pids(saved_site))


def test_stop_ends_an_adopted_haproxy_whose_socket_is_gone(left: int, saved_site: SmallSite, start: Start) -> None:
    saved_site.layout.master_socket.unlink()
    second = start()
    eventually(lambda: has_adopted(second))

    second.process.send_signal(signal.SIGTERM)

    assert 0 == second.process.wait(timeout=30)
    eventually(lambda: not haproxy_pids(saved_site))


@pytest.mark.parametrize("has_socket", [True, False], ids=["socket", "no socket"])
def test_haproxy_without_a_mark_is_adopted_and_marked(
    left: int, saved_site: SmallSite, start: Start, has_socket: bool
) -> None:
    saved_site.layout.start_mark.unlink()
    if not has_socket:
        saved_site.layout.master_socket.unlink()

    second = start()
    eventually(lambda: has_adopted(second))

    assert {left} == master_pids(saved_site)
    assert read_identity(left) == eventually(lambda: read_mark(saved_site.layout.start_mark))


def test_disk_that_does_not_take_the_mark_keeps_nobody_from_serving(saved_site: SmallSite, start: Start) -> None:
    """A folder with the name of the mark can be neither written nor removed."""
    saved_site.layout.start_mark.mkdir()
    first = start()
    eventually(first.serves)
    haproxy = first.haproxy_pid()
    first.process.kill()
    first.process.wait()

    second = start()
    eventually(lambda: has_adopted(second))
    os.kill(haproxy, signal.SIGKILL)

    eventually(lambda: second.haproxy_pid() != haproxy)
    assert eventually(second.serves)


def test_mark_names_the_master_also_after_a_reload(saved_site: SmallSite, start: Start) -> None:
    supervised = start()
    eventually(supervised.serves)
    haproxy = supervised.haproxy_pid()
    identity = read_identity(haproxy)

    save_files(saved_site, answer="two")

    def has_reloaded() -> bool:
        os.kill(haproxy, signal.SIGUSR2)  # Again each time, because a master that is just starting loses the signal.
        return saved_site.fetch() == "two"

    eventually(has_reloaded, interval=0.5)

    assert identity == read_identity(haproxy)
    assert identity == read_mark(saved_site.layout.start_mark)


@pytest.mark.parametrize("shift", [0, 1], ids=["same start time", "another start time"])
def test_another_program_that_has_the_number_is_neither_adopted_nor_signalled(
    saved_site: SmallSite, start: Start, shift: int
) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as stranger:
        identity = read_identity(stranger.pid) or pytest.fail("the stranger does not run")
        write_mark(saved_site.layout.start_mark, MasterIdentity(pid=stranger.pid, start_time=identity.start_time + shift))

        supervised = start()
        eventually(supervised.serves)
        haproxy = supervised.haproxy_pid()
        supervised.process.send_signal(signal.SIGTERM)
        exit_code = supervised.process.wait(timeout=30)
        is_stranger_alive = stranger.poll() is None
        stranger.kill()

    assert stranger.pid != haproxy
    assert 0 == exit_code
    assert is_stranger_alive


def test_haproxy_that_somebody_else_started_is_adopted_when_it_answers(
    saved_site: SmallSite, start: Start, haproxy_binary: str
) -> None:
    """It leads no session and no mark names it. Only the kernel's information about the socket identifies it."""
    program = HaproxyProgram(haproxy_binary, os.environ)
    command = program.master_command(saved_site.layout.config, saved_site.layout.master_socket)
    with subprocess.Popen(command, env=program.environment) as master:
        try:
            eventually(lambda: is_reachable(master.pid, saved_site.layout))
            supervised = start()
            eventually(lambda: has_adopted(supervised))
            masters = master_pids(saved_site)
        finally:
            master.kill()

    assert {master.pid} == masters


def test_second_haproxy_that_a_killed_supervisor_left_is_ended_softly(
    left: int, saved_site: SmallSite, start: Start, haproxy_binary: str
) -> None:
    """A supervisor that is killed while one HAProxy takes over from another leaves both running."""
    program = HaproxyProgram(haproxy_binary, os.environ)
    command = program.master_command(saved_site.layout.config, saved_site.layout.master_socket)
    with subprocess.Popen(command, env=program.environment, start_new_session=True) as other:
        try:
            eventually(lambda: is_reachable(other.pid, saved_site.layout))
            second = start()
            eventually(lambda: other.poll() is not None)
        finally:
            other.kill()

    assert {left} == master_pids(saved_site)
    assert 0 == other.returncode
    assert eventually(second.serves)


def test_adopted_haproxy_costs_no_processor_time(left: int, saved_site: SmallSite, start: Start) -> None:
    second = start()
    eventually(lambda: has_adopted(second))
    eventually((second.notes / "ready").exists)

    before = voluntary_switches(second.process.pid)
    deadline = time.monotonic() + 2.0
    eventually(lambda: time.monotonic() > deadline, interval=0.2)

    assert voluntary_switches(second.process.pid) - before <= 1


def test_stop_finishes_a_request_in_flight_of_an_adopted_haproxy(left: int, saved_site: SmallSite, start: Start) -> None:
    second = start()
    eventually(lambda: has_adopted(second))
    request = saved_site.begin_request()

    second.process.send_signal(signal.SIGTERM)
    eventually(lambda: not is_answering(saved_site))

    assert finish_request(request).endswith("one")
    assert 0 == second.process.wait(timeout=30)
    assert not is_alive(left)
