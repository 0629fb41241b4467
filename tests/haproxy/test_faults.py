"""Things go wrong around a running proxy, and it recovers without anybody's help.

The tests use the whole program: supervisor, controller and HAProxy. The services come from a file.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.adapters.haproxy.runtime_socket import RuntimeSocket
from proxy.adapters.haproxy.state_layout import StateLayout
from tests.builders import TEMPLATES, make_pem, one_line
from tests.eventually import eventually
from tests.haproxy.authority import Authority
from tests.haproxy.client import HOST, any_tls, ask
from tests.haproxy.product import Product
from tests.haproxy.program import Program, read_processes
from tests.haproxy.small_disk import fill, small_disk

pytestmark = pytest.mark.haproxy

OTHER = "other.example"
NEW = "new.example"


def host(name: str, **labels: str) -> Mapping[str, str]:
    return {"VIRTUAL_HOST": name, **labels}


def answers(program: Program, name: str) -> str:
    """Return who answers for a host; empty if nobody does."""
    return ask(80 + program.offset, host=name).server


def layout_of(program: Program) -> StateLayout:
    return StateLayout(folder=program.folder / "state")


def reloads(program: Program) -> int:
    """Return how often the log says that HAProxy was reloaded."""
    return program.log.read_text().count(" reload: ")


class Checker:
    """A program in the place of HAProxy. It counts checks, and kills or delays them when a test wants it."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.path = folder / "haproxy-checked"
        self._count, self._kill, self._hold = folder / "checks", folder / "kill-checks", folder / "hold-checks"
        self._count.touch()
        self.path.write_text(
            "#!/bin/bash\n"
            'if [ "$1" = "-c" ]; then\n'
            f'  echo "$*" >> {self._count}\n'
            f"  if [ -e {self._kill} ]; then kill -9 $$; fi\n"
            f"  while [ -e {self._hold} ]; do sleep 0.02; done\n"
            "fi\n"
            f'exec -a "$0" {binary} "$@"\n'
        )
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)

    def count(self) -> int:
        return len(self._count.read_text().splitlines())

    def count_of_settings(self) -> int:
        """Return how many checks were about settings of services, and not about files to start from."""
        return sum("/checks/" in line for line in self._count.read_text().splitlines())

    def kill_checks(self) -> None:
        self._kill.touch()

    def hold_checks(self) -> None:
        self._hold.touch()

    def let_go(self) -> None:
        self._kill.unlink(missing_ok=True)
        self._hold.unlink(missing_ok=True)


@pytest.fixture
def checker(haproxy_binary: str, tmp_path: Path) -> Checker:
    return Checker(haproxy_binary, tmp_path)


def test_new_service_is_served_after_haproxy_was_killed(program: Program, product: Product) -> None:
    """HAProxy starts from files that may be up to a second old."""
    first, second = product.backend("first"), product.backend("second")
    program.write_services(web=(first, host(HOST)))

    with program.running():
        eventually(lambda: answers(program, HOST))
        program.write_services(web=(first, host(HOST)), new=(second, host(NEW)))
        eventually(lambda: answers(program, NEW) == "second")
        found = read_processes(program)
        for pid in (found.master_pid, found.serving_pid):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: read_processes(program).master_pid != found.master_pid)

        assert eventually(lambda: answers(program, NEW) == "second")
        assert eventually(lambda: "was compared with the containers" in program.log.read_text())


def test_server_that_has_gone_gets_nothing_after_haproxy_was_killed(program: Program, product: Product) -> None:
    """Its address may belong to another service by now."""
    first, second = product.backend("first", "127.0.0.1"), product.backend("second", "127.0.0.2")
    program.write_services(web=(first, host(HOST)), also=(second, host(HOST)))

    with program.running():
        eventually(lambda: {answers(program, HOST) for _ in range(4)} == {"first", "second"})
        program.write_services(web=(first, host(HOST)), also=(second, host(OTHER)))
        eventually(lambda: answers(program, OTHER) == "second")
        found = read_processes(program)
        for pid in (found.master_pid, found.serving_pid):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: read_processes(program).master_pid != found.master_pid)
        eventually(lambda: answers(program, OTHER) == "second")

        assert {"first"} == {answers(program, HOST) for _ in range(20)}


