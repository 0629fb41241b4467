"""Which part of a change the running HAProxy can take at once, and which part takes a reload, and why.

In: a `ModelChange`, what HAProxy has loaded, what is still being removed. Out: the two parts. A change that takes a reload
holds up no other: a server of one service is stopped at once while another service waits for its reload. What depends on a
part that has to wait, waits with it: a map row for its backend, and the backend that it led to until now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from proxy.core.haproxy.loaded import Loaded
from proxy.core.model.matching import Row
from proxy.core.model.model import Backend, Server, TcpListener
from proxy.core.model.model_change import ModelChange
from proxy.core.model.row_changes import RowChange, RowChanges
from proxy.grammar.syntax import BackendName

BackendPair = tuple[Backend | None, Backend | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A change in two parts: what commands can do `now`, and the `rest`, which takes a reload for `reasons`."""

    now: ModelChange
    rest: ModelChange
    reasons: tuple[str, ...] = ()


def divide(change: ModelChange, loaded: Loaded, leaving_backends: Mapping[str, Backend]) -> Parts:
    """Divide `change`. `leaving_backends` are those that HAProxy still has because connections are attached."""
    if change.is_everything:
        return Parts(now=ModelChange(), rest=change, reasons=("TLS termination begins or ends",))
    reasons = [*_shape_reasons(change)]
    if change.client_ca[0] != change.client_ca[1]:
        reasons.append("the CA of client certificates has changed")
    now, rest = ModelChange(), ModelChange(client_ca=change.client_ca)
    if change.certificates[0] != change.certificates[1] and loaded.shows_certificates:
        now.certificates = change.certificates  # else they come from files, together with the first port that shows them
    rest.shapes = change.shapes if change.shapes[0] != change.shapes[1] else (change.shapes[1], change.shapes[1])
    rest.certificates = change.certificates[1], change.certificates[1]
    for port, listener in sorted(change.listeners.items()):
        why = _listener_reason(port, *listener)
        reasons += [why] if why else []
        (rest if why else now).listeners[port] = listener
    for name, pair in sorted(change.backends.items(), key=_followers_last):
        why = _backend_reason(name, pair, loaded, leaving_backends)
        reasons += [why] if why else []
        (rest if why or _follows(pair[1], rest.backends) else now).backends[name] = pair
    is_settled = False
    while not is_settled:
        now.rows, rest.rows = _divide_rows(change, _unfit(rest.backends), loaded.ports)
        is_settled = not _keep_what_rows_lead_to(now, rest, change)
    return Parts(now=now, rest=rest, reasons=tuple(reasons))


def _shape_reasons(change: ModelChange) -> Iterator[str]:
    before, after = ({shape.port: shape for shape in shapes} for shapes in change.shapes)
    for port in sorted({*before, *after}):
        if port not in before:
            yield f"new listening port {port}"
        elif port not in after:
            yield f"port {port} is no longer used"
        elif before[port] != after[port]:
            yield f"port {port} changes its settings"


def _listener_reason(port: int, before: TcpListener | None, after: TcpListener | None) -> str:
    if before is None:
        return f"new TCP port {port}"
    if after is None:
        return f"TCP port {port} is no longer used"
    if (before.is_tls, before.backend.lines) != (after.is_tls, after.backend.lines):
        return f"TCP port {port} changes its settings"
    return _server_reason(before.backend, after.backend)


def _backend_reason(name: BackendName, pair: BackendPair, loaded: Loaded, leaving: Mapping[str, Backend]) -> str:
    before, after = pair
    if before and after:
        if settings_of(before) != settings_of(after):
            return f"backend {name} changes its settings"
        return _server_reason(before, after)
    if not loaded.has_runtime_backends:
        return f"{'new' if after else 'removed'} backend {name}; this HAProxy version needs a reload for it"
    if after is None:
        return ""
    if after.lines:
        return f"new backend {name} has settings that need a reload"
    if after.profile.name not in loaded.profiles:
        return f"new backend {name} has settings that HAProxy has not loaded"
    if (leftover := leaving.get(name)) and settings_of(leftover) != settings_of(after):
        return f"backend {name} has other settings, and the old one is still being removed"
    return _newcomer_reason(after, after.servers)


def _server_reason(before: Backend, after: Backend) -> str:
    old = {server.name: server for server in before.servers}
    for server in after.servers:
        if (known := old.get(server.name)) and _fixed(known) != _fixed(server):
            return f"server {after.name}/{server.name} changes its settings"
    return _newcomer_reason(after, [server for server in after.servers if server.name not in old])


