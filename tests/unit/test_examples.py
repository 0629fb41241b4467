"""What people copy from the examples opens no more than the example needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
FILES = sorted([*(ROOT / "examples").glob("*/compose.yml"), *(ROOT / "examples" / "swarm").glob("*.yml")])
IDS = [f"{file.parent.name}/{file.name}" for file in FILES]
PROXY_IMAGES = ("proxy", "${PROXY_IMAGE:-proxy}")


def services_of(file: Path, *, is_proxy: bool) -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(file.read_text())["services"]
    return {name: service for name, service in services.items() if (service["image"] in PROXY_IMAGES) is is_proxy}


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_only_the_proxy_publishes_ports(file: Path) -> None:
    """A published backend can be reached beside the proxy, without its passwords and its TLS."""
    published = [name for name, service in services_of(file, is_proxy=False).items() if "ports" in service]

    assert [] == published


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_proxy_routes_its_own_project_only(file: Path) -> None:
    """With `*`, a container of anybody on the engine could take a host of this project."""
    (proxy,) = services_of(file, is_proxy=True).values()

    assert "ADDITIONAL_SERVICES" not in proxy.get("environment", {})
