"""The Swarm for all tests of this folder. It starts once, with the images that the first engine has built.

The report of a failed test contains the logs of its proxies, and what the managers say about the nodes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.engine import build_proxy_image, docker, run, using_real_engine
from tests.real.places import Places
from tests.real.swarm import Swarm

SERVED = " 200 "
IMAGES = ("proxy-test/base", "proxy-test/backend", "nginx:alpine", "proxy")
LOG_LINES = "120"


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the file with all images that the nodes need."""
    tar = tmp_path_factory.mktemp("images") / "images.tar"
    with using_real_engine():
        build_proxy_image()
        docker("save", "--output", str(tar), *IMAGES)
    yield tar
    tar.unlink()


@pytest.fixture(scope="session")
def swarm(images: Path) -> Iterator[Swarm]:
    started = Swarm(Places.of_this_checkout())
    started.start()
    try:
        started.load_image(images)
        yield started
    finally:
        started.stop()


@pytest.fixture(autouse=True)
def restored(swarm: Swarm) -> Iterator[None]:
    """Bring back what a test has killed or cut off, for the next test."""
    yield
    swarm.restore()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    swarm = item.funcargs.get("swarm")
    if report.failed and report.when == "call" and isinstance(swarm, Swarm):
        report.sections.append(("nodes", swarm.managers[0].ask("node", "ls") or "the managers do not answer"))
        for node in swarm.nodes:
            own = ("--filter", "ancestor=proxy", "--format", "{{.Names}}")
            for name in (node.ask("ps", "--all", *own) or "").split():
                log = run("docker", "--host", node.docker_host, "logs", "--tail", LOG_LINES, name)
                lines = [line for line in (log.output + log.errors).splitlines() if SERVED not in line]
                report.sections.append((f"{name} on {node.name}, without visits that were served", "\n".join(lines)))
                report.sections.append((f"{name} on {node.name}: routes", node.ask("exec", name, "proxy", "routes") or ""))
    return report
