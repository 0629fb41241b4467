"""Both HAProxy versions that the product works with: 2.6 of hosts, 3.4 of the image. If one is missing, the tests fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.haproxy.places import Place, Where
from tests.haproxy.product import Product
from tests.haproxy.program import Program
from tests.haproxy.simple_site import SimpleSite, simple_site
from tests.haproxy.small_site import SmallSite, make_site
from tests.haproxy.supervised import Start, save_files, supervisors

ENVIRONMENT_FILE = Path(__file__).parent.parent.parent / ".cache" / "real.env"


def find_binary(variable: str) -> str | None:
    """Return the path that `python3 -m tests.real up` has set, from the environment or from its file."""
    told = ENVIRONMENT_FILE.read_text().splitlines() if ENVIRONMENT_FILE.exists() else []
    values = dict(line.partition("=")[::2] for line in told)
    return os.environ.get(variable) or values.get(variable)


@pytest.fixture(params=["HAPROXY_26", "HAPROXY_34"], ids=["2.6", "3.4"])
def haproxy_binary(request: pytest.FixtureRequest) -> str:
    """Return the path of an HAProxy. The test runs once for each version."""
    return find_binary(request.param) or pytest.fail(f"{request.param} is unknown: run `python3 -m tests.real up` first")


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Where:
    """Return where the containers run: with the own engine, unless the test's module says `everywhere`."""
    return getattr(request, "param", Where.OWN_ENGINE)


@pytest.fixture
def product(haproxy_binary: str, tmp_path: Path, place: Where) -> Iterator[Product]:
    """Run what a test asks for, on each HAProxy, until the test ends."""
    with ExitStack() as stack:
        yield Product(haproxy_binary, tmp_path, stack, Place(place, stack))


@pytest.fixture
def site(haproxy_binary: str, tmp_path: Path, place: Where) -> Iterator[SimpleSite]:
    """Do the same for simple routing."""
    with simple_site(haproxy_binary, tmp_path, place) as site:
        yield site


@pytest.fixture
def program(product: Product, haproxy_binary: str, tmp_path: Path) -> Program:
    environment = {
        "PATH": os.environ["PATH"],
        "PROXY_SOURCES": "file",
        "PROXY_SERVICES_FILE": str(tmp_path / "services.yml"),
        "PROXY_STATE_FOLDER": str(tmp_path / "state"),
        "PROXY_HAPROXY": haproxy_binary,
        "PROXY_PORT_OFFSET": str(product.port_offset),
    }
    return Program(folder=tmp_path, environment=environment, offset=product.port_offset)


@pytest.fixture
def small_site(tmp_path: Path) -> SmallSite:
    """A site whose files are not on disk yet."""
    return make_site(tmp_path / "state")


@pytest.fixture
def saved_site(small_site: SmallSite) -> SmallSite:
    """A site whose files are on disk from an earlier run."""
    save_files(small_site)
    return small_site


@pytest.fixture
def start(haproxy_binary: str, small_site: SmallSite, tmp_path: Path) -> Iterator[Start]:
    """Start supervisors of the site; they end with the test."""
    with supervisors(haproxy_binary, small_site, tmp_path) as start:
        yield start
