"""The whole program with an engine that is unreachable or silent. It keeps serving its routes, and recovers later."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.haproxy.backend_server import BackendServer
from tests.haproxy.client import HOST, ask
from tests.haproxy.product import Product
from tests.silent_relay import silent_relay
from tests.stub_engine import StubContainer, StubEngine, run_stub_engine

pytestmark = pytest.mark.haproxy

ROOT = Path(__file__).parent.parent.parent
NO_SOURCE = "no source of containers: mount the engine's socket"


class Site:
    """A proxy whose only source is an engine that comes and goes with its socket."""

    def __init__(self, folder: Path, product: Product, binary: str) -> None:
        self.log = folder / "log"
        self.socket = folder / "engine.sock"
        self.port = 80 + product.port_offset
        self._folder = folder
        self._environment = {
            "PATH": os.environ["PATH"],
            "DOCKER_HOST": f"unix://{self.socket}",
            "PROXY_STATE_FOLDER": str(folder / "state"),
            "PROXY_HAPROXY": binary,
            "PROXY_PORT_OFFSET": str(product.port_offset),
        }

    @contextmanager
    def engine(self, *backends: BackendServer) -> Iterator[StubEngine]:
        """Run an engine with these backends as one service. Its socket disappears with it."""
        with run_stub_engine(self._folder) as stub:
            for backend in backends:
                stub.start(make_stub_container(backend))
            yield stub
        self.socket.unlink()

    @contextmanager
    def proxy(self, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """Run the program until the block ends."""
        command, environment = [sys.executable, "-m", "proxy", "run"], {**self._environment, **variables}
        with (
            self.log.open("w") as log,
            subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log, text=True) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()

    def is_served_by(self, name: str) -> bool:
        return ask(self.port).server == name


def make_stub_container(backend: BackendServer) -> StubContainer:
    labels = {"aliyun.proxy.VIRTUAL_HOST": HOST}
    return StubContainer(name=backend.name, service="web", labels=labels, port=backend.port)


@pytest.fixture
def site(product: Product, haproxy_binary: str, tmp_path: Path) -> Site:
    return Site(tmp_path, product, haproxy_binary)


def test_restart_without_the_engine_serves_the_last_good_state_and_waits(site: Site, product: Product) -> None:
    first, second = product.backend("first"), product.backend("second")
    with site.engine(first), site.proxy():
        eventually(lambda: site.is_served_by("first"))

    with site.proxy() as process:
        eventually(lambda: "pass failed" in site.log.read_text())
        before = site.is_served_by("first")
        with site.engine(second):
            eventually(lambda: site.is_served_by("second"))
        assert process.poll() is None

    log = site.log.read_text()
    assert before
    assert 1 == log.count(f"the engine's socket {site.socket} does not exist"), log


def test_first_start_without_any_source_ends_with_what_to_do(site: Site) -> None:
    with site.proxy() as process:
        exit_code = process.wait(30)

    assert 2 == exit_code
    assert NO_SOURCE in site.log.read_text()


def test_stream_that_falls_silent_is_found_by_a_full_look_and_opened_again(site: Site, product: Product) -> None:
    """The connection for the list is silent too, so the first request takes its 10 s to fail."""
    first, second, third = product.backend("first"), product.backend("second"), product.backend("third")
    with (
        site.engine(first) as engine,
        silent_relay(site.socket) as relay,
        site.proxy(DOCKER_HOST=relay.host, PROXY_RESYNC_SECONDS="1", DEBUG="true"),
    ):
        eventually(lambda: site.is_served_by("first"))
        relay.fall_silent()
        engine.stop(make_stub_container(first))
        engine.start(make_stub_container(second))
        eventually(lambda: site.is_served_by("second"), timeout=20)
        eventually(lambda: "but no event said so" in site.log.read_text())
        streams = len(engine.streams)
        eventually(lambda: len(engine.streams) > streams)

        engine.start(make_stub_container(third))

        eventually(lambda: site.is_served_by("third"))
        eventually(lambda: "container third: start" in site.log.read_text())
