"""The files that HAProxy runs from. For commands that run beside it, perhaps as another user."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.adapters.haproxy.runtime_api import RuntimeApi
from proxy.adapters.haproxy.runtime_socket import RuntimeSocket
from proxy.adapters.haproxy.state_files import find_generation, read_files
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.errors import RuntimeApiError


def read_running_files(layout: StateLayout) -> Mapping[str, str]:
    """Return the files that HAProxy runs from; empty if no HAProxy answers, or if they cannot be read."""
    try:
        digest = RuntimeApi(RuntimeSocket(layout.runtime_socket)).identify().config_digest
    except RuntimeApiError:
        return {}
    found = find_generation(layout, digest)
    return (read_files(found[0]) or {}) if found else {}
