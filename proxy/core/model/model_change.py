"""The differences between two routing models, in the units in which a running HAProxy can be changed.

`model_index` creates them, `runtime_plan` reads them. Each difference is a pair (before, after).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from proxy.core.model.model import Backend, Frontend, StoredCertificate, TcpListener
from proxy.core.model.port_routes import PortRoutes
from proxy.core.model.row_changes import RowChanges
from proxy.grammar.syntax import BackendName
from proxy.secret import Secret
from proxy.settings import ProxyMode

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontendShape:
    """The part of a frontend that stands in the configuration. Its routes are in maps."""

    port: int
    mode: ProxyMode
    is_tls: bool
    only_backend: BackendName | None = None
    """With MODE=tcp: the only backend of the port."""


def shape_of(frontend: Frontend) -> FrontendShape:
    """Return the part of `frontend` that stands in the configuration."""
    only = frontend.default_backend if frontend.mode is ProxyMode.TCP else None
    return FrontendShape(port=frontend.port, mode=frontend.mode, is_tls=frontend.is_tls, only_backend=only)


def make_frontend(
    shape: FrontendShape, routes: PortRoutes, default: BackendName | None, *, has_routes: bool = True
) -> Frontend:
    """Return the frontend of a port. `default` answers what no route matches."""
    if shape.mode is ProxyMode.TCP:
        return Frontend(port=shape.port, mode=shape.mode, is_tls=shape.is_tls, default_backend=shape.only_backend)
    return Frontend(
        port=shape.port,
        mode=shape.mode,
        is_tls=shape.is_tls,
        routes=routes.routes() if has_routes else (),
        tables=routes.tables(),
        default_backend=default,
    )


@dataclass(slots=True, kw_only=True)
class ModelChange:
    """All differences after a change, each as (before, after); None where the object does not exist.

    `is_everything` when too much depends on what changed to tell single differences. `default_checks` tells how many servers
    have the default health check afterwards.
    """

    backends: dict[BackendName, tuple[Backend | None, Backend | None]] = field(default_factory=dict)
    listeners: dict[int, tuple[TcpListener | None, TcpListener | None]] = field(default_factory=dict)
    rows: dict[int, RowChanges] = field(default_factory=dict)
    shapes: tuple[tuple[FrontendShape, ...], tuple[FrontendShape, ...]] = ((), ())
    certificates: tuple[tuple[StoredCertificate, ...], tuple[StoredCertificate, ...]] = ((), ())
    client_ca: tuple[Secret | None, Secret | None] = (None, None)
    is_everything: bool = False
    default_checks: int = 0

    def note_backend(self, before: Backend | None, after: Backend | None) -> None:
        """Note a service's backend before and after. If the name differs, the old backend goes and the new one comes."""
        if before and after and before.name != after.name:
            self.backends[before.name], self.backends[after.name] = (before, None), (None, after)
        elif before != after and (known := after or before):
            self.backends[known.name] = before, after

    def backend_pairs(self) -> Iterable[tuple[Backend | None, Backend | None]]:
        """Yield every backend that differs, including those of TCP listeners, as (before, after)."""
        yield from self.backends.values()
        for before, after in self.listeners.values():
            yield before.backend if before else None, after.backend if after else None

    def then(self, later: ModelChange) -> ModelChange:
        """Return this change and a later one combined."""
        return ModelChange(
            backends=_compose(self.backends, later.backends),
            listeners=_compose(self.listeners, later.listeners),
            rows={
                port: self.rows.get(port, RowChanges()).then(later.rows.get(port, RowChanges()))
                for port in {**self.rows, **later.rows}
            },
            shapes=_compose_pair(self.shapes, later.shapes),
            certificates=_compose_pair(self.certificates, later.certificates),
            client_ca=_compose_pair(self.client_ca, later.client_ca),
            is_everything=self.is_everything or later.is_everything,
            default_checks=later.default_checks,
        )

    def __bool__(self) -> bool:
        return bool(
            self.is_everything
            or self.backends
            or self.listeners
            or any(changes.rows or changes.ordered for changes in self.rows.values())
            or self.shapes[0] != self.shapes[1]
            or self.certificates[0] != self.certificates[1]
            or self.client_ca[0] != self.client_ca[1]
        )


def _compose(first: Mapping[_K, tuple[_V, _V]], second: Mapping[_K, tuple[_V, _V]]) -> dict[_K, tuple[_V, _V]]:
    composed = {key: ((first.get(key) or second[key])[0], (second.get(key) or first[key])[1]) for key in {**first, **second}}
    return {key: (before, after) for key, (before, after) in composed.items() if before != after}


def _compose_pair(first: tuple[_V, _V], second: tuple[_V, _V]) -> tuple[_V, _V]:
    """Compose two pairs (before, after). Equal values mean no change, and may differ from the current value."""
    if first[0] == first[1]:
        return second
    return first if second[0] == second[1] else (first[0], second[1])
