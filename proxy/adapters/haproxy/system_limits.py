"""What the system allows HAProxy, which is started with the same limits as this program."""

from __future__ import annotations

import os
import resource

from proxy.core.model.limits import fit_connections
from proxy.settings import Settings


def fit_to_system(settings: Settings) -> Settings:
    """Return the settings as far as HAProxy can have them."""
    _, open_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if open_files == resource.RLIM_INFINITY:
        return settings
    return fit_connections(settings, open_files, len(os.sched_getaffinity(0)))
