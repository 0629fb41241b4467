"""Links, read from the variables that the engine gives to the linking container. They need no access to the engine.

In: the proxy's environment. In it, a link with the alias `webapp` to a container that exposes port 80 appears as
`WEBAPP_PORT_80_TCP=tcp://172.17.0.5:80`, `WEBAPP_NAME=/proxy/webapp` and `WEBAPP_ENV_<NAME>=<value>` for each of the linked
container's own variables. Out: one `Container` per linked container. A malformed variable is not a link. See
https://docs.docker.com/engine/network/links/#environment-variables.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.core.containers.containers import Container, ContainerPort

SOURCE_NAME = "links"

_PORT_VARIABLE = re.compile(r"(?P<prefix>.+)_PORT_(?P<port>\d{1,5})_TCP")
_PORT_VALUE = re.compile(r"tcp://\[?(?P<address>[0-9A-Fa-f.:]+?)\]?:(?P<port>\d{1,5})")
_INSTANCE_NUMBER = re.compile(r"[-_]\d+$")


@dataclass(slots=True, kw_only=True)
class _Link:
    """The variables of one prefix, while they are collected. `endpoints` is the address of each port."""

    alias: str
    endpoints: dict[int, str] = field(default_factory=dict)


def service_of_alias(alias: str) -> str:
    """Return the service that an alias names. Aliases that differ only in a `-N` or `_N` at the end are one service."""
    return _INSTANCE_NUMBER.sub("", alias) or alias


def parse_link_variables(environment: Mapping[str, str]) -> tuple[Container, ...]:
    """Return the linked containers, sorted by alias. If a container has several aliases, the shortest is used."""
    links: dict[str, _Link] = {}
    for name, value in environment.items():
        variable, endpoint = _PORT_VARIABLE.fullmatch(name), _parse_endpoint(value)
        if variable and endpoint:
            prefix = variable["prefix"]
            link = links.setdefault(prefix, _Link(alias=_alias_of(prefix, environment)))
            link.endpoints[endpoint[1]] = endpoint[0]
    containers = [
        _make_container(prefix, link, environment)
        for prefix, link in links.items()
        if not _is_variable_of_another(prefix, links)
    ]
    by_place: dict[tuple[str, tuple[ContainerPort, ...]], Container] = {}
    for container in sorted(containers, key=lambda found: (len(found.alias), found.alias)):
        by_place.setdefault((container.address, container.ports), container)
    return tuple(sorted(by_place.values(), key=lambda found: found.id))


def _parse_endpoint(value: str) -> tuple[str, int] | None:
    match = _PORT_VALUE.fullmatch(value.strip())
    if not match or not 0 < int(match["port"]) < 65536:
        return None
    try:
        return str(ipaddress.ip_address(match["address"])), int(match["port"])
    except ValueError:
        return None


def _alias_of(prefix: str, environment: Mapping[str, str]) -> str:
    """Return the alias as the user wrote it ("/proxy/web-1"). The names of the variables do not show it exactly."""
    alias = environment.get(f"{prefix}_NAME", "").strip().rpartition("/")[2]
    return (alias or prefix).lower()


def _is_variable_of_another(prefix: str, links: Mapping[str, _Link]) -> bool:
    """Say whether the variable belongs to a linked container's own environment, since that container may have links too."""
    return any(prefix.startswith(f"{other}_ENV_") for other in links if other != prefix)


def _make_container(prefix: str, link: _Link, environment: Mapping[str, str]) -> Container:
    # All ports of a link have the container's one address. If they ever differ, the address of the lowest port is used.
    address = link.endpoints[min(link.endpoints)]
    ports = sorted(port for port, host in link.endpoints.items() if host == address)
    variables = f"{prefix}_ENV_"
    return Container(
        id=link.alias,
        name=link.alias,
        source=SOURCE_NAME,
        service=service_of_alias(link.alias),
        alias=link.alias,
        environment={
            name.removeprefix(variables): value
            for name, value in environment.items()
            if name.startswith(variables) and name != variables
        },
        ports=tuple(ContainerPort(number=port) for port in ports),
        address=address,
    )
