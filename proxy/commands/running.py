"""What runs beside a command: what HAProxy says that it serves, and whether the controller is alive.

In: the state folder, and the model of this moment. Out: `Running`. HAProxy is asked with one request. Only while it lacks a
part of the model, it is asked again, because the controller may be about to bring it there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proxy.adapters.files.status_file import Status, read_status
from proxy.adapters.haproxy.runtime_api import RuntimeApi
from proxy.adapters.haproxy.runtime_socket import RuntimeSocket
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.core.haproxy.served import Served, has_all, map_files
from proxy.core.model.model import RoutingModel
from proxy.errors import THE_PROXY, Problem, RuntimeApiError

PATIENCE_SECONDS = 2.0
"""How long the controller may take to bring HAProxy what has just changed."""
POLL_SECONDS = 0.1
SILENT_SECONDS = 60.0
"""A controller runs a pass at least every few seconds, and reports it. Longer silence means that it hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """`served` is None if no HAProxy answers. `faults` tell who does not answer although a proxy was started here.

    `reasons` is what the controller says of servers that get no requests, by `backend/server`.
    """

    served: Served | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[Problem, ...] = ()
    was_started: bool = False


def look(state_folder: Path, model: RoutingModel) -> Running:
    """Return what runs."""
    layout, status = StateLayout(folder=state_folder), read_status(state_folder)
    was_started = status is not None or layout.current.exists()
    served, faults = None, [*_silent_controller(status)]
    try:
        served = _read_served(RuntimeApi(RuntimeSocket(layout.runtime_socket)), model)
    except RuntimeApiError as error:
        faults.insert(0, Problem(service=THE_PROXY, reason=f"HAProxy does not answer, nothing is served: {error}"))
    reasons = status.servers if status else {}
    return Running(served=served, reasons=reasons, faults=tuple(faults) if was_started else (), was_started=was_started)


def _read_served(runtime: RuntimeApi, model: RoutingModel) -> Served:
    files, deadline = map_files(model), time.monotonic() + PATIENCE_SECONDS
    served = runtime.read_served(files)
    while not has_all(model, served) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        served = runtime.read_served(files)
    return served


def _silent_controller(status: Status | None) -> Iterator[Problem]:
    if status is None:
        return
    age = time.time() - status.began
    if not _exists(status.pid):
        reason = f"the controller, process {status.pid}, does not run; until it runs, no route follows the containers"
        yield Problem(service=THE_PROXY, reason=reason)
    elif status.began and age > SILENT_SECONDS:
        reason = f"the controller, process {status.pid}, has not reported for {age:.0f} s; see its log"
        yield Problem(service=THE_PROXY, reason=reason)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
