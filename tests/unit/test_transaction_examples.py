"""What the state machine of `test_transaction` has found, each as the shortest course of events that shows it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from proxy.core.containers.containers import Container, State
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.own_files import OwnFiles
from proxy.core.trigger import TriggerKind
from proxy.errors import CheckNotRunError, StateError
from proxy.grammar.certificates import parse_certificate
from tests.builders import make_container, make_pem, one_line, with_labels
from tests.controlled import Controlled
from tests.simulated_haproxy import SimulatedServer

FIRST = make_container("first-1", virtual_host="first.example")
SECOND = make_container("second-1", virtual_host="second.example")
LEAST = make_container("least-1", labels=with_labels(VIRTUAL_HOST="least.example", BALANCE="leastconn"))
BROKEN = make_container("bad-1", labels=with_labels(VIRTUAL_HOST="bad.example", EXTRA_SETTINGS="description broken"))


@pytest.fixture
def world(tmp_path: Path) -> Controlled:
    """A controller and an HAProxy that have nothing to do with each other any more: `FIRST` is served."""
    world = Controlled(tmp_path)
    bring(world, FIRST)
    return world


def bring(world: Controlled, *containers: Container, passes: int = 4, seconds: float = 1.0) -> None:
    """Exactly these run; passes follow, and what they begin is done."""
    world.source.set(containers)
    world.put(TriggerKind.LOOK)
    for _ in range(passes):
        world.run_pass()
        while world.run_job(world.files) or world.run_job(world.checks):
            pass
        world.start_haproxy()
        world.now += seconds


def rows(world: Controlled) -> list[str]:
    assert world.haproxy.running
    return sorted(key for key, _ in world.haproxy.running.maps["maps/80-hosts.map"])


def test_row_that_somebody_deleted_comes_back(world: Controlled) -> None:
    assert world.haproxy.running
    world.haproxy.running.maps["maps/80-hosts.map"].clear()

    bring(world, FIRST, seconds=70)

    assert ["first.example"] == rows(world)


def test_service_that_came_while_the_controller_was_down_gets_its_rows_without_a_reload(world: Controlled) -> None:
    reloads = world.haproxy.reloads

    world.start_controller()
    bring(world, FIRST, SECOND)

    assert ["first.example", "second.example"] == rows(world)
    assert reloads == world.haproxy.reloads


def test_check_that_failed_leaves_nothing_to_be_asked_for_at_once_when_its_service_has_gone(tmp_path: Path) -> None:
    """`run_pass` fails where a pass asks for another one at once."""
    world = Controlled(tmp_path, ROUTE_LINGER="0")
    bring(world, FIRST)
    world.fail("scratch", CheckNotRunError("killed"))
    bring(world, FIRST, LEAST, passes=1)

    bring(world, FIRST, seconds=2.0)

    assert world.is_idle


def test_disk_error_leaves_nothing_to_be_asked_for_at_once_when_it_is_over(world: Controlled) -> None:
    world.fail("write", StateError("disk full"))

    bring(world, FIRST, SECOND, passes=8, seconds=2.0)

    assert "second.example" in str(world.disk.current)


def test_pass_beside_a_load_that_takes_long_does_not_ask_for_the_next_one_at_once(tmp_path: Path) -> None:
    world = Controlled(tmp_path, is_later=True)
    bring(world, FIRST)
    bring(world, FIRST, SECOND, passes=1)
    world.put(TriggerKind.RELOAD)
    world.run_pass()
    world.now += 20.0

    outcome = world.run_pass()

    assert outcome


def test_server_is_waited_for_though_the_prober_failed_once(world: Controlled) -> None:
    world.fail("wait_for", RuntimeError("injected"))

    bring(world, FIRST, SECOND)

    assert ["first.example", "second.example"] == rows(world)
    assert {"ready"} == {server.state for backend in world.model().backends for server in backend.servers}


def test_service_that_was_mended_while_its_fault_was_searched_takes_part(tmp_path: Path) -> None:
    world = Controlled(tmp_path, is_later=True)
    world.haproxy.refuses = ("broken",)
    world.source.set([BROKEN])
    world.run_pass()
    world.run_job(world.files)
    mended = dataclasses.replace(BROKEN, id="f" * 64, labels=with_labels(VIRTUAL_HOST="bad.example"))
    world.source.set([mended])
    world.run_pass()
    world.run_job(world.checks)

    bring(world, mended)

    assert ["bad.example"] == rows(world)
    assert () == world.controller.desired.problems()


def test_stopped_service_with_refused_settings_holds_up_no_other(tmp_path: Path) -> None:
    world = Controlled(tmp_path)
    world.haproxy.refuses = ("broken",)

    bring(world, FIRST, dataclasses.replace(BROKEN, state=State.STOPPED))

    assert ["first.example"] == rows(world)
    assert ["shop:bad"] == [problem.service for problem in world.controller.desired.problems()]


def test_files_follow_though_the_controller_was_killed_before_it_wrote_them(world: Controlled) -> None:
    bring(world, FIRST, SECOND, passes=3, seconds=0.1)
    assert "second.example" not in str(world.disk.current)

    world.start_controller()
    bring(world, FIRST, SECOND)

    assert "second.example" in str(world.disk.current)


def test_server_that_somebody_added_does_not_keep_a_backend_that_leaves(world: Controlled) -> None:
    bring(world, FIRST, SECOND)
    assert world.haproxy.running
    world.haproxy.running.servers["shop:second"]["by-hand"] = SimulatedServer("127.9.9.9", 80)
    bring(world, FIRST, seconds=20)

    bring(world, FIRST, seconds=70)

    assert "shop:second" not in world.haproxy.running.servers


def test_full_look_that_meets_a_change_looks_for_drift_at_the_next_pass(world: Controlled) -> None:
    assert world.haproxy.running
    world.haproxy.running.maps["maps/80-hosts.map"].clear()
    world.now += 100.0

    bring(world, FIRST, SECOND)

    assert ["first.example", "second.example"] == rows(world)


def test_own_files_that_cannot_be_read_are_read_again_after_a_pause(tmp_path: Path) -> None:
    """The end of each reading causes a pass: with no pause, each pass would begin the next one."""
    world = Controlled(tmp_path, is_later=True)
    bring(world, FIRST)
    world.fail("own files", OSError("unreadable"), is_lasting=True)
    world.put(TriggerKind.FILES)

    bring(world, FIRST, passes=10, seconds=0.01)

    assert 1 == len(world.raised)


def test_container_that_changes_its_settings_keeps_its_server_until_they_are_checked(tmp_path: Path) -> None:
    """As one of the services file does, whose name stays; the check may be killed again and again."""
    world = Controlled(tmp_path)
    of_file = dataclasses.replace(FIRST, id="shop/first-1")
    bring(world, of_file)
    world.fail("scratch", CheckNotRunError("killed"), is_lasting=True)
    labels = with_labels(VIRTUAL_HOST="first.example", BALANCE="leastconn")

    bring(world, dataclasses.replace(of_file, labels=labels))

    assert ["ready"] == [server.state for backend in world.model().backends for server in backend.servers]


def test_certificates_wait_for_a_port_that_shows_them(tmp_path: Path) -> None:
    """HAProxy does not know the list of certificates while another program holds the one port that uses it."""
    world = Controlled(tmp_path)
    first, second = (parse_certificate(make_pem(f"{name}.example")) for name in ("one", "two"))
    world.own_files = OwnFiles(certificates=ProxyCertificates(default=first))
    world.haproxy.taken_ports = frozenset({443})
    bring(world, FIRST, seconds=70)
    reloads = world.haproxy.reloads
    world.own_files = OwnFiles(certificates=ProxyCertificates(default=second))
    world.put(TriggerKind.FILES)
    bring(world, FIRST, seconds=70)
    assert reloads == world.haproxy.reloads

    world.haproxy.taken_ports = frozenset()
    bring(world, FIRST, seconds=70)

    assert world.haproxy.running
    assert {"certs/default/cert0.pem": second.pem.reveal()} == world.haproxy.running.certificates


PLAIN = make_container("plain-1", created=2, labels=with_labels(VIRTUAL_HOST="plain.example:206"))
LATE = make_container("late-1", created=1, labels=with_labels(VIRTUAL_HOST="https://late.example:206"))
LATE_TCP = make_container("late-1", created=1, ports=(206,), labels=with_labels(TCP_PORTS="206/ssl"))


@pytest.mark.parametrize("late", [LATE, LATE_TCP], ids=["https", "tcp"])
@pytest.mark.parametrize("is_haproxy_new", [False, True], ids=["controller", "proxy"])
def test_port_keeps_its_use_over_a_restart(world: Controlled, late: Container, is_haproxy_new: bool) -> None:
    """The service that has the port was recreated: its container is younger than that of the newcomer."""
    default = parse_certificate(make_pem("default.example"))
    world.own_files = dataclasses.replace(world.own_files, certificates=ProxyCertificates(default=default))
    world.put(TriggerKind.FILES)
    bring(world, PLAIN)
    bring(world, PLAIN, late)
    if is_haproxy_new:
        world.kill_haproxy()

    world.start_controller()
    world.start_haproxy()
    bring(world, PLAIN, late)

    (frontend,) = (frontend for frontend in world.model().frontends if frontend.port == 206)
    assert (False, ["plain.example"]) == (frontend.is_tls, [route.entry.domain for route in frontend.routes])
    assert {"shop:late"} == {problem.service for problem in world.controller.desired.problems()}


def secured(name: str, **certificates: str) -> Container:
    labels = with_labels(VIRTUAL_HOST="safe.example, https://safe.example", FORCE_SSL="yes", **certificates)
    return make_container(name, service="safe", id=name.encode().hex().ljust(64, "0"), labels=labels)


@pytest.mark.parametrize("label", ["SSL_CERT", "DEFAULT_SSL_CERT"])
def test_broken_certificate_of_a_new_container_does_not_displace_that_of_its_service(world: Controlled, label: str) -> None:
    good = secured("safe-1", **{label: one_line(make_pem("safe.example"))})
    broken = secured("safe-2", **{label: "half of a PEM"})
    bring(world, FIRST, good)
    before = world.model().certificates

    bring(world, FIRST, good, broken)
    bring(world, FIRST, broken, seconds=70)

    assert before == world.model().certificates
    servers = [server.container for backend in world.model().backends for server in backend.servers]
    assert ["first-1", "safe-2"] == sorted(servers)
    (problem,) = world.controller.desired.problems()
    assert problem.reason.endswith("; the certificate that the service had before stays in force")


def test_certificate_of_a_service_that_has_gone_is_forgotten(world: Controlled) -> None:
    bring(world, FIRST, secured("safe-1", SSL_CERT=one_line(make_pem("safe.example"))))
    bring(world, FIRST, seconds=70)

    bring(world, FIRST, secured("safe-2", SSL_CERT="half of a PEM"))

    assert () == world.model().certificates


def test_name_in_the_settings_that_gets_an_address_takes_a_reload(tmp_path: Path) -> None:
    """One that has lost its address takes none: HAProxy goes on with the one that it has."""
    world = Controlled(tmp_path)
    reloads = []
    for addresses in ({}, {"logs": "10.0.0.9"}, {"logs": "10.0.0.7"}, {"logs": "10.0.0.7"}, {}):
        world.own_files = OwnFiles(addresses=addresses)
        world.put(TriggerKind.FILES)
        bring(world, FIRST)
        reloads.append(world.haproxy.reloads)

    assert [0, 1, 2, 2, 2] == [count - reloads[0] for count in reloads]


def test_port_that_somebody_has_over_ipv6_is_served_over_ipv4_until_it_is_free(tmp_path: Path) -> None:
    world = Controlled(tmp_path)
    world.haproxy.ipv4_only_ports = frozenset({80})

    def lines() -> list[str]:
        files = world.haproxy.files()
        return [line.strip() for line in (files or {})["haproxy.cfg"].splitlines() if "bind :80" in line]

    bring(world, FIRST)
    before, reloads = lines(), world.haproxy.reloads
    bring(world, FIRST, seconds=70)
    idle = world.haproxy.reloads - reloads
    world.haproxy.ipv4_only_ports = frozenset()
    bring(world, FIRST, seconds=70)

    assert (["bind :80"], ["bind :80,:::80 v6only"]) == (before, lines())
    assert (0, 1) == (idle, world.haproxy.reloads - reloads)


@pytest.mark.parametrize(("label", "file"), [("SSL_CERT", "shop~safe.pem"), ("DEFAULT_SSL_CERT", "shop~safe~default.pem")])
def test_certificate_of_a_service_outlives_a_restart_while_its_label_is_broken(
    world: Controlled, label: str, file: str
) -> None:
    """`previous` is what HAProxy runs from: the controller itself remembers nothing."""
    pem = make_pem("safe.example")
    world.own_files = OwnFiles(templates="1", certificates=ProxyCertificates(previous={file: pem}))
    world.start_controller()

    bring(world, FIRST, secured("safe-2", **{label: "half of a PEM"}))

    assert {pem} == {stored.certificate.pem.reveal() for stored in world.model().certificates}
    assert 1 == len(world.controller.desired.problems())


def test_force_ssl_holds_where_the_certificates_are_gone_at_a_restart_of_the_controller(world: Controlled) -> None:
    default = parse_certificate(make_pem("safe.example"))
    world.own_files = dataclasses.replace(world.own_files, certificates=ProxyCertificates(default=default))
    world.put(TriggerKind.FILES)
    bring(world, secured("safe-1"))

    world.own_files = OwnFiles(templates="1")
    world.start_controller()
    bring(world, secured("safe-1"))

    (backend,) = world.model().backends
    assert any(line.startswith("http-request redirect code 301") for line in backend.profile.lines)