def _newcomer_reason(backend: Backend, new: Sequence[Server]) -> str:
    """Return why no command can add these servers.

    A server can follow only one that was loaded from a file, and HAProxy does not tell which those are. A server that is
    added does not get what `default-server` says (management guide, `add server`).
    """
    follower = next((server.name for server in new if _tracked(server)), "")
    if follower:
        return f"new server {backend.name}/{follower} uses the health of another server"
    if new and any(line.startswith("default-server ") for line in (*backend.lines, *backend.profile.lines)):
        return f"new server {backend.name}/{new[0].name} has settings of a default-server line"
    return ""


def settings_of(backend: Backend) -> tuple[object, ...]:
    """What of a backend no command can change."""
    return backend.mode, backend.profile, backend.lines


def _fixed(server: Server) -> tuple[object, ...]:
    """What of a server no command can change."""
    return server.cookie, server.has_default_check, server.options, server.is_backup


def _followers_last(item: tuple[BackendName, BackendPair]) -> tuple[bool, str]:
    name, (_, after) = item
    return bool(tracked_backends(after)), name


def tracked_backends(backend: Backend | None) -> frozenset[str]:
    """Return the backends whose servers those of `backend` take their health from (`track`)."""
    return frozenset(_tracked(server) for server in (backend.servers if backend else ())) - {""}


def _tracked(server: Server) -> str:
    words = server.options.split()
    return words[1].partition("/")[0] if words[:1] == ["track"] else ""


def _follows(backend: Backend | None, waiting: Mapping[BackendName, BackendPair]) -> bool:
    return bool(tracked_backends(backend) & waiting.keys())


def _unfit(backends: Mapping[BackendName, BackendPair]) -> frozenset[str]:
    """Return those of the backends that wait to which no more rows may lead: they are not there, or others' for now."""
    return frozenset(name for name, pair in backends.items() if pair[0] is None or _changes_hands(*pair))


def _changes_hands(before: Backend | None, after: Backend | None) -> bool:
    """Whether a backend is to serve other services than before: whoever is led to it must not meet another's servers."""
    return before is not None and (after is None or before.services != after.services)


def _divide_rows(
    change: ModelChange, unfit: frozenset[str], ports: frozenset[int]
) -> tuple[dict[int, RowChanges], dict[int, RowChanges]]:
    """Divide the rows of each port by host: those of a host that leads to an `unfit` backend wait, all together.

    Rows of ports that HAProxy has not loaded, those but `ports`, wait as well.
    """
    now: dict[int, RowChanges] = {}
    rest: dict[int, RowChanges] = {}
    wanted = {shape.port for shape in change.shapes[1]}
    for port, changes in change.rows.items():
        if port not in wanted:
            continue  # such a port has no maps
        if port not in ports:
            rest[port] = changes
            continue
        waiting = {
            _host_of(kind, key) for kind, rows in changes.rows.items() for key, (_, after) in rows.items() if after in unfit
        }
        if changes.ordered and (waiting or any(_leads_to(rows, unfit) for rows in changes.ordered.values())):
            rest[port] = changes  # the lists hold patterns of all hosts
            continue
        now[port] = RowChanges(rows=_select(changes, waiting, is_waiting=False), ordered=changes.ordered)
        rest[port] = RowChanges(rows=_select(changes, waiting, is_waiting=True))
    return _without_empty(now), _without_empty(rest)


def _select(changes: RowChanges, waiting: set[str], *, is_waiting: bool) -> dict[str, dict[str, RowChange]]:
    return {
        kind: {key: row for key, row in rows.items() if (_host_of(kind, key) in waiting) == is_waiting}
        for kind, rows in changes.rows.items()
    }


def _without_empty(ports: dict[int, RowChanges]) -> dict[int, RowChanges]:
    return {port: changes for port, changes in ports.items() if changes.ordered or any(changes.rows.values())}


def _leads_to(rows: tuple[Row, ...], backends: frozenset[str]) -> bool:
    return any(value in backends for _, value in rows)


def _host_of(kind: str, key: str) -> str:
    """Return the host that a row is about. Keys begin with the kind of request, except in `hosts`."""
    return key if kind == "hosts" else key[1:].partition("/")[0]


def _keep_what_rows_lead_to(now: ModelChange, rest: ModelChange, change: ModelChange) -> bool:
    """Leave backends as they are while a row that has to wait, or a port, leads to them; return whether any was left.

    What a list that has to wait leads to is not known. Servers of a backend that stays with its services change at once.
    """
    has_lists = any(changes.ordered for changes in rest.rows.values())
    kept = {before for changes in rest.rows.values() for rows in changes.rows.values() for before, _ in rows.values()}
    if rest.shapes[0] != rest.shapes[1]:
        kept |= {shape.only_backend for shape in change.shapes[0]}
    left = [name for name, pair in now.backends.items() if _changes_hands(*pair) and (has_lists or name in kept)]
    for name in left:
        rest.backends[name] = now.backends.pop(name)
    return bool(left)
