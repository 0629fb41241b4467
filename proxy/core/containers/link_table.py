"""Whom the proxy's container links to: single containers, and every container of a linked Compose service.

In: the links in the inspection of the proxy's container, and the containers that are listed. Out: `LinkTable`, which gives
each linked container its alias. The engine writes a link once, when the proxy's container is made, with the name that the
other container has at that time. So a link is followed to the container under its new name, and to its whole service: to the
containers of a scale-up, and to those that replace the first ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from proxy.core.containers.containers import Container

ServiceKey = tuple[str, str]
"""(project, service) of Compose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link. `target` is a container's name or id. `names` are the names that the proxy has for it, shortest first."""

    target: str
    names: tuple[str, ...]

    @property
    def alias(self) -> str:
        """Return the shortest name."""
        return self.names[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTable:
    """The alias of each linked container: by the target of a link, by container id, and by service."""

    targets: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[ServiceKey, str] = field(default_factory=dict)

    def alias_of(self, container: Container) -> str:
        """Return the container's alias; an empty text if the proxy does not link to it."""
        return self.find_alias(container.id, container.name, (container.project, container.service))

    def find_alias(self, container_id: str, name: str, service: ServiceKey) -> str:
        """Return the alias of the container that is known by these; an empty text if the proxy does not link to it."""
        for target in (name, container_id, container_id[:12]):
            if target in self.targets:
                return self.targets[target]
        return self.ids.get(container_id) or self.services.get(service, "")


def follow_links(links: Iterable[Link], project: str, containers: Iterable[Container], before: LinkTable) -> LinkTable:
    """Return whom `links` of a proxy in this project lead to.

    `before` knows the containers and services that the same links led to when they still had their first names. Services
    whose containers do not run are found by the names that Compose gives to links.
    """
    every = tuple(links)
    targets = {link.target: link.alias for link in every}
    aliases, listed = frozenset(targets.values()), tuple(containers)
    linked = {container.id: targets[key] for container in listed for key in _keys_of(container) if key in targets}
    ids = {container.id: before.ids[container.id] for container in listed if before.ids.get(container.id) in aliases}
    services = {service: alias for service, alias in before.services.items() if alias in aliases}
    services |= {
        (container.project, container.service): linked[container.id]
        for container in listed
        if container.id in linked and container.project
    }
    found = {key for container in listed for key in _keys_of(container)}
    for link in every:
        if link.target not in found:
            for service in _services_named(link, project):
                services.setdefault((project, service), link.alias)
    return LinkTable(targets=targets, ids=ids | linked, services=services)


def _keys_of(container: Container) -> tuple[str, ...]:
    return container.name, container.id, container.id[:12]


def _services_named(link: Link, project: str) -> Iterable[str]:
    """Yield the services of the project that a link names.

    Compose links to `shop-web-1` (`shop_web_1` before version 2), or to `container_name` under this name.
    """
    pattern = re.compile(rf"{re.escape(project)}[-_](?P<service>.+)[-_]\d+")
    for name in (link.target, *link.names):
        if project and (match := pattern.fullmatch(name)):
            yield match["service"]
