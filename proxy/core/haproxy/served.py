"""What the running HAProxy serves at this moment, by its own account, and what of the model it does not serve, and why.

In: replies of the runtime API (management guide, `show stat`, `show map`), and the model. Out: `Served`, the state of a
server in words, problems. A reply in a form that is not understood raises `RuntimeApiError`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from proxy.core.haproxy.comparison import rows_of
from proxy.core.haproxy.file_names import MAP_KINDS, map_file
from proxy.core.model.matching import Row
from proxy.core.model.model import UNSERVED, Backend, RoutingModel, Server, ServerState
from proxy.errors import THE_PROXY, Problem, RuntimeApiError
from proxy.settings import ProxyMode

STATISTICS = "show stat -1 5 -1"
"""Asks for all frontends (1) and servers (4), and for nothing else."""
DOWN = "DOWN"
"""Begins the status of a server that its health check has taken out."""

_COLUMNS = ("# pxname", "svname", "status", "check_status", "check_code", "last_chk")
_STATES = {"UP": "up", "no": "up", DOWN: "down", "NOLB": "stopping", "MAINT": "maint", "DRAIN": "drain"}
"""States by the first word of a status; `no check` is a server that HAProxy sends requests to without checking it."""
_FRONTEND = "FRONTEND"
_NOT_THERE = "HAProxy does not have it (yet)"
_BY_HAND = "HAProxy has it in maintenance"

Place = tuple[str, str]
"""(backend, server), by their names."""


class ServerStatus(NamedTuple):
    """The state of a server in HAProxy, and HAProxy's reason if it is down."""

    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """`frontends` are those that accept connections. `rows` are those of the maps that were asked for, by file."""

    frontends: frozenset[str] = frozenset()
    servers: Mapping[Place, ServerStatus] = field(default_factory=dict)
    rows: Mapping[str, frozenset[Row]] = field(default_factory=dict)


def parse_statistics(reply: str, *, only: str = "") -> tuple[frozenset[str], Mapping[Place, ServerStatus]]:
    """Read the frontends that accept connections, and the servers; with `only`, lines without this text are left out."""
    header, *lines = reply.strip().splitlines() or [""]
    names = header.split(",")
    if any(column not in names for column in _COLUMNS):
        raise RuntimeApiError(f"`show stat` replied something else: {header[:200]!r}")
    select = itemgetter(*map(names.index, _COLUMNS))
    frontends, servers = set(), dict[Place, ServerStatus]()
    for row in csv.reader(line for line in lines if only in line):
        if len(row) < len(names) - 1:
            continue
        proxy, name, status, check, code, last = select(row)
        if name == _FRONTEND:
            frontends |= {proxy} if status == "OPEN" else set()
        else:
            state = _STATES.get(status.partition(" ")[0], status)
            servers[proxy, name] = ServerStatus(state, _explain(check, code, last) if state == "down" else "")
    return frozenset(frontends), servers


def _explain(check: str, code: str, last: str) -> str:
    result = "/".join(filter(None, (check.removeprefix("* "), code)))
    return f"its health check fails ({', '.join(filter(None, (result, last)))})" if result or last else ""


def map_files(model: RoutingModel) -> Sequence[str]:
    """Return the maps of the model's routes."""
    ports = [frontend.port for frontend in model.frontends if frontend.mode is ProxyMode.HTTP]
    return [map_file(port, kind) for port in ports for kind in MAP_KINDS]


def has_all(model: RoutingModel, served: Served) -> bool:
    """Return whether HAProxy has every port, route and server of the model, in whatever state."""
    places = {(backend.name, server.name) for backend in _backends(model) for server in backend.servers}
    return places <= served.servers.keys() and not any(unserved_routes(model, served, port_offset=0))


def describe_state(backend: str, server: Server, served: Served | None, reasons: Mapping[str, str]) -> str:
    """Return the state of a server as HAProxy has it, with the reason. Without `served`, no HAProxy answers.

    `reasons` is what the controller says of servers that get no requests (see `place_text`).
    """
    if served is None:
        return "not served"
    status = served.servers.get((backend, server.name))
    if status is None:
        return f"not served: {_NOT_THERE}"
    if status.state == "maint":
        told = reasons.get(place_text(backend, server.name), "")
        return f"maint: {server.reason or told or _BY_HAND}"
    if server.state is ServerState.MAINT and status.state == "up":
        return f"up, though it {server.reason}"
    return f"{status.state}: {status.reason}" if status.reason else status.state


def place_text(backend: str, server: str) -> str:
    """Return the name of a server within HAProxy."""
    return f"{backend}/{server}"


def unserved_servers(model: RoutingModel, served: Served, reasons: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a problem for each server that should get requests and gets none."""
    for backend in _backends(model):
        for server in backend.servers:
            state = describe_state(backend.name, server, served, reasons)
            is_wanted = server.state is ServerState.READY or server.reason in UNSERVED
            if is_wanted and not state.startswith(("up", "drain")):
                yield unserved(backend, server, state)


def _backends(model: RoutingModel) -> Iterator[Backend]:
    yield from model.backends
    yield from (listener.backend for listener in model.listeners)


def unserved_routes(model: RoutingModel, served: Served, *, port_offset: int) -> Iterator[Problem]:
    """Yield a problem for each port that HAProxy does not listen on, and for routes that it does not have."""
    listeners = [(listener.port, str(listener.backend.name)) for listener in model.listeners]
    for port, name in [*((frontend.port, f"port_{frontend.port}") for frontend in model.frontends), *listeners]:
        if name not in served.frontends:
            yield Problem(service=THE_PROXY, reason=f"HAProxy does not listen on port {port + port_offset} (yet)")
    for frontend in model.frontends:
        if frontend.mode is not ProxyMode.HTTP or f"port_{frontend.port}" not in served.frontends:
            continue
        for kind in MAP_KINDS:
            file = map_file(frontend.port, kind)
            missing = set(rows_of(frontend.tables, kind)) - served.rows.get(file, frozenset())
            if missing:
                some = sorted(key for key, _ in missing)[0]
                reason = f"HAProxy does not have {len(missing)} of the routes of {file} (yet), such as {some}"
                yield Problem(service=THE_PROXY, reason=reason)


def unserved(backend: Backend, server: Server, state: str) -> Problem:
    """Return a problem that tells of a server that gets no requests."""
    service = ", ".join(backend.services) or backend.name
    return Problem(service=service, container=server.container, reason=f"server {server.name} gets no requests: {state}")
