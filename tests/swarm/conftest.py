"""The Swarm for all tests of this folder. It starts once, with the images that the first engine has built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.engine import build_proxy_image, docker, using_real_engine
from tests.real.places import Places
from tests.real.swarm import Swarm

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
