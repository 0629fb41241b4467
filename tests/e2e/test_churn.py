"""Two hundred changes of all kinds on a real engine, under load: no visitor notices, and HAProxy ends in the desired state.

Containers are started and stopped through the engine's API, as Compose does it, several at a time. Services under load keep
at least one running container. They too are rolled out again, with other settings and other certificates. The other
services come and go around them.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.builders import make_pem, one_line
from tests.e2e.conftest import RunContainer
from tests.e2e.engine import ROOT, mount_socket
from tests.e2e.running_state import certificate_fingerprint, differences
from tests.e2e.site import Site, running_site
from tests.eventually import eventually
from tests.haproxy.conftest import find_binary
from tests.host_proxy import host_environment
from tests.ports import free_low_port, free_offset
from tests.wrk import start_load

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

CHANGES = 200
ROLLING_EVERY = 40
REPLICAS = 3
LOAD_SECONDS = 240
CHANGED = tuple(f"guest{number}" for number in range(8))
SETTING_SETS: tuple[Mapping[str, str], ...] = ({}, {"BALANCE": "leastconn"}, {"COOKIE": "SRV insert indirect nocache"})
"""One of the services has each of them from the start, so HAProxy has loaded them all."""
RELOADS_OF_THE_START = ("first configuration", "TLS termination begins", "has settings that HAProxy has not loaded")


@pytest.fixture
def site(real_engine: None) -> Iterator[Site]:
    with running_site() as site:
        yield site


@contextmanager
def proxy_on_host(site: Site, binary: str, folder: Path) -> Iterator[Path]:
    """Run the proxy on this machine with its own HAProxy until the block ends. Yields the path of its log file."""
    offset, log = free_offset(80, 443, 1936), folder / "proxy.log"
    site.port = 80 + offset
    environment = host_environment(binary, folder / "state", offset)
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
    """Make two hundred changes of services without visitors, and rolling updates of the services under load."""
    with ThreadPoolExecutor(4) as workers:
        for number in range(0, CHANGES, 4):
            if number % ROLLING_EVERY == 0:
                site.roll("web", **SETTING_SETS[number // ROLLING_EVERY % len(SETTING_SETS)])
                site.roll("always", **with_tls(site, "always"))
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
        labels |= with_tls(site, service)
    site.start(service, **labels)


def with_tls(site: Site, service: str) -> dict[str, str]:
    """Return labels of a service that is also served with TLS, with a new certificate."""
    host = site.host(service)
    return {"VIRTUAL_HOST": f"{host}, https://{host}", "SSL_CERT": one_line(make_pem(host))}


def run_churn(site: Site, tls_port: int) -> list[str]:
    """Make all changes under load. Return what went wrong for visitors."""
    site.start("always", **with_tls(site, "always"))
    for _ in range(REPLICAS):
        site.start("web")
    for number, labels in enumerate(SETTING_SETS):
        site.start(f"profile{number}", **labels)
    for service in ("always", "web", *(f"profile{number}" for number in range(len(SETTING_SETS)))):
        eventually(partial(site.serves, service), timeout=20)
    asked = (("always", "http", site.port), ("always", "https", tls_port), ("web", "http", site.port))
    with ExitStack() as stack:
        loads = {
            f"{service} over {scheme}": stack.enter_context(
                start_load(port, site.host(service), seconds=LOAD_SECONDS, expects=f'"name": "{service}"', scheme=scheme)
            )
            for service, scheme, port in asked
        }
        change(site, random.Random(4))
    assert all(load.requests > 1000 for load in loads.values()), loads
    return [f"{name}: {load}" for name, load in loads.items() if load.failed]


def newest_certificates(site: Site) -> Mapping[str, str]:
    """Return the fingerprint of the certificate of each service's newest container, by HAProxy's file name."""
    found = {}
    for service, containers in site.groups.items():
        if containers and (text := containers[-1].labels.get("aliyun.proxy.SSL_CERT")):
            certificate = x509.load_pem_x509_certificate(text.replace("\\n", "\n").encode())
            found[f"certs/{site.project}~{service}.pem"] = certificate.fingerprint(hashes.SHA1()).hex().upper()
    return found


def test_churn_on_the_image_is_not_noticed_and_takes_no_reload(site: Site, run_container: RunContainer) -> None:
    """Only the start takes reloads: for the ports, the first certificate, and the first settings of each service."""
    project, tls_port = f"com.docker.compose.project={site.project}", free_low_port()
    ports = ("-p", f"{site.port}:80", "-p", f"{tls_port}:443")
    proxy = run_container("proxy", *mount_socket(), *ports, "--label", project, "-e", "OPTION=redispatch", "proxy")

    failures = run_churn(site, tls_port)

    reasons = re.findall(r" reload: (.*) \(because of", proxy.logs())
    assert failures == []
    assert [reason for reason in reasons if not any(text in reason for text in RELOADS_OF_THE_START)] == []
    assert len(reasons) <= 1 + len(SETTING_SETS)
    eventually(lambda: differences(proxy) == [], timeout=30)
    expected = newest_certificates(site)
    assert expected == {name: certificate_fingerprint(proxy, name) for name in expected}


def test_churn_on_an_older_haproxy_is_not_noticed(site: Site, tmp_path: Path) -> None:
    binary = find_binary("HAPROXY_26") or pytest.fail("HAPROXY_26 is unknown: run `python3 -m tests.real up` first")
    with proxy_on_host(site, binary, tmp_path) as log:
        failures = run_churn(site, site.port + 443 - 80)

        assert failures == [], log.read_text()[-3000:]
