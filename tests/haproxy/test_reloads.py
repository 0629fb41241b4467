"""What visitors notice of a reload: their sessions stay, and requests in flight finish in the time that they get."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proxy.adapters.haproxy.haproxy_process import HaproxyControl, HaproxyProgram
from proxy.adapters.haproxy.runtime_socket import MasterSocket, RuntimeSocket
from proxy.adapters.haproxy.state_files import StateFiles
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.core.containers.containers import Container
from proxy.errors import StateError
from tests.builders import make_model, make_renderer, make_settings
from tests.eventually import eventually
from tests.haproxy.client import HOST, Answer, ask
from tests.haproxy.product import Product
from tests.haproxy.small_disk import read_only

pytestmark = pytest.mark.haproxy


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloadable:
    """A master with a worker, in a state folder like the product's."""

    control: HaproxyControl
    layout: StateLayout
    port: int

    def ask(self, path: str = "/", cookie: str = "") -> Answer:
        return ask(self.port, path, headers={"Cookie": cookie} if cookie else {})

    def has_settled(self) -> bool:
        """Whether the worker has stopped waiting for sessions of an earlier one (2.6: 5 s). Then it passes on its own."""
        match = re.search(r" flags=(0x[0-9a-f]+) ", RuntimeSocket(self.layout.runtime_socket).send("show peers"))
        return match is not None and int(match[1], 16) & 3 == 3


@contextmanager
def run_master(
    binary: str, folder: Path, product: Product, *containers: Container, **variables: str
) -> Iterator[Reloadable]:
    settings = make_settings(PROXY_PORT_OFFSET=str(product.port_offset), **variables)
    program = HaproxyProgram(binary, {"PATH": os.defpath})
    layout = StateLayout(folder=folder)
    master_socket = MasterSocket(layout.master_socket)
    control = HaproxyControl(program, master_socket, layout.server_state)
    files = make_renderer(settings, folder).render(make_model(*containers, settings=settings)).files
    with StateFiles(layout) as store:
        store.promote(store.write_candidate(files))
        command = program.master_command(layout.config, layout.master_socket)
        with subprocess.Popen(command, env=program.environment, stderr=subprocess.DEVNULL) as master:
            running = Reloadable(control=control, layout=layout, port=80 + product.port_offset)
            try:
                eventually(running.control.is_running)
                eventually(running.ask)
                yield running
            finally:
                master.terminate()


def test_sessions_of_the_application_survive_a_reload(product: Product, haproxy_binary: str, tmp_path: Path) -> None:
    labels: dict[str, Any] = {"VIRTUAL_HOST": HOST, "APPSESSION": "JSESSIONID len 52 timeout 3h"}
    containers = [product.backend(name).container(**labels) for name in ("web-1", "web-2")]

    with run_master(haproxy_binary, tmp_path, product, *containers) as haproxy:
        logins = [haproxy.ask("/login") for _ in range(2)]
        eventually(haproxy.has_settled)
        haproxy.control.reload()
        eventually(lambda: not haproxy.control.old_workers())
        returns = [{haproxy.ask("/", login.cookie).server for _ in range(4)} for login in logins]

    assert {"web-1", "web-2"} == {login.server for login in logins}
    assert [{login.server} for login in logins] == returns


def test_request_in_flight_is_cut_after_the_time_that_old_workers_have(
    product: Product, haproxy_binary: str, tmp_path: Path
) -> None:
    backend = product.backend()
    outcomes: list[str] = []

    def keep_waiting(haproxy: Reloadable) -> None:
        try:
            outcomes.append(haproxy.ask("/slow").server or "cut")
        except OSError:
            outcomes.append("cut")

    with run_master(haproxy_binary, tmp_path, product, backend.container(VIRTUAL_HOST=HOST), RELOAD_TIMEOUT="1") as haproxy:
        visitor = threading.Thread(target=keep_waiting, args=(haproxy,))
        visitor.start()
        eventually(lambda: ("GET", "/slow") in backend.targets())
        haproxy.control.reload()
        visitor.join()

    assert ["cut"] == outcomes


def test_request_in_flight_finishes_by_default(product: Product, haproxy_binary: str, tmp_path: Path) -> None:
    backend = product.backend()
    answers: list[Answer] = []

    with run_master(haproxy_binary, tmp_path, product, backend.container(VIRTUAL_HOST=HOST)) as haproxy:
        visitor = threading.Thread(target=lambda: answers.append(haproxy.ask("/slow")))
        visitor.start()
        eventually(lambda: ("GET", "/slow") in backend.targets())
        haproxy.control.reload()
        backend.release.set()
        visitor.join()

    assert ["web-1"] == [answer.server for answer in answers]


def test_haproxy_is_not_told_to_reload_while_its_folder_is_read_only(
    product: Product, haproxy_binary: str, tmp_path: Path
) -> None:
    """The master of 3.4 would end, because it could not open its socket again. It could not be started again either."""
    with run_master(haproxy_binary, tmp_path, product, product.backend().container(VIRTUAL_HOST=HOST)) as haproxy:
        with read_only(tmp_path), pytest.raises(StateError, match="is read-only"):
            haproxy.control.reload()

        assert haproxy.control.is_running()
        assert "web-1" == haproxy.ask().server
