"""The commands that bring the running HAProxy to the new model, in the right order; and why the rest takes a reload.

In: a `ModelChange`, what the running HAProxy can do and has loaded, what is still being removed. Out: a `Step`. Order
matters: a backend is there before any map row leads to it, and rows are gone before the backend that they led to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from proxy.core.haproxy import runtime_commands as runtime
from proxy.core.haproxy.default_checks import added_check
from proxy.core.haproxy.file_names import CERTIFICATE_FOLDER, CERTIFICATE_LIST, map_file
from proxy.core.haproxy.loaded import Loaded
from proxy.core.haproxy.plans import RuntimeUpdate, Step
from proxy.core.haproxy.runtime_commands import Action, ReplaceMap
from proxy.core.haproxy.runtime_parts import divide, tracked_backends
from proxy.core.model.matching import IN_ORDER, UNORDERED_KINDS
from proxy.core.model.model import Backend, Server, StoredCertificate
from proxy.core.model.model_change import ModelChange
from proxy.core.model.row_changes import RowChanges
from proxy.grammar.syntax import BackendName


@dataclass(slots=True, kw_only=True)
class _Draft:
    """Commands by the moment at which they are due, and what the running HAProxy has besides the model before."""

    leaving: AbstractSet[tuple[str, str]]
    leaving_backends: Mapping[str, Backend]
    default_check: str
    changes: list[str] = field(default_factory=list)
    prepare: list[Action] = field(default_factory=list)
    switch: list[Action] = field(default_factory=list)
    retire: list[Action] = field(default_factory=list)
    servers: list[tuple[str, str]] = field(default_factory=list)
    backends: list[Backend] = field(default_factory=list)
    servers_returning: list[tuple[str, str]] = field(default_factory=list)
    backends_returning: list[str] = field(default_factory=list)

    def update(self) -> RuntimeUpdate | None:
        """Return the commands; None when there are none."""
        stages = tuple(self.prepare), tuple(self.switch), tuple(self.retire)
        if not any(stages):
            return None
        return RuntimeUpdate(
            stages=stages,
            changes=tuple(self.changes or ["routes"]),
            servers_leaving=tuple(self.servers),
            backends_leaving=tuple(self.backends),
            servers_returning=tuple(self.servers_returning),
            backends_returning=tuple(self.backends_returning),
        )


def make_step(
    change: ModelChange, loaded: Loaded, *, leaving: AbstractSet[tuple[str, str]], leaving_backends: Mapping[str, Backend]
) -> Step:
    """Return how `change` is brought to the running HAProxy.

    `leaving` are (backend, server) that HAProxy still has because connections are attached; so for `leaving_backends`.
    """
    if not change:
        return Step()
    parts = divide(change, loaded, leaving_backends)
    default_check = added_check(change.default_checks)
    draft = _Draft(leaving=leaving, leaving_backends=leaving_backends, default_check=default_check)
    for before, after in (listener for _, listener in sorted(parts.now.listeners.items())):
        if before and after:
            _plan_servers(draft, before.backend, after.backend)
    for name, pair in sorted(parts.now.backends.items(), key=_followers_last):
        _plan_backend(draft, name, *pair)
    _plan_certificates(draft, *parts.now.certificates)
    for port, changes in sorted(parts.now.rows.items()):
        draft.switch += _switch_rows(port, changes)
    return Step(now=draft.update(), reload_reasons=parts.reasons, rest=parts.rest)


def _switch_rows(port: int, changes: RowChanges) -> Iterator[Action]:
    """Yield commands in such an order that no request meets a row without what it leads to (see `matching`).

    What is looked up last comes first, and what was there before goes last. Which hosts are tried in order (`~`) is said
    after their patterns are there, and which are no more before they go.
    """
    kinds = [kind for kind in reversed(UNORDERED_KINDS) if kind in changes.rows]
    for kind in kinds:
        others = ((key, values) for key, values in changes.rows[kind].items() if values[1] not in (None, IN_ORDER))
        yield from runtime.change_rows(map_file(port, kind), others)
    for kind, ordered in changes.ordered.items():
        yield ReplaceMap(file=map_file(port, kind), rows=ordered)
    for kind in kinds:
        tried = ((key, values) for key, values in changes.rows[kind].items() if values[1] == IN_ORDER)
        yield from runtime.change_rows(map_file(port, kind), tried)
    for kind in reversed(kinds):
        gone = ((key, values) for key, values in changes.rows[kind].items() if values[1] is None)
        yield from runtime.change_rows(map_file(port, kind), gone)


def _followers_last(item: tuple[BackendName, tuple[Backend | None, Backend | None]]) -> tuple[bool, str]:
    """Sort key of backends: a server that is to `track` another can be added only once that one is there."""
    name, (_, after) = item
    return bool(tracked_backends(after)), name


def _plan_backend(draft: _Draft, name: BackendName, before: Backend | None, after: Backend | None) -> None:
    if before and after:
        _plan_servers(draft, before, after)
    elif after:
        _plan_new_backend(draft, after)
    elif before:
        draft.changes.append(f"removed backend {name}")
        draft.retire.append(runtime.unpublish_backend(name))
        _retire_servers(draft, name, before.servers)
        draft.backends.append(before)


def _plan_new_backend(draft: _Draft, backend: Backend) -> None:
    name = backend.name
    draft.changes.append(f"new backend {name}")
    if name in draft.leaving_backends:
        draft.backends_returning.append(name)
    else:
        draft.prepare.append(runtime.add_backend(name, backend.profile.name))
    for server in backend.servers:
        _add_server(draft, name, server)
    draft.prepare.append(runtime.publish_backend(name))


def _plan_servers(draft: _Draft, before: Backend, after: Backend) -> None:
    name = after.name
    old = {server.name: server for server in before.servers}
    new = {server.name: server for server in after.servers}
    for server in after.servers:
        known = old.get(server.name)
        if known is None:
            draft.changes.append(f"new server {name}/{server.name}")
            _add_server(draft, name, server)
        else:
            changes = list(_change_server(name, known, server))
            draft.switch += changes
            draft.changes += [f"server {name}/{server.name}: {_news(known, server)}"] if changes else []
    gone = [server for server in before.servers if server.name not in new]
    draft.changes += [f"removed server {name}/{server.name}" for server in gone]
    _retire_servers(draft, name, gone)


def _news(before: Server, after: Server) -> str:
    """Return what is new about a server, in words."""
    if before.state != after.state or before.reason != after.reason:
        return after.reason or after.state
    if before.weight != after.weight:
        return f"weight {after.weight}"
    return f"address {after.address}"


def _add_server(draft: _Draft, backend: str, server: Server) -> None:
    if (backend, server.name) not in draft.leaving:
        draft.prepare += runtime.add_server(backend, server, draft.default_check)
        return
    draft.servers_returning.append((backend, server.name))
    draft.prepare += [
        runtime.set_server_address(backend, server),
        runtime.set_server_weight(backend, server),
        runtime.set_server_state(backend, server),
    ]


def _change_server(backend: str, before: Server, after: Server) -> Iterator[Action]:
    if (before.address, before.port) != (after.address, after.port):
        yield runtime.set_server_address(backend, after)
    if before.weight != after.weight:
        yield runtime.set_server_weight(backend, after)
    if before.state != after.state:
        yield runtime.set_server_state(backend, after)


def _retire_servers(draft: _Draft, backend: str, servers: Sequence[Server]) -> None:
    draft.retire += [runtime.stop_server(backend, server.name) for server in servers]
    draft.servers += [(backend, server.name) for server in servers]


def _plan_certificates(draft: _Draft, before: tuple[StoredCertificate, ...], after: tuple[StoredCertificate, ...]) -> None:
    if before == after:
        return
    old = {stored.name: stored.certificate for stored in before}
    new = {stored.name: stored.certificate for stored in after}
    for name, certificate in new.items():
        file = f"{CERTIFICATE_FOLDER}/{name}"
        if name not in old:
            draft.changes.append(f"new certificate {name}")
            draft.prepare += runtime.put_certificate(file, certificate.pem, is_new=True)
            draft.prepare.append(runtime.list_certificate(CERTIFICATE_LIST, file))
        elif old[name] != certificate:
            draft.changes.append(f"renewed certificate {name}")
            draft.prepare += runtime.put_certificate(file, certificate.pem, is_new=False)
    for name in old.keys() - new.keys():
        draft.changes.append(f"removed certificate {name}")
        draft.retire += runtime.unlist_certificate(CERTIFICATE_LIST, f"{CERTIFICATE_FOLDER}/{name}")
