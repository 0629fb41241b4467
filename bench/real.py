"""How soon real containers of the real engine are served, among a hundred others that run."""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from bench.stage import Visitor, find_haproxy, find_part, running
from bench.table import Row, percentile
from tests.host_proxy import host_environment
from tests.ports import free_offset

IMAGE = "proxy-test/backend"
CONTAINERS, STARTS = 100, 30
POLL_SECONDS = 0.0005
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    """A proxy on this machine and a project of containers that it serves."""

    client: docker.DockerClient
    project: str
    port: int

    def host(self, number: int) -> str:
        return f"s{number}.{self.project}.example"

    def start(self, number: int) -> Any:
        labels = {
            "com.docker.compose.project": self.project,
            "com.docker.compose.service": f"s{number}",
            "aliyun.proxy.VIRTUAL_HOST": self.host(number),
        }
        return self.client.containers.run(IMAGE, detach=True, name=f"{self.project}-{number}", labels=labels)


def measure_real() -> list[Row]:
    """Start containers one by one; from the first connection that each accepts to the first answer through the proxy."""
    with _site() as site:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(site.start, range(CONTAINERS)))
        visitor = Visitor(site.port)
        visitor.wait_for(site.host(CONTAINERS - 1), seconds=PATIENCE_SECONDS)
        milliseconds = [_delay(site, visitor, number) * 1000 for number in range(CONTAINERS, CONTAINERS + STARTS)]
        visitor.close()
    middle, worst = percentile(milliseconds, 0.5), max(milliseconds)
    return [
        Row(
            what=f"real engine, {CONTAINERS} containers: from the first connection that a new one accepts to its first 200",
            budget="100 ms",
            measured=f"p50 {middle:.0f} ms, worst of {STARTS} {worst:.0f} ms",
            holds=worst <= 100,
        )
    ]


def _delay(site: _Site, visitor: Visitor, number: int) -> float:
    """Return how many seconds after it listens a new container is served; it may be by so little that it is none."""
    container = site.start(number)
    container.reload()
    address = next(iter(container.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]
    listens_at: list[float] = []
    watch = threading.Thread(target=lambda: listens_at.append(_wait_until_it_listens(address)))
    watch.start()
    visitor.wait_for(site.host(number), seconds=PATIENCE_SECONDS)
    served_at = time.monotonic()
    watch.join()
    return max(served_at - listens_at[0], 0.0)


def _wait_until_it_listens(address: str) -> float:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with closing(socket.socket()) as probe:
            if probe.connect_ex((address, 80)) == 0:
                return time.monotonic()
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"{address} does not listen on port 80")


@contextmanager
def _site() -> Iterator[_Site]:
    engine, offset = find_part("DOCKER_HOST"), free_offset(80, 443, 1936)
    with tempfile.TemporaryDirectory() as name, closing(docker.DockerClient(base_url=engine)) as client:
        site = _Site(client=client, project=f"bench{uuid.uuid4().hex[:6]}", port=80 + offset)
        environment = host_environment(find_haproxy(), Path(name) / "state", offset, DOCKER_HOST=engine)
        try:
            with running([sys.executable, "-m", "proxy", "run"], Path(name) / "log", environment):
                yield site
        finally:
            for container in client.containers.list(all=True, filters={"name": f"^/{site.project}-"}):
                container.remove(force=True, v=True)
