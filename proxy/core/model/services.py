"""From containers to services: scope, grouping, and the settings of a service whose containers disagree.

In: the specs of containers. Out: `Service` values, sorted by name. The containers of one Compose service are one service.
Its settings come from its newest container that is ready, so that old and new containers can run side by side while a new
version is rolled out, and a new version that does not start changes nothing. It cannot take protection away as long as
another container that is ready asks for it (`protection`). Services with equal VIRTUAL_HOST are merged
into one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.core.containers.containers import Container, ProxyContainer
from proxy.core.labels.specs import BackendSettings, ContainerSpec, TcpPort
from proxy.core.model.protection import join_protection, keep_protection
from proxy.core.model.readiness import is_ready
from proxy.grammar.syntax import BackendName, make_backend_name
from proxy.grammar.virtual_host import VirtualHost
from proxy.settings import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The basis of one backend. `labels` are the names of the services that it is made of."""

    name: BackendName
    labels: tuple[str, ...]
    virtual_hosts: tuple[VirtualHost, ...]
    weight: int
    settings: BackendSettings
    tcp_ports: tuple[TcpPort, ...]
    members: tuple[ContainerSpec, ...]
    variant: str = ""
    """Distinguishes backends by their settings, where the backend's name must be known before its profile."""
    may_be_default: bool = True
    """Whether it gets the requests that no virtual host matches, if it has no virtual hosts itself."""

    @property
    def since(self) -> int:
        """When its oldest container was created, in seconds since the epoch."""
        return min((member.container.created for member in self.members), default=0)


def is_in_scope(container: Container, proxy: ProxyContainer | None, scope: Scope) -> bool:
    """Say whether `container` may be routed at all.

    Containers of links and files are always in scope, because the user named them. A proxy without a project accepts
    containers of all projects.
    """
    if scope.everything or container.alias or not container.is_of_engine:
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
    """Return the key by which a service (given by its containers) is merged with others: its virtual hosts."""
    return frozenset({_deciding(specs).virtual_hosts})


def build_service(label: str, specs: Sequence[ContainerSpec]) -> Service:
    """Build a service from its containers. One of them decides on the settings; all of them become servers.

    TCP ports of containers that are newer than that one are open too. Else nobody could find out whether they are ready.
    """
    deciding = _deciding(specs)
    newer = [spec for spec in specs if _age_key(spec) >= _age_key(deciding)]
    members = sorted(specs, key=lambda spec: (spec.container.name, spec.container.id))
    return Service(
        name=make_backend_name(label),
        labels=(label,),
        virtual_hosts=deciding.virtual_hosts,
        weight=deciding.weight,
        settings=keep_protection(deciding.settings, specs),
        tcp_ports=_join_ports(spec.tcp_ports for spec in newer),
        members=tuple(members),
    )


def merge_services(services: Sequence[Service]) -> Service:
    """Merge services with equal virtual hosts. Each setting comes from the first service, by name, that has it.

    What protects visitors is in force if one of the services asks for it.
    """
    if len(services) == 1:
        return services[0]
    return Service(
        name=services[0].name,
        labels=tuple(label for service in services for label in service.labels),
        virtual_hosts=services[0].virtual_hosts,
        weight=max(service.weight for service in services),
        settings=_merge_settings([service.settings for service in services]),
        tcp_ports=_join_ports(service.tcp_ports for service in services),
        members=tuple(member for service in services for member in service.members),
    )


def settings_by_label(specs: Sequence[ContainerSpec]) -> tuple[BackendSettings, ...]:
    """Return the settings of each service among `specs`, in their order. They are those of the container that decides."""
    groups: dict[str, list[ContainerSpec]] = {}
    for spec in specs:
        groups.setdefault(spec.label, []).append(spec)
    return tuple(_deciding(group).settings for group in groups.values())


def _deciding(specs: Sequence[ContainerSpec]) -> ContainerSpec:
    """Return the container whose settings count: the newest that is ready, or the newest if none is."""
    if len(specs) == 1:  # most services; to compare would take 40 ms for ten thousand of them
        return specs[0]
    return max(specs, key=lambda spec: (is_ready(spec), _age_key(spec)))


def _age_key(spec: ContainerSpec) -> tuple[int, str]:
    return spec.container.created, spec.container.id


def _merge_settings(all_settings: Sequence[BackendSettings]) -> BackendSettings:
    def first(name: str) -> Any:
        return next((value for value in (getattr(s, name) for s in all_settings) if value), getattr(empty, name))

    empty = BackendSettings()
    merged = {field.name: first(field.name) for field in dataclasses.fields(BackendSettings)}
    return join_protection(dataclasses.replace(empty, **merged), all_settings)


def _join_ports(groups: Iterable[Iterable[TcpPort]]) -> tuple[TcpPort, ...]:
    return tuple(sorted({port for group in groups for port in group}, key=lambda port: (port.number, port.tls)))
