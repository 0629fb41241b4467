"""From containers to services: scope, grouping, and what a service is when its containers disagree.

In: a `Snapshot`'s parsed containers. Out: `Service` values, sorted by name. Containers of one Compose service are one
service; its settings come from its newest container, so that old and new ones live side by side while a new version rolls
out. Services whose VIRTUAL_HOST is equal are one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.core.containers.containers import Container, ProxyContainer
from proxy.core.labels.labels import BackendSettings, ContainerSpec, TcpPort
from proxy.grammar.syntax import BackendName, make_backend_name
from proxy.grammar.virtual_host import VirtualHost
from proxy.settings import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What the model turns into one backend. `labels` are the names of the services that it is made of."""

    name: BackendName
    labels: tuple[str, ...]
    virtual_hosts: tuple[VirtualHost, ...]
    weight: int
    settings: BackendSettings
    tcp_ports: tuple[TcpPort, ...]
    members: tuple[ContainerSpec, ...]
    variant: str = ""
    """What tells its backend's settings apart, where the backend's name must be known before its profile is."""
    may_be_default: bool = True
    """Whether, without virtual hosts, it answers what no virtual host matches."""


def is_in_scope(container: Container, proxy: ProxyContainer | None, scope: Scope) -> bool:
    """Whether `container` is a candidate at all.

    Links and files name their backends themselves. A proxy that belongs to no project has none to keep to.
    """
    if scope.everything or container.alias or container.source != "docker":
        return True
    own_project = proxy.project if proxy else ""
    if not own_project or container.project == own_project:
        return True
    return (container.project, container.service) in scope.services


def group_services(specs: Iterable[ContainerSpec]) -> tuple[Service, ...]:
    """Group `specs` into services and merge those whose virtual hosts are equal; sorted by name."""
    by_service: dict[str, list[ContainerSpec]] = {}
    for spec in specs:
        by_service.setdefault(spec.label, []).append(spec)
    by_hosts: dict[tuple[VirtualHost, ...], list[Service]] = {}
    for label in sorted(by_service):
        service = build_service(label, by_service[label])
        by_hosts.setdefault(service.virtual_hosts, []).append(service)
    return tuple(sorted((merge_services(group) for group in by_hosts.values()), key=lambda service: service.name))


def join_keys(specs: Sequence[ContainerSpec]) -> frozenset[Hashable]:
    """Return what makes a service, given by its containers, one with others: its virtual hosts."""
    return frozenset({_newest(specs).virtual_hosts})


def build_service(label: str, specs: Sequence[ContainerSpec]) -> Service:
    """Build a service from its containers; the newest decides on the settings, all of them serve."""
    newest = _newest(specs)
    members = sorted(specs, key=lambda spec: (spec.container.name, spec.container.id))
    return Service(
        name=make_backend_name(label),
        labels=(label,),
        virtual_hosts=newest.virtual_hosts,
        weight=newest.weight,
        settings=newest.settings,
        tcp_ports=newest.tcp_ports,
        members=tuple(members),
    )


def merge_services(services: Sequence[Service]) -> Service:
    """Merge services with equal virtual hosts; each setting comes from the first, by name, that has it."""
    if len(services) == 1:
        return services[0]
    return Service(
        name=services[0].name,
        labels=tuple(label for service in services for label in service.labels),
        virtual_hosts=services[0].virtual_hosts,
        weight=max(service.weight for service in services),
        settings=_merge_settings([service.settings for service in services]),
        tcp_ports=tuple(sorted({port for service in services for port in service.tcp_ports}, key=_port_key)),
        members=tuple(member for service in services for member in service.members),
    )


def settings_by_label(specs: Sequence[ContainerSpec]) -> tuple[BackendSettings, ...]:
    """Return the settings of each service among `specs`, in their order; the newest container tells."""
    groups: dict[str, list[ContainerSpec]] = {}
    for spec in specs:
        groups.setdefault(spec.label, []).append(spec)
    return tuple(_newest(group).settings for group in groups.values())


def _newest(specs: Sequence[ContainerSpec]) -> ContainerSpec:
    return max(specs, key=lambda spec: (spec.container.created, spec.container.id))


def _merge_settings(all_settings: Sequence[BackendSettings]) -> BackendSettings:
    def first(name: str) -> Any:
        return next((value for value in (getattr(s, name) for s in all_settings) if value), getattr(empty, name))

    empty = BackendSettings()
    merged = {field.name: first(field.name) for field in dataclasses.fields(BackendSettings)}
    return dataclasses.replace(empty, **merged)


def _port_key(port: TcpPort) -> tuple[int, bool]:
    return port.number, port.tls
