"""How many connections HAProxy can have, where the system allows it few open files.

In: the settings, the limit of open files. Out: settings that HAProxy can start with, and the problem that says so. Of the
files, some are for HAProxy itself, and one in sixteen is for health checks and listening ports. A connection takes two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from proxy.errors import THE_PROXY, Problem
from proxy.settings import HaproxySettings, Settings

_FILES_OF_HAPROXY = 64
_FILES_OF_A_THREAD = 4


def fit_connections(settings: Settings, open_files: int, cpus: int) -> Settings:
    """Return the settings with no more connections than `open_files` allows. `cpus` are the threads if none are set."""
    haproxy = settings.haproxy
    own = _FILES_OF_HAPROXY + _FILES_OF_A_THREAD * (haproxy.threads or cpus)
    most = max((open_files - own) * 15 // 32, 1)
    if most >= haproxy.maxconn:
        return settings
    per_source = min(haproxy.maxconn_per_source, max(most // 2, 1))  # 0, any number, stays
    fitting = dataclasses.replace(haproxy, maxconn=most, maxconn_per_source=per_source)
    return dataclasses.replace(settings, haproxy=fitting)


def too_few_files(haproxy: HaproxySettings) -> Iterable[Problem]:
    """Yield a problem where there are fewer connections than MAXCONN asks for."""
    if haproxy.maxconn < haproxy.wanted_maxconn:
        needed = -(-haproxy.wanted_maxconn * 32 // 15) + 256
        reason = (
            f"the system allows the proxy too few open files, so HAProxy takes at most {haproxy.maxconn} connections at the "
            f"same time; raise the limit (--ulimit nofile={needed}), or lower MAXCONN"
        )
        yield Problem(service=THE_PROXY, setting="MAXCONN", value=str(haproxy.wanted_maxconn), reason=reason)
