"""Which services of simple routing serve an address together: from specs to one `Service` per backend.

In: the specs of labels that may share addresses. Out: `Service` values. A service that has addresses of its own gets a
backend. Services that name the same address share another backend, in which each gets the share of its weight. There is one
shared backend for each set of services, so that `a;b` and `b` need two backends. The servers of a shared backend take their
health from the service's own backend (`track`), so that each container is probed only once, with its own service's probe.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence

from proxy.core.labels.specs import BackendSettings, ContainerSpec
from proxy.core.model.backends import make_variant
from proxy.core.model.server_names import server_name
from proxy.core.model.service_table import ServiceTable
from proxy.core.model.services import Service, build_service, group_services, join_keys
from proxy.grammar.syntax import BackendName, make_shared_name, make_variant_name
from proxy.grammar.values import DEFAULT_WEIGHT
from proxy.grammar.virtual_host import DOMAIN_OF_REQUEST, HOST_OF_REQUEST, VirtualHost
from proxy.settings import RoutingMode

_DOMAINS_PER_LINE = 40
"""HAProxy accepts 64 words a line; the rest of the rule needs some of them."""


def make_table(mode: RoutingMode) -> ServiceTable:
    """Return an empty table of services for a routing mode. The mode decides which services belong together."""
    if mode is RoutingMode.SIMPLE:
        return ServiceTable(group_addresses, address_keys)
    return ServiceTable(group_services, join_keys)


def group_addresses(specs: Iterable[ContainerSpec]) -> tuple[Service, ...]:
    """Return one `Service` for each backend, sorted by name."""
    groups: dict[str, list[ContainerSpec]] = {}
    for spec in specs:
        groups.setdefault(spec.label, []).append(spec)
    parts = {label: build_service(label, groups[label]) for label in sorted(groups)}
    addresses: dict[tuple[str, ...], list[VirtualHost]] = {}
    for host, labels in _labels_by_host(parts.values()).items():
        addresses.setdefault(labels, []).append(host)
    own = {labels[0]: hosts for labels, hosts in addresses.items() if len(labels) == 1 and parts[labels[0]].settings.weight}
    alone = {
        part.name: _own_service(part, own.get(label, ()))
        for label, part in parts.items()
        if label in own or _is_probed(part)
    }
    shared = [
        _shared_service([parts[label] for label in labels], hosts, alone)
        for labels, hosts in addresses.items()
        if len(labels) > 1 or labels[0] not in own
    ]
    return tuple(sorted([*alone.values(), *shared], key=lambda service: service.name))


def address_keys(specs: Sequence[ContainerSpec]) -> frozenset[Hashable]:
    """Return what a service, given by its containers, may share with others: its addresses."""
    return frozenset(host for spec in specs for host in spec.virtual_hosts)


def _labels_by_host(parts: Iterable[Service]) -> Mapping[VirtualHost, tuple[str, ...]]:
    labels: dict[VirtualHost, tuple[str, ...]] = {}
    for part in parts:
        for host in part.virtual_hosts:
            labels[host] = (*labels.get(host, ()), *part.labels)
    return labels


def _own_service(part: Service, hosts: Sequence[VirtualHost]) -> Service:
    """Return the service with the addresses that only it has. Without any, its backend exists only for the probes.

    A weight of 0 is replaced, because it would put the servers in maintenance, where HAProxy does not probe them. Servers
    of other backends may `track` this one, so its name must be known here: hence the variant.
    """
    members = tuple(_without_zero_weight(spec) for spec in part.members)
    lines = _redirect_lines(members, hosts) + part.settings.extra_lines
    settings = dataclasses.replace(part.settings, extra_lines=lines)
    return dataclasses.replace(
        part,
        virtual_hosts=tuple(hosts),
        settings=settings,
        members=members,
        variant=make_variant(settings) if _is_probed(part) else "",
        may_be_default=False,
    )


def _shared_service(parts: Sequence[Service], hosts: Sequence[VirtualHost], alone: Mapping[BackendName, Service]) -> Service:
    """Return the service behind an address that several services share, or that belongs to one service of weight 0.

    It is sticky only if all of them are, and redirects the domains that any of them redirects. `alone` has the services
    whose own backends are tracked. Their names are part of the variant of this one.
    """
    tracked = {part.name: make_variant_name(part.name, alone[part.name].variant) for part in parts if _is_probed(part)}
    members = tuple(_tracking(spec, tracked.get(part.name, part.name)) for part in parts for spec in part.members)
    is_sticky = all(part.settings.cookie for part in parts)
    first = parts[0].settings
    settings = BackendSettings(
        cookie=first.cookie if is_sticky else None,
        extra_lines=_redirect_lines(members, hosts) + (first.extra_lines if is_sticky else ()),
        options=first.options,
    )
    return Service(
        name=make_shared_name([part.name for part in parts]),
        labels=tuple(label for part in parts for label in part.labels),
        virtual_hosts=tuple(hosts),
        weight=0,
        settings=settings,
        tcp_ports=(),
        members=members,
        variant=make_variant(settings, *tracked.values()) if tracked else "",
        may_be_default=False,
    )


def _without_zero_weight(spec: ContainerSpec) -> ContainerSpec:
    weight = spec.settings.weight or DEFAULT_WEIGHT
    return dataclasses.replace(spec, settings=dataclasses.replace(spec.settings, weight=weight))


def _tracking(spec: ContainerSpec, backend: BackendName) -> ContainerSpec:
    if not spec.settings.health_check:
        return spec
    followed = f"track {backend}/{server_name(spec, spec.ports[0])}"
    return dataclasses.replace(spec, settings=dataclasses.replace(spec.settings, health_check=followed))


def _is_probed(part: Service) -> bool:
    return any(spec.settings.health_check for spec in part.members)


def _redirect_lines(members: Iterable[ContainerSpec], hosts: Iterable[VirtualHost]) -> tuple[str, ...]:
    """Return the rules that send visitors to https, if the load balancer in front says that they came over http."""
    domains = {host.domain for host in hosts}
    redirected = sorted(domains & {name for spec in members for name in spec.redirected_domains})
    rule = f"http-request redirect code 301 location https://%[{HOST_OF_REQUEST}]%[pathq]"
    scheme = "{ req.hdr(X-Forwarded-Proto) -i http }"
    if len(redirected) == len(domains):
        return (f"{rule} if {scheme}",) if redirected else ()
    chunks = (redirected[start : start + _DOMAINS_PER_LINE] for start in range(0, len(redirected), _DOMAINS_PER_LINE))
    return tuple(f"{rule} if {scheme} {{ {DOMAIN_OF_REQUEST} -m str {' '.join(chunk)} }}" for chunk in chunks)