def test_service_that_came_while_the_disk_was_full_is_served_later(program: Program, product: Product) -> None:
    first, second = product.backend("first"), product.backend("second")
    program.write_services(web=(first, host(HOST)))

    with small_disk(program.folder / "state") as disk, program.running():
        eventually(lambda: answers(program, HOST))
        filler = fill(disk)
        program.write_services(web=(first, host(HOST)), new=(second, host(NEW, HTTP_CHECK="GET /")))
        eventually(lambda: "could not be checked" in program.log.read_text() or "failed" in program.log.read_text())
        during = answers(program, HOST)
        filler.unlink()

        assert eventually(lambda: answers(program, NEW) == "second")
        assert "first" == during


def test_reload_that_was_due_while_the_disk_was_full_is_done_later(program: Program, product: Product) -> None:
    first, second = product.backend("first"), product.backend("second")
    program.write_services(web=(first, host(HOST)))
    port = product.tcp_port

    with small_disk(program.folder / "state") as disk, program.running():
        eventually(lambda: answers(program, HOST))
        filler = fill(disk)
        program.write_services(web=(first, host(HOST)), new=(second, host(f"{NEW}:{port}")))
        eventually(lambda: "failed" in program.log.read_text())
        filler.unlink()

        assert eventually(lambda: ask(port + program.offset, host=NEW).server == "second")


def test_killed_check_says_nothing_about_the_service(program: Program, product: Product, checker: Checker) -> None:
    """The system's memory killer takes such a process first."""
    first, second = product.backend("first"), product.backend("second")
    program.write_services(web=(first, host(HOST)))

    with program.running(PROXY_HAPROXY=str(checker.path)):
        eventually(lambda: answers(program, HOST))
        checker.kill_checks()
        program.write_services(web=(first, host(HOST)), new=(second, host(NEW, HTTP_CHECK="GET /")))
        eventually(lambda: "could not be checked" in program.log.read_text())
        checker.let_go()

        assert eventually(lambda: answers(program, NEW) == "second")
        assert "HAProxy rejects it" not in program.log.read_text()


def test_killed_check_before_the_first_start_is_tried_again(program: Program, product: Product, checker: Checker) -> None:
    program.write_services(web=(product.backend("first"), host(HOST, HTTP_CHECK="GET /")))
    checker.kill_checks()

    with program.running(PROXY_HAPROXY=str(checker.path)):
        eventually(lambda: "was killed by SIGKILL" in program.log.read_text())
        checker.let_go()

        assert eventually(lambda: answers(program, HOST) == "first")


@contextmanager
def somebody_listens(port: int) -> Iterator[None]:
    """Occupy the port, as another program does, until the block ends."""
    with socket.create_server(("", port), reuse_port=False):
        yield


def test_port_that_somebody_has_costs_only_its_service(program: Program, product: Product) -> None:
    """Without this, HAProxy would not start at all."""
    first, second = product.backend("first"), product.backend("second")
    port = product.tcp_port
    program.write_services(web=(first, host(HOST)), own=(second, {"TCP_PORTS": str(second.port)}))
    program.write_services(web=(first, host(HOST)), own=(second, host(f"{NEW}:{port}")))

    with somebody_listens(port + program.offset), program.running(PROXY_RESYNC_SECONDS="1"):
        eventually(lambda: answers(program, HOST) == "first")
        told = eventually(lambda: f"another process listens on port {port + program.offset}" in program.log.read_text())
        checked = program.run("check").stdout

    assert told
    assert f"another process listens on port {port + program.offset}" in checked


def test_port_that_is_free_again_is_taken_into_use(program: Program, product: Product) -> None:
    first, second = product.backend("first"), product.backend("second")
    port = product.tcp_port
    program.write_services(web=(first, host(HOST)), own=(second, host(f"{NEW}:{port}")))

    with program.running(PROXY_RESYNC_SECONDS="1"):
        with somebody_listens(port + program.offset):
            eventually(lambda: answers(program, HOST) == "first")
            eventually(lambda: "another process listens" in program.log.read_text())

        assert eventually(lambda: ask(port + program.offset, host=NEW).server == "second")
        assert "problem is gone" in program.log.read_text()


