"""The engine, the image and unique names for end-to-end tests. The report of a failed test contains its proxies' logs."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.adapters.engine.docker_engine import DockerEngine
from tests.e2e.compose import Stack, running_stack
from tests.e2e.engine import (
    ROOT,
    CommandError,
    Container,
    build_proxy_image,
    container_names,
    docker,
    in_project,
    remove_containers,
    using_real_engine,
)
from tests.e2e.seen_engine import SeenEngine
from tests.haproxy.conftest import find_binary
from tests.offered_engine import offered_engine

EXAMPLES = ROOT / "examples"
PREFIX = pytest.StashKey[str]()
LOG_LINES = 120
ACCESS_LINE_END = 'HTTP/1.1"'


def pytest_configure(config: pytest.Config) -> None:
    config.stash[PREFIX] = f"e2e-{uuid.uuid4().hex[:6]}-"


@pytest.fixture(scope="session", autouse=True)
def real_engine() -> Iterator[None]:
    with using_real_engine():
        yield


@pytest.fixture(scope="module", params=["own node", "other node"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeenEngine]:
    """Return the engine as the proxy of its node sees it, and as that of another one does."""
    if request.param == "own node":
        yield SeenEngine(engine=DockerEngine(os.environ), is_own=True)
        return
    binary = find_binary("HAPROXY_34") or pytest.fail("HAPROXY_34 is unknown: run `python3 -m tests.real up` first")
    with offered_engine(binary, tmp_path_factory.mktemp("offer"), os.environ) as engine:
        yield SeenEngine(engine=engine, is_own=False)


@pytest.fixture(scope="session")
def proxy_image(real_engine: None) -> None:
    build_proxy_image()


@pytest.fixture(scope="session")
def prefix(pytestconfig: pytest.Config, real_engine: None) -> Iterator[str]:
    """Return the start of all names of containers and projects of this run. At the end, what is left is removed."""
    prefix = pytestconfig.stash[PREFIX]
    yield prefix
    remove_containers(prefix)


RunFile = Callable[[Path], Stack]
RunExample = Callable[[str], Stack]


@pytest.fixture(scope="module")
def run_file(prefix: str, proxy_image: None) -> Iterator[RunFile]:
    """Start a Compose file. It ends after the module's last test, or when the next file is started."""
    with ExitStack() as running:

        def start(file: Path) -> Stack:
            running.close()
            return running.enter_context(running_stack(file, f"{prefix}{file.parent.name}"))

        yield start


RunContainer = Callable[..., Container]


@pytest.fixture
def run_container(prefix: str, proxy_image: None) -> Iterator[RunContainer]:
    """Start a container with `docker run`. All containers of a test are one Compose project and are removed at its end."""
    own = f"{prefix}{uuid.uuid4().hex[:4]}-"

    def start(role: str, *arguments: str) -> Container:
        container = Container(own + role)
        docker("run", "--detach", "--name", container.name, *in_project(own, role), *arguments)
        return container

    yield start
    remove_containers(own)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the log and the configuration of each proxy of this run to the report of a failed test."""
    report = yield
    if report.failed and report.when == "call":
        try:
            names = container_names(item.config.stash[PREFIX], "ancestor=proxy")
        except CommandError as error:
            report.sections.append(("proxies", str(error)))
            return report
        for name in names:
            proxy = Container(name)
            log = [line for line in proxy.logs().splitlines() if not line.endswith(ACCESS_LINE_END)]
            report.sections.append((f"{name}: log without visits", "\n".join(log[-LOG_LINES:])))
            rendered = proxy.exec("proxy", "render")
            report.sections.append((f"{name}: proxy render", rendered.output + rendered.errors))
    return report


@pytest.fixture
def run_example(run_file: RunFile) -> RunExample:
    """Start the example in the folder of this name."""
    return lambda name: run_file(EXAMPLES / name / "compose.yml")
