"""HAProxy or the controller is killed or stopped: traffic flows as long as possible, and the end is in good order."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from proxy.supervision.haproxy_starts import NO_SERVER_STATES
from tests.eventually import eventually
from tests.haproxy.small_site import SmallSite, finish_request
from tests.haproxy.supervised import (
    STUBBORN_CONTROLLER,
    WRONG_SETTINGS,
    Start,
    Supervised,
    constant_requests,
    is_alive,
    is_answering,
    save_files,
    voluntary_switches,
)

pytestmark = pytest.mark.haproxy


def test_last_good_files_are_served_while_the_controller_does_nothing(saved_site: SmallSite, start: Start) -> None:
    supervised = start()

    assert eventually(supervised.serves)


def test_first_files_are_served_as_soon_as_they_are_there(small_site: SmallSite, start: Start) -> None:
    supervised = start()
    eventually(supervised.controller_pid)
    save_files(small_site)

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


def test_controller_that_keeps_ending_is_started_again_ever_later(small_site: SmallSite, start: Start) -> None:
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
def test_request_for_a_reload_reaches_the_controller(small_site: SmallSite, start: Start, number: signal.Signals) -> None:
    supervised = start()
    eventually(supervised.controller_pid)

    supervised.process.send_signal(number)

    assert eventually(lambda: supervised.noted("reloads"))


@pytest.mark.parametrize("haproxy_binary", ["HAPROXY_34"], ids=["3.4"], indirect=True)
def test_controller_that_is_only_starting_outlives_a_request_for_a_reload_and_gets_it(
    small_site: SmallSite, start: Start
) -> None:
    supervised = start(waits=True)
    controller = eventually(supervised.controller_pid)

    supervised.process.send_signal(signal.SIGHUP)
    eventually(lambda: is_pending(controller, signal.SIGUSR1))
    (supervised.notes / "wait").unlink()

    assert eventually(lambda: supervised.noted("reloads"))
    assert controller == supervised.controller_pid()


def test_controller_is_told_that_haproxy_was_started(saved_site: SmallSite, start: Start) -> None:
    supervised = start()
    eventually((supervised.notes / "ready").exists)
    haproxy = supervised.haproxy_pid()
    before = supervised.noted("starts")

    os.kill(haproxy, signal.SIGKILL)

    assert 0 == before, "the first look of a controller that starts after HAProxy needs no hint"
    assert eventually(lambda: supervised.noted("starts"))


def test_controller_is_told_of_the_first_haproxy_when_it_runs_before_it(small_site: SmallSite, start: Start) -> None:
    supervised = start()
    eventually((supervised.notes / "ready").exists)

    save_files(small_site)

    assert eventually(lambda: supervised.noted("starts"))


def test_controller_that_is_only_starting_outlives_the_news_of_a_start_and_gets_it(
    saved_site: SmallSite, start: Start
) -> None:
    supervised = start(waits=True)
    controller, haproxy = eventually(supervised.controller_pid), supervised.haproxy_pid()

    os.kill(haproxy, signal.SIGKILL)
    eventually(lambda: is_pending(controller, signal.SIGRTMIN))
    (supervised.notes / "wait").unlink()

    assert eventually(lambda: supervised.noted("starts"))
    assert controller == supervised.controller_pid()


def is_pending(pid: int, number: int) -> bool:
    """Return whether a signal waits until the process unblocks it (proc(5), ShdPnd)."""
    status = Path(f"/proc/{pid}/status").read_text()
    pending = next(line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd"))
    return bool(int(pending, 16) >> (number - 1) & 1)


def has_passed(moment: float) -> bool:
    return time.monotonic() > moment


def is_another(supervised: Supervised, haproxy: int) -> bool:
    return supervised.haproxy_pid() != haproxy


def test_haproxy_that_is_killed_now_and_then_is_started_again_at_once(saved_site: SmallSite, start: Start) -> None:
    supervised = start()
    for _ in range(3):
        haproxy, started = supervised.haproxy_pid(), time.monotonic()
        eventually(partial(has_passed, started + 1.1))
        os.kill(haproxy, signal.SIGKILL)
        eventually(partial(is_another, supervised, haproxy))

    lines = supervised.log.read_text().splitlines()
    assert ["0.0", "0.0", "0.0"] == [line.split()[-2] for line in lines if "is started again" in line]


def test_second_supervisor_on_the_same_folder_is_refused(saved_site: SmallSite, start: Start) -> None:
    first = start()
    eventually(first.serves)

    second = start()

    assert 1 == second.process.wait(timeout=30)
    assert "another proxy uses the state folder" in second.log.read_text()
    assert first.serves()


def test_start_of_haproxy_is_marked_until_it_has_ended(saved_site: SmallSite, start: Start) -> None:
    """A later supervisor reads the mark: see `find_masters`."""
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

    assert NO_SERVER_STATES == saved_site.layout.server_state.read_text()
    assert "server state file" not in supervised.log.read_text()


def test_quiet_supervisor_uses_next_to_no_processor_time(saved_site: SmallSite, start: Start) -> None:
    """The test counts how often it was woken. Other load on the machine does not change this number."""
    supervised = start()
    eventually(supervised.serves)
    eventually(supervised.controller_pid)

    before = voluntary_switches(supervised.process.pid)
    deadline = time.monotonic() + 1.0
    eventually(lambda: time.monotonic() > deadline, interval=0.2)

    assert voluntary_switches(supervised.process.pid) - before <= 1
