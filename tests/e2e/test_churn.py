"""Two hundred changes of all kinds on a real engine, under load: no visitor notices, and HAProxy ends up as desired.

Containers are started and stopped through the engine's API, as Compose does it, several at a time. Loaded services keep
at least one container that runs; the others come and go around them.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from tests.builders import make_pem, one_line
from tests.e2e.conftest import ROOT, RunContainer
from tests.e2e.engine import Container, mount_socket
from tests.e2e.visitor import fetch
from tests.eventually import eventually
from tests.haproxy.conftest import find_binary
from tests.ports import free_low_port, free_offset
from tests.wrk import start_load

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

IMAGE = "proxy-test/backend"
CHANGES = 200
ROLLING_EVERY = 40
REPLICAS = 3
LOAD_SECONDS = 240
CHANGED = tuple(f"guest{number}" for number in range(8))
SETTING_SETS: tuple[Mapping[str, str], ...] = ({}, {"BALANCE": "leastconn"}, {"COOKIE": "SRV insert indirect nocache"})
RELOADS_ALLOWED = (
    "has settings that no other has",
    "comes back with other settings before it is gone",
    "changes its settings",
)
"""Of services whose labels bring a profile that HAProxy has not loaded yet, or another one for the same backend."""


SHOW_SERVERS = """
import socket
connection = socket.socket(socket.AF_UNIX)
connection.connect("/var/lib/proxy/haproxy.sock")
connection.sendall(b"show servers state\\n")
print(b"".join(iter(lambda: connection.recv(65536), b"")).decode())
"""


@dataclass(slots=True, kw_only=True)
class Site:
    """A proxy before the engine, and the containers that one test starts in a project of its own."""

    project: str
    port: int
    client: docker.DockerClient
    groups: dict[str, list[Any]] = field(default_factory=dict)
    count: int = 0

    def host(self, service: str) -> str:
        return f"{service}.{self.project}.example"

    def start(self, service: str, variables: Mapping[str, str] | None = None, **labels: str) -> Any:
        """Start one more container of a service."""
        self.count += 1
        own = {"VIRTUAL_HOST": self.host(service), **labels}
        container = self.client.containers.run(
            IMAGE,
            detach=True,
            name=f"{self.project}-{service}-{self.count}",
            environment={"NAME": service, **(variables or {})},
            labels={
                "com.docker.compose.project": self.project,
                "com.docker.compose.service": service,
                **{f"aliyun.proxy.{name}": value for name, value in own.items()},
            },
        )
        self.groups.setdefault(service, []).append(container)
        return container

    def stop(self, service: str) -> None:
        """Stop and remove the oldest container of a service."""
        container = self.groups[service].pop(0)
        container.stop(timeout=10)
        container.remove(v=True)

    def roll(self, service: str) -> None:
        """Replace each container by a new one, one after the other, each once the new one serves."""
        for _ in range(len(self.groups[service])):
            new = self.start(service)
            hostname = new.id[:12]
            eventually(lambda name=hostname: self.hostname(service) == name)  # type: ignore[misc]
            self.stop(service)

    def hostname(self, service: str) -> str:
        """Which container answers."""
        return str(json.loads(fetch(self.port, host=self.host(service)).body).get("hostname"))

    def serves(self, service: str) -> bool:
        return fetch(self.port, host=self.host(service)).status == 200

    def end(self) -> None:
        for container in self.client.containers.list(all=True, filters={"name": f"^/{self.project}-"}):
            try:
                container.remove(force=True, v=True)
            except docker.errors.NotFound:
                continue  # gone by itself meanwhile


@pytest.fixture
def site(real_engine: None) -> Iterator[Site]:
    with contextlib.closing(docker.from_env()) as client:
        site = Site(project=f"churn{uuid.uuid4().hex[:6]}", port=free_low_port(), client=client)
        try:
            yield site
        finally:
            site.end()


@contextmanager
def proxy_on_host(site: Site, binary: str, folder: Path) -> Iterator[Path]:
    """Run the proxy on this machine with an HAProxy of its own until the block ends; the file that it logs to."""
    offset, log = free_offset(80, 443, 1936), folder / "proxy.log"
    site.port = 80 + offset
    environment = {
        **os.environ,
        "ADDITIONAL_SERVICES": "*",
        "OPTION": "redispatch, dontlognull, forwardfor",
        "PROXY_SOURCES": "docker",
        "PROXY_STATE_FOLDER": str(folder / "state"),
        "PROXY_PORT_OFFSET": str(offset),
        "PROXY_HAPROXY": binary,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "proxy", "run"], env=environment, cwd=ROOT, stdout=output, stderr=output
        )
    try:
        yield log
    finally:
        process.terminate()
        process.wait(timeout=30)


def change(site: Site, chance: random.Random) -> None:
    """Two hundred changes of services that nobody asks for, and rolling updates of one that everybody does."""
    with ThreadPoolExecutor(4) as workers:
        for number in range(0, CHANGES, 4):
            if number % ROLLING_EVERY == 0:
                site.roll("web")
            services = chance.sample(CHANGED, 4)
            list(workers.map(lambda service: change_guest(site, service, random.Random(f"{number}{service}")), services))  # noqa: B023


def change_guest(site: Site, service: str, chance: random.Random) -> None:
    """Start, stop, scale, recreate or relabel one service, or give it a certificate."""
    running = site.groups.get(service, [])
    if running and chance.random() < 0.5:
        site.stop(service)
        return
    labels = dict(chance.choice(SETTING_SETS))
    if chance.random() < 0.3:
        labels["VIRTUAL_HOST"] = f"{site.host(service)}, *.{site.host(service)}/path/*"
    if chance.random() < 0.3:
        labels["SSL_CERT"] = one_line(make_pem(site.host(service), f"v{chance.randint(1, 3)}"))
        labels["VIRTUAL_HOST"] = f"{site.host(service)}, https://{site.host(service)}"
    site.start(service, **labels)


def run_churn(site: Site) -> list[str]:
    """Change everything under load; what went wrong for visitors."""
    certificate = one_line(make_pem(site.host("always")))
    site.start("always", VIRTUAL_HOST=f"{site.host('always')}, https://{site.host('always')}", SSL_CERT=certificate)
    for _ in range(REPLICAS):
        site.start("web")
    for labels in SETTING_SETS:
        site.start(f"profile{SETTING_SETS.index(labels)}", **labels)
    for service in ("always", "web", *(f"profile{number}" for number in range(len(SETTING_SETS)))):
        eventually(lambda name=service: site.serves(name), timeout=20)  # type: ignore[misc]
    with ExitStack() as stack:
        loads = {
            service: stack.enter_context(
                start_load(site.port, site.host(service), seconds=LOAD_SECONDS, expects=f'"name": "{service}"')
            )
            for service in ("always", "web")
        }
        change(site, random.Random(4))
    assert all(load.requests > 1000 for load in loads.values()), loads
    return [f"{service}: {load}" for service, load in loads.items() if load.failed]


def desired_servers(proxy: Container) -> set[str]:
    """Return backend, server and address of everything that a fresh configuration would have."""
    found, section = set(), ""
    for line in proxy.call("proxy", "render").splitlines():
        words = line.split()
        if words and not line.startswith(" "):
            section = words[1] if words[0] in ("backend", "listen") and len(words) > 1 else ""
        elif section and words[:1] == ["server"]:
            found.add(f"{section}/{words[1]} {words[2]}")
    return found


def servers_that_run(proxy: Container) -> set[str]:
    """Return the same of the HAProxy that runs, by its own word."""
    header, *rows = [line.split() for line in proxy.call("python3", "-c", SHOW_SERVERS).splitlines()[1:] if line.strip()]
    servers = [dict(zip(header[1:], row, strict=False)) for row in rows]
    return {f"{row['be_name']}/{row['srv_name']} {row['srv_addr']}:{row['srv_port']}" for row in servers}


def test_churn_on_the_image_is_not_noticed_and_takes_no_reload(site: Site, run_container: RunContainer) -> None:
    project = f"com.docker.compose.project={site.project}"
    proxy = run_container(
        "proxy", *mount_socket(), "-p", f"{site.port}:80", "--label", project, "-e", "OPTION=redispatch", "proxy"
    )

    failures = run_churn(site)

    reasons = re.findall(r" reload: (.*) \(because of", proxy.logs())
    start = next((number for number, reason in enumerate(reasons) if "TLS termination begins" in reason), 0)
    assert failures == []
    assert [reason for reason in reasons[start + 1 :] if not any(text in reason for text in RELOADS_ALLOWED)] == []
    eventually(lambda: servers_that_run(proxy) == desired_servers(proxy), timeout=20)


def test_churn_on_an_older_haproxy_is_not_noticed(site: Site, tmp_path: Path) -> None:
    binary = find_binary("HAPROXY_26") or pytest.fail("HAPROXY_26 is unknown: run `python3 -m tests.real up` first")
    with proxy_on_host(site, binary, tmp_path) as log:
        failures = run_churn(site)

        assert failures == [], log.read_text()[-3000:]


def test_container_that_listens_late_gets_no_request_before(site: Site, proxy_image: None, tmp_path: Path) -> None:
    """And the first one within a moment after."""
    binary = find_binary("HAPROXY_34") or pytest.fail("HAPROXY_34 is unknown: run `python3 -m tests.real up` first")
    with proxy_on_host(site, binary, tmp_path):
        early = site.start("late")
        eventually(lambda: site.serves("late"), timeout=20)

        with start_load(site.port, site.host("late"), seconds=20, expects='"name": "late"') as load:
            late = site.start("late", {"DELAY_LISTEN": "3"})
            eventually(lambda: site.hostname("late") == late.id[:12], timeout=20)

        assert early.id != late.id
        assert (0, True) == (load.failed, load.requests > 100)
