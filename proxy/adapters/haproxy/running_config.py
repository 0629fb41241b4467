"""The configuration that HAProxy runs with. For commands that run beside it, perhaps as another user."""

from __future__ import annotations

from proxy.adapters.haproxy.runtime_api import RuntimeApi
from proxy.adapters.haproxy.runtime_socket import RuntimeSocket
from proxy.adapters.haproxy.state_files import find_generation
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.errors import RuntimeApiError


def read_running_config(layout: StateLayout) -> str:
    """Return the configuration that HAProxy runs with; empty if no HAProxy answers."""
    try:
        digest = RuntimeApi(RuntimeSocket(layout.runtime_socket)).identify().config_digest
    except RuntimeApiError:
        return ""
    found = find_generation(layout, digest)
    return found[1] if found else ""
