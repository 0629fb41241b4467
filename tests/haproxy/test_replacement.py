"""An HAProxy whose sockets are gone is replaced by another one. The old one serves until the new one does."""

from __future__ import annotations

import os
import shutil
import signal
from functools import partial

import pytest

from proxy.adapters.haproxy.master_identity import is_reachable, read_identity, read_mark
from proxy.adapters.haproxy.process_signals import HAPROXY_UNREACHABLE
from tests.eventually import eventually
from tests.haproxy.small_site import SmallSite, finish_request
from tests.haproxy.supervised import (
    Start,
    Supervised,
    answering_pid,
    constant_requests,
    haproxy_pids,
    is_alive,
    master_pids,
    save_files,
)

pytestmark = [pytest.mark.haproxy, pytest.mark.usefixtures("saved_site")]


@pytest.fixture
def running(start: Start) -> Supervised:
    """Run a supervisor whose HAProxy and controller are ready."""
    supervised = start()
    eventually(supervised.serves)
    eventually((supervised.notes / "ready").exists)
    eventually(lambda: is_reachable(supervised.haproxy_pid(), supervised.site.layout))
    return supervised


def remove_sockets(site: SmallSite) -> None:
    site.layout.master_socket.unlink()
    site.layout.runtime_socket.unlink()


def ask_for_another(supervised: Supervised) -> None:
    supervised.process.send_signal(HAPROXY_UNREACHABLE)


def test_haproxy_without_sockets_is_replaced_and_no_connection_is_refused(
    saved_site: SmallSite, running: Supervised
) -> None:
    """When a listener is closed, the kernel resets a connection that HAProxy has not accepted yet. A single client has at
    most one such connection at that moment. A missing listener would refuse many."""
    old = running.haproxy_pid()
    remove_sockets(saved_site)

    with constant_requests(saved_site) as answers:
        ask_for_another(running)
        eventually(lambda: answering_pid(saved_site) not in (0, old) and not is_alive(old))

    failed = [answer for answer in answers if answer != "one"]
    assert len(failed) <= 1, failed
    assert [] == [answer for answer in failed if "reset" not in answer]
    assert 1 == len(master_pids(saved_site))


def test_accepted_request_is_finished_by_the_old_haproxy(saved_site: SmallSite, running: Supervised) -> None:
    old = running.haproxy_pid()
    request = saved_site.begin_request()
    remove_sockets(saved_site)

    ask_for_another(running)
    eventually(lambda: answering_pid(saved_site) not in (0, old))
    is_old_alive = is_alive(old)

    assert finish_request(request).endswith("one")
    assert is_old_alive
    eventually(lambda: not is_alive(old))


def test_new_haproxy_has_the_mark_and_the_controller_is_told_of_it(saved_site: SmallSite, running: Supervised) -> None:
    old = running.haproxy_pid()
    remove_sockets(saved_site)

    ask_for_another(running)

    eventually(lambda: running.noted("starts"))
    new = answering_pid(saved_site)
    assert new not in (0, old)
    assert read_identity(new) == read_mark(saved_site.layout.start_mark)


def test_request_that_never_ends_holds_the_old_haproxy_for_the_time_of_a_stop(saved_site: SmallSite, start: Start) -> None:
    supervised = start(stop_seconds=0.3)
    eventually(supervised.serves)
    old = supervised.haproxy_pid()
    remove_sockets(saved_site)

    with saved_site.begin_request():
        ask_for_another(supervised)
        eventually(lambda: not is_alive(old))

    assert eventually(supervised.serves)
    assert old not in master_pids(saved_site)


def test_frozen_worker_ends_with_the_haproxy_that_was_replaced(saved_site: SmallSite, start: Start) -> None:
    """It would keep its listeners, and the kernel would hand it a part of all new connections."""
    supervised = start(stop_seconds=0.3)
    eventually(supervised.serves)
    worker = next(iter(haproxy_pids(saved_site) - {supervised.haproxy_pid()}))
    os.kill(worker, signal.SIGSTOP)

    ask_for_another(supervised)

    eventually(lambda: not is_alive(worker))
    assert eventually(supervised.serves)


def test_haproxy_that_answers_is_not_replaced(saved_site: SmallSite, running: Supervised) -> None:
    """The controller may have sent another request before it noticed that another HAProxy has taken over."""
    old = running.haproxy_pid()

    ask_for_another(running)

    eventually(lambda: running.says("is not replaced"))
    assert {old} == master_pids(saved_site)


@pytest.mark.parametrize("name", ["master.sock", "haproxy.sock"])
def test_one_socket_that_is_gone_is_enough(saved_site: SmallSite, running: Supervised, name: str) -> None:
    old = running.haproxy_pid()
    (saved_site.layout.folder / name).unlink()

    ask_for_another(running)

    eventually(lambda: not is_alive(old))
    assert eventually(lambda: is_reachable(next(iter(master_pids(saved_site))), saved_site.layout))


