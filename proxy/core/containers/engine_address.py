"""The address of the Docker engine: the value of DOCKER_HOST, or else the usual socket."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"


def engine_address(environment: Mapping[str, str]) -> str:
    """Return the address of the engine's API, as a URL."""
    return environment.get("DOCKER_HOST") or DEFAULT_ADDRESS


def docker_socket(environment: Mapping[str, str]) -> Path | None:
    """Return the path of the engine's Unix socket; None when DOCKER_HOST is not a Unix socket."""
    address = engine_address(environment)
    return Path(address.removeprefix("unix://")) if address.startswith("unix://") else None
