"""The proxy as a program on this machine, outside of any container, with an engine."""

from __future__ import annotations

import os
from pathlib import Path


def host_environment(haproxy: str, state_folder: Path, port_offset: int, **variables: str) -> dict[str, str]:
    """Return the environment of a proxy for all containers of the engine, with its ports moved by `port_offset`."""
    return {
        **os.environ,
        "ADDITIONAL_SERVICES": "*",
        "OPTION": "redispatch, dontlognull, forwardfor",
        "PROXY_SOURCES": "docker",
        "PROXY_STATE_FOLDER": str(state_folder),
        "PROXY_PORT_OFFSET": str(port_offset),
        "PROXY_HAPROXY": haproxy,
        "PYTHONUNBUFFERED": "1",
        **variables,
    }
