"""A real HAProxy that runs a model, without engine, supervisor or controller. It tests what a configuration does."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from proxy.adapters.haproxy.haproxy_process import find_ipv4_only_ports
from proxy.core.haproxy.rendering import Renderer
from proxy.core.model.model import RoutingModel
from proxy.settings import Settings
from tests.builders import make_renderer
from tests.eventually import eventually


@dataclass(frozen=True)
class RunningHaproxy:
    """An HAProxy in the foreground. `port` maps a port of the model to the one on which it really listens."""

    folder: Path
    offset: int
    log: Path

    def port(self, number: int) -> int:
        return number + self.offset

    def runtime(self, command: str) -> str:
        """Return the reply to a command on the runtime socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.folder / "haproxy.sock"))
            connection.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / "current" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@contextmanager
def run_haproxy(binary: str, folder: Path, model: RoutingModel, settings: Settings) -> Iterator[RunningHaproxy]:
    """Run `model` until the block ends. If HAProxy does not start, fail with its own messages."""
    with run_renderer(binary, folder, make_renderer(settings, folder), model, settings) as running:
        yield running


@contextmanager
def run_renderer(
    binary: str, folder: Path, renderer: Renderer, model: RoutingModel, settings: Settings
) -> Iterator[RunningHaproxy]:
    """Do the same with what `renderer` makes of `model`."""
    offset = settings.haproxy.port_offset
    ports = {frontend.port for frontend in model.frontends} | {listener.port for listener in model.listeners}
    ipv4_only = find_ipv4_only_ports(port + offset for port in ports)
    model = replace(model, ipv4_only_ports=frozenset(port - offset for port in ipv4_only))
    write_files(folder, renderer.render(model).files)
    log = folder / "haproxy.log"
    config = folder / "current" / "haproxy.cfg"
    with log.open("w") as output:
        process = subprocess.Popen(
            [binary, "-db", "-C", str(config.parent), "-f", str(config)], stdout=output, stderr=output, env={"PATH": ""}
        )
    running = RunningHaproxy(folder=folder, offset=settings.haproxy.port_offset, log=log)
    try:
        eventually(lambda: process.poll() is not None or running.runtime("show version"))
        assert process.poll() is None, log.read_text() + config.read_text()
        yield running
    finally:
        process.terminate()
        process.wait(timeout=10)