def test_statistics_port_that_somebody_has_is_a_problem_and_no_outage(program: Program, product: Product) -> None:
    program.write_services(web=(product.backend("first"), host(HOST)))

    with somebody_listens(1936 + program.offset), program.running(PROXY_RESYNC_SECONDS="1"):
        eventually(lambda: answers(program, HOST) == "first")
        assert eventually(
            lambda: f"STATS_PORT: another process listens on port {1936 + program.offset}" in program.log.read_text()
        )

    with program.running():
        assert eventually(lambda: ask(1936 + program.offset).status == 401)


def test_many_services_with_settings_of_their_own_take_one_check_and_hold_up_nobody(
    program: Program, product: Product, checker: Checker
) -> None:
    first, second = product.backend("first"), product.backend("second")
    own = {f"own{number}": (first, host(f"own{number}.example", HTTP_CHECK=f"GET /{number}")) for number in range(200)}
    program.write_services(web=(first, host(HOST)))

    with program.running(PROXY_HAPROXY=str(checker.path)):
        eventually(lambda: answers(program, HOST) == "first")
        eventually(lambda: len(list(program.current.parent.glob("generations/*"))) >= 1)
        before = checker.count()
        checker.hold_checks()
        program.write_services(web=(first, host(HOST)), **own)
        eventually(lambda: checker.count() > before)
        program.write_services(web=(second, host(HOST)), **own)
        others = eventually(lambda: answers(program, HOST) == "second")
        during = ask(80 + program.offset, host="own0.example").status
        checker.let_go()
        eventually(lambda: answers(program, "own199.example") == "first")
        checks = checker.count() - before

    assert (True, 503) == (others, during)
    assert checks <= 4, "one for the batch, one for the reload, and up to two for the files that follow"


def test_settings_that_nobody_has_any_longer_are_forgotten(program: Program, product: Product, checker: Checker) -> None:
    """What is remembered follows what is there: settings that come back are checked again."""
    first = product.backend("first")
    web, preview = (first, host(HOST)), (first, host(NEW, HTTP_CHECK="GET /preview"))
    program.write_services(web=web)
    checks = []

    with program.running(PROXY_HAPROXY=str(checker.path), ROUTE_LINGER="0"):
        eventually(lambda: answers(program, HOST) == "first")
        before = checker.count_of_settings()
        for _ in range(3):
            program.write_services(web=web, preview=preview)
            eventually(lambda: answers(program, NEW) == "first")
            checks.append(checker.count_of_settings() - before)
            program.write_services(web=web)
            eventually(lambda: answers(program, NEW) == "")

    assert [1, 2, 3] == checks


def test_other_ca_is_taken_over(program: Program, product: Product) -> None:
    """Clients of the old CA must not be let in any longer."""
    old, new = Authority("old"), Authority("new")
    file = program.folder / "ca.pem"
    file.write_text(old.certificate)
    program.write_services(web=(product.backend("first"), host(f"https://{HOST}")))
    old_client, new_client = any_tls(), any_tls()
    old_client.load_cert_chain(old.client(program.folder))
    new_client.load_cert_chain(new.client(program.folder))

    def is_let_in(context: ssl.SSLContext) -> bool:
        try:
            return bool(ask(443 + program.offset, tls=context).server)
        except OSError:
            return False

    with program.running(CA_CERT_FILE=str(file), DEFAULT_SSL_CERT=one_line(make_pem(HOST))):
        eventually(lambda: is_let_in(old_client))
        draft = program.folder / "ca.new"
        draft.write_text(new.certificate)
        draft.replace(file)
        eventually(lambda: is_let_in(new_client))
        still = is_let_in(old_client)
        file.write_text("nothing")
        eventually(lambda: "CA_CERT_FILE" in program.log.read_text())
        kept = is_let_in(new_client)
        without = is_let_in(any_tls())

    assert (False, True, False) == (still, kept, without)
    assert "reload: the CA of client certificates has changed" in program.log.read_text()


