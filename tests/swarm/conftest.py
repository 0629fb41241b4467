"""The Swarm for all tests of this folder. It starts once, with the images that the first engine has built."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.engine import build_proxy_image, docker, using_real_engine
from tests.real.places import Places
from tests.real.swarm import Swarm

LOG_LINES = 60
IMAGES = ("proxy-test/base", "proxy-test/backend", "proxy")


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
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the log of each node's proxy, and its routes, to the report of a failed test."""
    report = yield
    started = getattr(item, "funcargs", {}).get("swarm")
    if report.failed and report.when == "call" and isinstance(started, Swarm):
        for node in started.nodes:
            for container in (node.ask("ps", "--quiet", "--filter", "ancestor=proxy") or "").split():
                lines = (node.ask("logs", "--tail", "2000", container) or "").splitlines()
                log = [line for line in lines if 'HTTP/1.1"' not in line or " 200 " not in line]
                report.sections.append((f"{node.name}: log without visits", "\n".join(log[-LOG_LINES:])))
                report.sections.append((f"{node.name}: routes", node.ask("exec", container, "proxy", "routes") or ""))
    return report
