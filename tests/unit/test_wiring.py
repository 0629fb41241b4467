"""Which sources are read: those that are named, or else those that are found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from proxy.adapters.files.kept_files import KeptFiles
from proxy.errors import SettingsError
from proxy.settings import SourceKind
from proxy.source_wiring import find_sources, make_overlays, make_sources, make_swarm
from proxy.wiring import watched_paths
from tests.builders import make_settings
from tests.stub_engine import StubContainer, run_stub_engine

LINK = {"WEB_PORT_80_TCP_ADDR": "10.0.0.5", "WEB_PORT_80_TCP_PORT": "80", "WEB_PORT_80_TCP": "tcp://10.0.0.5:80"}
LINK_NAME = {"WEB_NAME": "/proxy/web"}
KEPT = KeptFiles(Path("/nonexistent"), is_read_only=True)
SWARM = make_swarm(make_settings(), {}, None)
FILE = {"PROXY_SERVICES_FILE": "/etc/proxy/services.yml"}


@pytest.mark.parametrize(
    ("has_engine", "links", "variables", "expected"),
    [
        pytest.param(True, {}, {}, (SourceKind.DOCKER,), id="engine"),
        pytest.param(True, LINK | LINK_NAME, {}, (SourceKind.DOCKER,), id="engine-knows-links"),
        pytest.param(False, LINK | LINK_NAME, {}, (SourceKind.LINKS,), id="links"),
        pytest.param(True, {}, FILE, (SourceKind.DOCKER, SourceKind.FILE), id="engine-and-file"),
        pytest.param(False, {}, FILE, (SourceKind.FILE,), id="file"),
        pytest.param(False, {}, {}, (), id="nothing"),
    ],
)
def test_sources_are_those_that_are_there(
    tmp_path: Path,
    has_engine: bool,
    links: dict[str, str],
    variables: dict[str, str],
    expected: tuple[SourceKind, ...],
) -> None:
    socket = tmp_path / "docker.sock"
    if has_engine:
        socket.touch()
    environment = {"DOCKER_HOST": f"unix://{socket}", **links, **variables}

    assert expected == find_sources(make_settings(**variables), environment)


def test_engine_that_is_elsewhere_is_always_a_source() -> None:
    """Whether it answers is only seen later. It may be unreachable only for now."""
    assert (SourceKind.DOCKER,) == find_sources(make_settings(), {"DOCKER_HOST": "tcp://engine.example:2376"})


def test_sources_that_are_named_are_read_and_no_others(tmp_path: Path) -> None:
    variables = {"PROXY_SOURCES": "file,links", "PROXY_SERVICES_FILE": str(tmp_path / "services.yml")}

    assert {"file", "links"} == {source.name for source in make_sources(make_settings(**variables), LINK, KEPT, SWARM)}


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[docker.APIClient]]:
    """The clients of engines that a test makes. In the program they live as long as their threads; here they are closed."""
    made: list[docker.APIClient] = []
    make = docker.APIClient

    def note(*arguments: Any, **keywords: Any) -> docker.APIClient:
        made.append(make(*arguments, **keywords))
        return made[-1]

    monkeypatch.setattr(docker, "APIClient", note)
    yield made
    for client in made:
        client.close()


@pytest.mark.parametrize("swarm_service", [pytest.param("", id="Compose"), pytest.param("s1", id="Swarm")])
@pytest.mark.parametrize(("mode", "alias"), [("custom", "web"), ("acsrouting", "")])
def test_services_that_are_named_count_as_linked(
    tmp_path: Path, clients: list[docker.APIClient], mode: str, alias: str, swarm_service: str
) -> None:
    settings = make_settings(PROXY_MODE=mode, ADDITIONAL_SERVICES="blog:api, stub:web")
    container = StubContainer(name="stub-web-1", service="web", labels={}, port=80, swarm_service=swarm_service)
    with run_stub_engine(tmp_path) as engine:
        engine.containers[container.id] = container
        (source,) = make_sources(settings, {"DOCKER_HOST": engine.host}, KEPT, SWARM)

        (found,) = source.read_changes().containers
        source.stop()  # else it asks how the container is stopped, when there is no engine any more

    assert alias == found.alias
    assert clients


def test_no_source_at_all_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="mount the engine's socket"):
        make_sources(make_settings(), {"DOCKER_HOST": f"unix://{tmp_path}/missing"}, KEPT, SWARM)


def test_file_as_a_source_needs_a_file() -> None:
    with pytest.raises(SettingsError, match="needs PROXY_SERVICES_FILE"):
        make_sources(make_settings(PROXY_SOURCES="file"), {}, KEPT, SWARM)


@pytest.mark.parametrize(("mode", "count"), [("custom", 2), ("acsrouting", 3)], ids=["custom", "simple"])
def test_probes_are_laid_over_containers_in_simple_routing_only(mode: str, count: int) -> None:
    assert count == len(make_overlays(make_settings(PROXY_MODE=mode), {}, lambda trigger: None))


def test_certificates_and_templates_are_watched() -> None:
    variables = {"CERT_FOLDER": "/certs", "CA_CERT_FILE": "/ca.pem", "PROXY_TEMPLATES": "/templates"}

    assert {Path("/certs"), Path("/ca.pem"), Path("/templates")} <= set(watched_paths(make_settings(**variables)))