def test_state_folder_that_was_removed_is_served_from_again_once_it_has_files(
    saved_site: SmallSite, running: Supervised
) -> None:
    old = running.haproxy_pid()
    shutil.rmtree(saved_site.layout.folder)

    ask_for_another(running)
    serves_meanwhile = running.serves()
    save_files(saved_site, answer="two")

    eventually(lambda: answering_pid(saved_site) not in (0, old) and not is_alive(old))
    assert serves_meanwhile
    assert "two" == saved_site.fetch()


def test_old_haproxy_stays_when_the_new_one_does_not_come_up(saved_site: SmallSite, running: Supervised) -> None:
    old = running.haproxy_pid()
    remove_sockets(saved_site)
    save_files(saved_site, more="no-such-section\n")

    ask_for_another(running)
    eventually(lambda: running.says("did not come up"))
    mark = read_mark(saved_site.layout.start_mark)

    assert {old} == master_pids(saved_site)
    assert read_identity(old) == mark
    assert running.serves()

    save_files(saved_site)
    ask_for_another(running)

    assert eventually(lambda: answering_pid(saved_site) not in (0, old) and not is_alive(old))


def test_old_haproxy_that_dies_meanwhile_leaves_the_new_one(saved_site: SmallSite, running: Supervised) -> None:
    old = running.haproxy_pid()
    remove_sockets(saved_site)

    ask_for_another(running)
    eventually(lambda: running.says("as soon as it answers"))
    os.kill(old, signal.SIGKILL)

    eventually(lambda: answering_pid(saved_site) not in (0, old))
    eventually(lambda: len(master_pids(saved_site)) == 1)


@pytest.mark.parametrize("moment", ["as soon as it answers", "finishes its requests"], ids=["start", "end"])
def test_stop_during_the_replacement_ends_both(saved_site: SmallSite, running: Supervised, moment: str) -> None:
    remove_sockets(saved_site)
    request = saved_site.begin_request()

    ask_for_another(running)
    eventually(lambda: running.says(moment))
    running.process.send_signal(signal.SIGTERM)

    assert finish_request(request).endswith("one")
    assert 0 == running.process.wait(timeout=30)
    eventually(lambda: not haproxy_pids(saved_site))


@pytest.mark.parametrize("moment", ["as soon as it answers", "finishes its requests"], ids=["start", "end"])
def test_supervisor_that_is_killed_during_the_replacement_leaves_one_to_the_next(
    saved_site: SmallSite, running: Supervised, start: Start, moment: str
) -> None:
    remove_sockets(saved_site)
    request = saved_site.begin_request()
    ask_for_another(running)
    eventually(lambda: running.says(moment))
    running.process.kill()
    running.process.wait()

    second = start()

    eventually(lambda: second.says("is kept"))
    assert finish_request(request).endswith("one")
    eventually(lambda: len(master_pids(saved_site)) == 1)
    assert eventually(second.serves)


def test_adopted_haproxy_is_replaced_like_any_other(saved_site: SmallSite, running: Supervised, start: Start) -> None:
    old = running.haproxy_pid()
    running.process.kill()
    running.process.wait()
    remove_sockets(saved_site)
    second = start()
    eventually(lambda: second.says("is kept"))

    ask_for_another(second)

    eventually(lambda: answering_pid(saved_site) not in (0, old) and not is_alive(old))
    assert 1 == len(master_pids(saved_site))


@pytest.mark.parametrize("name", ["master.sock", "haproxy.sock"])
def test_folder_in_the_place_of_a_socket_is_moved_aside(saved_site: SmallSite, running: Supervised, name: str) -> None:
    old, path = running.haproxy_pid(), saved_site.layout.folder / name
    remove_sockets(saved_site)
    path.mkdir()
    (path / "somebody's").touch()

    ask_for_another(running)

    eventually(lambda: answering_pid(saved_site) not in (0, old) and not is_alive(old))
    assert (path.with_name(f"{name}.moved-1") / "somebody's").exists()
    assert 1 == running.log.read_text().count(f"{path} is a folder, but the proxy needs this name")


@pytest.mark.parametrize("name", ["master.sock", "haproxy.sock"])
def test_first_haproxy_starts_although_a_folder_has_the_name_of_its_socket(
    saved_site: SmallSite, start: Start, name: str
) -> None:
    (saved_site.layout.folder / name).mkdir()

    supervised = start()

    assert eventually(supervised.serves)
    assert supervised.says("is a folder")
    assert not supervised.says("is started again")


def starts_as_often_as(running: Supervised, number: int) -> bool:
    return running.noted("starts") == number


def test_haproxy_that_is_replaced_twice_leaves_one(saved_site: SmallSite, running: Supervised) -> None:
    seen = {running.haproxy_pid()}
    for number in (1, 2):
        remove_sockets(saved_site)
        ask_for_another(running)
        eventually(partial(starts_as_often_as, running, number))
        seen.add(answering_pid(saved_site))

    eventually(lambda: len(master_pids(saved_site)) == 1)
    assert master_pids(saved_site) <= seen
    assert 3 == len(seen)
