"""Where the engine's socket is, for those who need no engine client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"


def docker_socket(environment: Mapping[str, str]) -> Path | None:
    """Return the engine's Unix socket; None when DOCKER_HOST leads elsewhere."""
    address = environment.get("DOCKER_HOST") or DEFAULT_ADDRESS
    return Path(address.removeprefix("unix://")) if address.startswith("unix://") else None
