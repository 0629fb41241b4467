"""`make run`: what it prints is true, also when it is stopped, started again, or a port is taken."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.eventually import eventually
from tests.haproxy.program import ROOT
from tests.ports import free_offset, free_port

pytestmark = [pytest.mark.haproxy, pytest.mark.parametrize("haproxy_binary", ["HAPROXY_26"], ids=["2.6"], indirect=True)]
"""`make run` installs Debian's HAProxy."""

SERVICES = ROOT / "examples" / "demo" / "services.yml"
STATS_PORT = 1936


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """The demo in a folder, with ports that are free."""

    folder: Path
    offset: int
    environment: Mapping[str, str]

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the demo until the block ends or Ctrl-C; as in a terminal, Ctrl-C reaches all its processes."""
        command = [sys.executable, "-m", "examples.demo"]
        with (
            self.log.open("wb") as log,
            subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            ) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()

    def curl_lines(self) -> list[str]:
        """Return the lines that the demo says to try."""
        return re.findall(r"^  (curl .*?)(?: +#.*)?$", self.log.read_text(), re.MULTILINE)


@pytest.fixture
def demo(haproxy_binary: str, tmp_path: Path) -> Demo:
    services = yaml.safe_load(SERVICES.read_text())
    for service in services["services"].values():
        service["external"]["ports"] = [free_port()]
    (tmp_path / "services.yml").write_text(yaml.safe_dump(services))
    offset = free_offset(80, STATS_PORT)
    variables = {
        "PROXY_SOURCES": "file",
        "PROXY_HAPROXY": haproxy_binary,
        "PROXY_SERVICES_FILE": str(tmp_path / "services.yml"),
        "PROXY_STATE_FOLDER": str(tmp_path / "state"),
        "PROXY_PORT_OFFSET": str(offset),
    }
    return Demo(folder=tmp_path, offset=offset, environment={**os.environ, **variables})


def answer(line: str) -> str:
    """Run a curl line without the machine's proxies and without its progress."""
    command = ["curl", "--silent", "--noproxy", "*", *shlex.split(line)[1:]]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def list_routes(line: str) -> str:
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=True).stdout


def test_demo_says_what_works_ends_with_ctrl_c_and_starts_again(demo: Demo) -> None:
    for _ in range(2):
        with demo.running() as process:
            eventually(lambda: "Ctrl-C stops everything" in demo.log.read_text())
            answers = [answer(line) for line in demo.curl_lines()]
            routes = list_routes(re.findall(r"^  (.* routes)$", demo.log.read_text(), re.MULTILINE)[0])
            told = demo.log.read_text()
            os.killpg(process.pid, signal.SIGINT)
            assert 0 == process.wait(60)

        assert "WARNING" not in told, told
        assert ["hello answers /", "shop answers /shop/cart"] == [text.strip() for text in answers[:2]]
        assert "set-cookie: SRV=" in answers[2]
        assert "fallback answers /" == answers[3].strip()
        assert "Statistics Report for HAProxy" in answers[4]
        assert "hello.localhost" in routes
        assert "demo:shop" in routes
        assert "Traceback" not in demo.log.read_text()


@pytest.mark.parametrize("port", [80, STATS_PORT])
def test_demo_names_the_port_that_is_taken(demo: Demo, port: int) -> None:
    with socket.create_server(("127.0.0.1", port + demo.offset)), demo.running() as process:
        assert 2 == process.wait(60)

    assert f"port {port + demo.offset} is taken by another program" in demo.log.read_text()


def test_demo_names_the_backend_whose_port_is_taken(demo: Demo) -> None:
    services = yaml.safe_load((demo.folder / "services.yml").read_text())["services"]
    (port,) = services["shop"]["external"]["ports"]

    with socket.create_server(("127.0.0.1", port)), demo.running() as process:
        assert 2 == process.wait(60)

    told = f"port {port} is taken by another program, and the demo's backend shop needs it; stop that program\n"
    assert told == demo.log.read_text()