def test_edited_template_is_taken_over_and_a_broken_one_is_not(program: Program, product: Product) -> None:
    own = program.folder / "templates"
    shutil.copytree(TEMPLATES, own)
    template = own / "haproxy.cfg.j2"
    good = template.read_text()
    first, second = product.backend("first"), product.backend("second")
    program.write_services(web=(first, host(HOST)))

    def description() -> str:
        lines = RuntimeSocket(layout_of(program).runtime_socket).send("show info").splitlines()
        return next((line for line in lines if line.startswith("description:")), "")

    with program.running(PROXY_TEMPLATES=str(own)):
        eventually(lambda: "no difference" in program.log.read_text())
        template.write_text(good.replace("global\n", "global\n    description edited\n", 1))
        eventually(lambda: description() == "description: edited")
        template.write_text(good.replace("global\n", "global\n{% broken %}\n", 1))
        eventually(
            lambda: "template" in program.log.read_text().partition("edited")[2] or "cannot be" in program.log.read_text()
        )
        program.write_services(web=(second, host(HOST)))
        assert eventually(lambda: answers(program, HOST) == "second")
        template.write_text(good.replace("global\n", "global\n    description mended\n", 1))

        assert eventually(lambda: description() == "description: mended")
        assert eventually(lambda: program.log.read_text().count("reload: the templates have changed") == 2)


@pytest.mark.parametrize("gone", [("haproxy.sock",), ("master.sock",), ("haproxy.sock", "master.sock"), ("",)], ids=str)
def test_deleted_sockets_or_state_are_mended(program: Program, product: Product, gone: tuple[str, ...]) -> None:
    first, second = product.backend("first"), product.backend("second")
    program.write_services(web=(first, host(HOST)))
    state = program.folder / "state"

    with program.running():
        eventually(lambda: answers(program, HOST) == "first")
        eventually(lambda: layout_of(program).runtime_socket.exists())
        for name in gone:
            if name:
                (state / name).unlink()
            else:
                shutil.rmtree(state)
        program.write_services(web=(second, host(HOST)), new=(first, host(f"{NEW}:{product.tcp_port}")))

        assert eventually(lambda: answers(program, HOST) == "second", timeout=20)
        assert eventually(lambda: ask(product.tcp_port + program.offset, host=NEW).server == "first", timeout=20)
        assert eventually(lambda: len(masters(state)) == 1, timeout=20)


def masters(state: Path) -> list[int]:
    """Return the HAProxy processes that were started as masters on a state folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
            leads = path.with_name("stat").read_text().rpartition(")")[2].split()[3] == path.parent.name
        except OSError:
            continue
        if leads and "-S" in words and any(str(state / "master.sock") in word for word in words):
            found.append(int(path.parent.name))
    return found


def test_restarted_controller_takes_over_what_changed_meanwhile(program: Program, product: Product) -> None:
    """On 3.4 it needs no reload, because HAProxy itself reports its state."""
    first, second = product.backend("first"), product.backend("second")
    program.write_services(web=(first, host(HOST)))

    with program.running():
        eventually(lambda: answers(program, HOST) == "first")
        program.write_services(web=(first, host(HOST)), new=(second, host(NEW)))
        eventually(lambda: answers(program, NEW) == "second")
        before, worker = reloads(program), read_processes(program).serving_pid
        os.kill(program.controller_pid(), signal.SIGKILL)
        program.write_services(web=(second, host(HOST)), other=(first, host(OTHER)))

        eventually(lambda: answers(program, HOST) == "second")
        eventually(lambda: answers(program, OTHER) == "first")
        eventually(lambda: ask(80 + program.offset, host=NEW).status == 503)
        is_same = worker == read_processes(program).serving_pid
        more = reloads(program) - before
        takes_backends = "3.4" in program.log.read_text().partition("HAProxy ")[2][:10]

    assert (True, 0) == (is_same, more) or not takes_backends


def test_what_somebody_changed_by_hand_is_mended_at_the_next_full_look(program: Program, product: Product) -> None:
    program.write_services(web=(product.backend("first"), host(HOST)))

    with program.running(PROXY_RESYNC_SECONDS="1"):
        eventually(lambda: answers(program, HOST) == "first")
        runtime = RuntimeSocket(layout_of(program).runtime_socket)
        servers = runtime.send("show servers state").splitlines()[2:]
        name = next(f"{words[1]}/{words[3]}" for words in map(str.split, servers) if words and words[1].startswith("shop"))
        runtime.send(f"set server {name} state maint")

        assert eventually(lambda: answers(program, HOST) == "first")
        assert eventually(lambda: f"server {name} differs" in program.log.read_text())
