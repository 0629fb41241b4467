"""Everything that a measurement needs around the proxy: a stub engine, a backend that is fast, the proxy itself, a visitor.

Each is a process of this run; all of them end with the block that started them.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.host_proxy import host_environment
from tests.ports import free_offset, free_port
from tests.real.environment import EnvFile
from tests.stub_engine import StubContainer, StubProcess, run_stub_process

ROOT = Path(__file__).parent.parent
START_SECONDS = 90.0
BACKEND = """\
global
    nbthread 1
defaults
    mode http
    timeout client 60s
frontend backend
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string ok
"""


@dataclass(slots=True, kw_only=True)
class Stage:
    """A proxy that runs, its engine, and the port of the one real backend."""

    engine: StubProcess
    port: int
    backend_port: int
    folder: Path
    cold_start_seconds: float = 0.0

    def container(self, number: int, *, generation: int = 1, service: int | None = None, **labels: str) -> StubContainer:
        """Container `number`, of a service of its own unless it is said of which."""
        name = f"service-{number if service is None else service}"
        own = {"VIRTUAL_HOST": f"{name}.example", **labels}
        return StubContainer(
            name=f"{name}-{number}-{generation}",
            service=name,
            labels={f"aliyun.proxy.{key}": value for key, value in own.items()},
            port=self.backend_port,
            created=1_700_000_000 + generation,
        )

    def controller_pid(self) -> int:
        return int(json.loads((self.folder / "state" / "status.json").read_text())["pid"])

    def log(self) -> list[str]:
        """What the proxy has logged, without visits."""
        return [line for line in (self.folder / "log").read_text().splitlines() if not line.endswith('HTTP/1.1"')]

    def reload_reasons(self) -> list[str]:
        """Why HAProxy was reloaded after the first configuration."""
        found = [re.search(r" reload: (.*) \(because of", line) for line in self.log()]
        return [match[1] for match in found if match and match[1] != "first configuration"]


class Visitor:
    """One connection that is kept, and asked for one host after the other."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def status(self, host: str) -> int:
        """Ask once; 0 when nobody answers."""
        try:
            self._connection.request("GET", "/", headers={"Host": host})
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0
        return response.status

    def wait_for(self, host: str, *, seconds: float) -> float:
        """Return how many seconds it takes until `host` answers 200; raises TimeoutError."""
        started = time.monotonic()
        while self.status(host) != 200:
            if time.monotonic() - started > seconds:
                raise TimeoutError(f"{host} is not served after {seconds:g} s")
            time.sleep(0.0005)
        return time.monotonic() - started

    def close(self) -> None:
        self._connection.close()


def find_haproxy() -> str:
    """Return the path of HAProxy 3.4; raises SystemExit when there is none."""
    return find_part("HAPROXY_34")


def find_part(name: str) -> str:
    """Return what `python -m tests.real up` has told of one of the real parts, or the environment; raises SystemExit."""
    found = os.environ.get(name) or EnvFile(ROOT / ".cache" / "real.env").read().get(name)
    if not found:
        raise SystemExit(f"{name} is unknown: run `python3 -m tests.real up` first")
    return found


@contextmanager
def running(
    command: list[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends: told to stop, then killed."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=ROOT)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running_backend(binary: str, folder: Path, cores: str = "") -> Iterator[int]:
    """Run the backend until the block ends, on `cores`; its port."""
    port = free_port()
    config = folder / "backend.cfg"
    config.write_text(BACKEND.format(port=port))
    with running([*pinned_to(cores), binary, "-db", "-f", str(config)], folder / "backend.log"):
        yield port


class _Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class _HelloServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A probe has connected and gone."""


@contextmanager
def listening(port: int) -> Iterator[None]:
    """Answer every request on a port of this machine until the block ends."""
    with _HelloServer(("127.0.0.1", port), _Hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def pinned_to(cores: str) -> list[str]:
    """Return what goes before a command that is to run on `cores` only; nothing for any."""
    return ["taskset", "-c", cores] if cores else []


@contextmanager
def running_proxy(
    folder: Path,
    services: int,
    variables: Mapping[str, str] | None = None,
    *,
    cores: str = "",
    backend_cores: str = "",
) -> Iterator[Stage]:
    """Run the proxy with `services` services until the block ends; returns once it serves the last of them."""
    binary = find_haproxy()
    offset = free_offset(80, 443, 1936)
    with running_backend(binary, folder, backend_cores) as backend_port, run_stub_process(folder) as engine:
        stage = Stage(engine=engine, port=80 + offset, backend_port=backend_port, folder=folder)
        engine.load(map(stage.container, range(services)))
        environment = host_environment(binary, folder / "state", offset, DOCKER_HOST=engine.host, **(variables or {}))
        started = time.monotonic()
        with running([*pinned_to(cores), sys.executable, "-m", "proxy", "run"], folder / "log", environment):
            visitor = Visitor(stage.port)
            visitor.wait_for(f"service-{services - 1}.example", seconds=START_SECONDS)
            stage.cold_start_seconds = time.monotonic() - started
            visitor.close()
            yield stage
