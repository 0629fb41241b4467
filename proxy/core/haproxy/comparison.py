"""How what a running HAProxy says of itself differs from the model: as a change, so that it is mended as any other change.

In: `Reported`, the model, what is still being removed, names of sections that are no services. Out: a `ModelChange` whose
"before" is what HAProxy has. What HAProxy does not tell follows from names (see `grammar/syntax`) and from the configuration
that it has loaded (see `loaded`).
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from proxy.core.haproxy.file_names import CERTIFICATE_FOLDER, MAP_KINDS, map_file
from proxy.core.haproxy.reported import Reported, ReportedServer
from proxy.core.model.matching import UNORDERED_KINDS, RouteTables, Row
from proxy.core.model.model import Backend, Frontend, Profile, RoutingModel, Server, StoredCertificate
from proxy.core.model.model_change import ModelChange, shape_of
from proxy.core.model.row_changes import RowChange, RowChanges
from proxy.grammar.certificates import Certificate
from proxy.grammar.syntax import BackendName, ServerName
from proxy.secret import Secret
from proxy.settings import ProxyMode

_UNKNOWN_PROFILE = Profile(name="", mode=ProxyMode.HTTP, lines=())
_UNKNOWN_CERTIFICATE = Certificate(pem=Secret(""), fingerprint="")
_AGENT_CHECK = "agent-check"
"""With it, an agent beside the server sets weight and state, and the model does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What HAProxy has besides the model, and may have: what is still being removed, and backends that are no services."""

    leaving: AbstractSet[tuple[str, str]] = frozenset()
    leaving_backends: AbstractSet[str] = frozenset()
    fixed_backends: AbstractSet[str] = frozenset()
    shows_certificates: bool = True
    """Whether a port uses the list of certificates; without one HAProxy has none of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The change that mends what differs, and each difference in words."""

    change: ModelChange = field(default_factory=ModelChange)
    differences: tuple[str, ...] = ()


def compare(reported: Reported, model: RoutingModel, known: Known) -> Comparison:
    """Return how HAProxy differs from `model`; nothing when it has exactly what the model says."""
    change = ModelChange(default_checks=model.count_default_checks())
    for backend in model.backends:
        servers = reported.servers.get(backend.name)
        before = None if servers is None else _as_reported(backend, servers, known)
        if before != backend:
            change.backends[backend.name] = before, backend
    wanted = {backend.name for backend in model.backends} | {entry.backend.name for entry in model.listeners}
    for name in sorted(reported.servers.keys() - wanted - known.fixed_backends):
        unknown = _unknown_backend(name, reported.servers[name], known)
        if unknown.servers or name not in known.leaving_backends:  # one that leaves may have been given a server
            change.backends[BackendName(name)] = unknown, None
    for listener in model.listeners:
        before = _as_reported(listener.backend, reported.servers.get(listener.backend.name, {}), known)
        if before != listener.backend:
            change.listeners[listener.port] = dataclasses.replace(listener, backend=before), listener
    for frontend in model.frontends:
        if frontend.mode is not ProxyMode.TCP:
            rows = _compare_rows(frontend, reported.maps)
            if rows.rows or rows.ordered:
                change.rows[frontend.port] = rows
    if known.shows_certificates:
        change.certificates = _compare_certificates(reported, model)
    shapes = tuple(shape_of(frontend) for frontend in model.frontends)
    change.shapes = shapes, shapes  # which ports HAProxy listens on follows from what it has loaded
    return Comparison(change=change, differences=tuple(_describe(change)))


def _as_reported(backend: Backend, servers: Mapping[str, ReportedServer], known: Known) -> Backend:
    """Return the backend as HAProxy has it. What it does not tell is taken from the model."""
    if len(servers) == len(backend.servers) and all(_is_reported(server, servers) for server in backend.servers):
        return backend
    ours = {server.name: server for server in backend.servers}
    found = [_server_as_reported(ours.get(ServerName(name)), name, reported) for name, reported in servers.items()]
    kept = [server for server in found if server.name in ours or (backend.name, server.name) not in known.leaving]
    # With other servers it may have been other services' until now: whose, HAProxy does not tell.
    services = backend.services if {server.name for server in kept} == ours.keys() else ()
    return dataclasses.replace(backend, services=services, servers=tuple(sorted(kept, key=lambda server: server.name)))


def _is_reported(server: Server, servers: Mapping[str, ReportedServer]) -> bool:
    """Whether HAProxy has a server exactly so; nearly always it does, and then nothing is built for it."""
    reported = servers.get(server.name)
    weight = 1 if server.weight is None else server.weight
    return reported == (server.address, server.port, weight, server.state)


def _server_as_reported(server: Server | None, name: str, reported: ReportedServer) -> Server:
    if server is None:
        return Server(name=ServerName(name), address=reported.address, port=reported.port, state=reported.state)
    address = server.address if _is_same_address(server.address, reported.address) else reported.address
    is_default = server.weight is None and reported.weight == 1
    if _AGENT_CHECK in server.options.split():
        return dataclasses.replace(server, address=address, port=reported.port)
    return dataclasses.replace(
        server,
        address=address,
        port=reported.port,
        weight=None if is_default else reported.weight,
        state=reported.state,
    )


def _is_same_address(one: str, other: str) -> bool:
    """Whether two texts name one address: that of IPv6 can be written in many ways."""
    try:
        return one == other or ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return False


def _unknown_backend(name: str, servers: Mapping[str, ReportedServer], known: Known) -> Backend:
    empty = Backend(name=BackendName(name), mode=ProxyMode.HTTP, profile=_UNKNOWN_PROFILE)
    return _as_reported(empty, servers, known)


def _compare_rows(frontend: Frontend, maps: Mapping[str, tuple[Row, ...]]) -> RowChanges:
    changes = RowChanges()
    for kind in MAP_KINDS:
        wanted = rows_of(frontend.tables, kind)
        found = maps.get(map_file(frontend.port, kind), ())
        if kind not in UNORDERED_KINDS:
            if found != wanted:
                changes.ordered[kind] = wanted
            continue
        before, after = dict(found), dict(wanted)
        if len(before) != len(found):
            changes.ordered[kind] = wanted  # a key that stands there twice: only the whole map can be put right
        elif before != after:
            changes.rows[kind] = dict(_row_changes(before, after))
    return changes


def rows_of(tables: RouteTables, kind: str) -> tuple[Row, ...]:
    """Return the rows of one of the maps of `tables`."""
    rows: tuple[Row, ...] = getattr(tables, kind)
    return rows


def _row_changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, RowChange]]:
    for key in before.keys() | after.keys():
        if before.get(key) != after.get(key):
            yield key, (before.get(key), after.get(key))


def _compare_certificates(
    reported: Reported, model: RoutingModel
) -> tuple[tuple[StoredCertificate, ...], tuple[StoredCertificate, ...]]:
    """Return (what HAProxy shows to visitors, what it is to show); equal where nothing differs."""
    if not model.certificates:
        return (), ()
    wanted = {f"{CERTIFICATE_FOLDER}/{stored.name}": stored for stored in model.certificates}
    before = []
    for file in sorted(reported.listed & reported.certificates.keys()):
        stored = wanted.get(file)
        if stored and reported.certificates[file] == stored.certificate.sha1:
            before.append(stored)
        elif file.startswith(f"{CERTIFICATE_FOLDER}/"):
            name = file.removeprefix(f"{CERTIFICATE_FOLDER}/")
            before.append(StoredCertificate(name=name, certificate=_UNKNOWN_CERTIFICATE))
    if {stored.name: stored for stored in before} == {stored.name: stored for stored in model.certificates}:
        return model.certificates, model.certificates
    return tuple(before), model.certificates


def _describe(change: ModelChange) -> Iterator[str]:
    for name, (before, after) in sorted(change.backends.items()):
        if before is None:
            yield f"backend {name} is missing"
        elif after is None:
            yield f"backend {name} is not in the model"
        else:
            yield from _describe_servers(before, after)
    for _, (listener, wanted) in sorted(change.listeners.items()):
        if listener and wanted:
            yield from _describe_servers(listener.backend, wanted.backend)
    for port, rows in sorted(change.rows.items()):
        for kind, changes in sorted(rows.rows.items()):
            yield f"{len(changes)} rows of {map_file(port, kind)} differ"
        for kind in sorted(rows.ordered):
            yield f"the rows of {map_file(port, kind)} differ"
    before_names, after_names = ({stored.name: stored for stored in stored_list} for stored_list in change.certificates)
    for file in sorted(before_names.keys() | after_names.keys()):
        if before_names.get(file) != after_names.get(file):
            yield f"certificate {file} differs"


def _describe_servers(before: Backend, after: Backend) -> Iterator[str]:
    found, wanted = ({server.name: server for server in backend.servers} for backend in (before, after))
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            what = "is missing" if name not in found else "is not in the model" if name not in wanted else "differs"
            yield f"server {after.name}/{name} {what}"
