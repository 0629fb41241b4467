"""The engine behind the filter of docs/security.md, which lets only the requests pass that the proxy needs."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.haproxy.client import HOST, ask
from tests.haproxy.product import Product
from tests.haproxy.program import ROOT, Program
from tests.stub_engine import StubContainer, run_stub_engine

pytestmark = pytest.mark.haproxy


@contextmanager
def filtered(binary: str, folder: Path) -> Iterator[Path]:
    """Run the filter in front of the engine in `folder` until the block ends. Yields its socket."""
    found = re.search(r"^  ```\n(.+?)^  ```$", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE | re.DOTALL)
    assert found
    path, config = folder / "filter.sock", folder / "filter.cfg"
    text = (
        found[1].replace("/run/filter/docker.sock", str(path)).replace("/var/run/docker.sock", str(folder / "engine.sock"))
    )
    config.write_text(text)
    with subprocess.Popen([binary, "-db", "-f", str(config)]) as process:
        try:
            eventually(path.exists)
            yield path
        finally:
            process.terminate()


def status_of(path: Path, method: str, target: str) -> int:
    connection = http.client.HTTPConnection("engine")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request(method, target)
    status = connection.getresponse().status
    connection.close()
    return status


def test_everything_works_behind_a_filter(haproxy_binary: str, product: Product, program: Program, tmp_path: Path) -> None:
    first, second = (
        StubContainer(
            name=f"stub-{backend.name}-1",
            service=backend.name,
            port=backend.port,
            labels={"aliyun.proxy.VIRTUAL_HOST": f"{backend.name}.{HOST}"},
        )
        for backend in (product.backend("first"), product.backend("second"))
    )
    with run_stub_engine(tmp_path) as engine, filtered(haproxy_binary, tmp_path) as path:
        engine.start(first)
        variables = {"DOCKER_HOST": f"unix://{path}", "PROXY_SOURCES": "docker", "ADDITIONAL_SERVICES": "*"}
        with program.running(**variables):
            eventually(lambda: ask(80 + program.offset, host=f"first.{HOST}").server == "first")
            engine.start(second)
            eventually(lambda: ask(80 + program.offset, host=f"second.{HOST}").server == "second")
            engine.stop(first)
            eventually(lambda: ask(80 + program.offset, host=f"first.{HOST}").status == 503)
            checked = program.run("check", **variables)
        refused = [
            status_of(path, "POST", "/containers/create"),
            status_of(path, "GET", "/v1.44/containers/x/archive"),
            status_of(path, "GET", "/secrets"),
            status_of(path, "GET", "/containers/%2e%2e%2fsecrets/json"),
            status_of(path, "DELETE", f"/containers/{second.id}"),
        ]

    assert (0, "") == (checked.returncode, checked.stderr)
    assert [403] * 5 == refused
