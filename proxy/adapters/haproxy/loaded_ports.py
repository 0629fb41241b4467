"""The ports that the running HAProxy listens on. For commands that run beside it, perhaps as another user."""

from __future__ import annotations

from proxy.adapters.haproxy.runtime_api import RuntimeApi
from proxy.adapters.haproxy.runtime_socket import RuntimeSocket
from proxy.adapters.haproxy.state_files import find_generation
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.core.haproxy.loaded import listening_ports
from proxy.errors import RuntimeApiError


def read_loaded_ports(layout: StateLayout) -> frozenset[int]:
    """Return the ports of the configuration that HAProxy runs with; empty if no HAProxy answers."""
    try:
        digest = RuntimeApi(RuntimeSocket(layout.runtime_socket)).identify().config_digest
    except RuntimeApiError:
        return frozenset()
    found = find_generation(layout, digest)
    return listening_ports(found[1]) if found else frozenset()
