"""The TCP ports of a container in Docker's JSON, and where other machines reach them.

In: an entry of `GET /containers/json`, or a document of `GET /containers/{id}/json`. Out: `ContainerPort`s, the same from
both. A port that is bound only on its node's loopback is published, but no other machine reaches it. An engine may choose
another port for IPv6 than for IPv4: that for IPv4 counts, where there is one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from proxy.core.containers.containers import ContainerPort

_NOWHERE = (False, 0, "")


_UNFORWARDED = -1
"""The public port where one was asked for, in a network in which the engine forwards none."""


class _Binding(NamedTuple):
    """One line of a list of ports. `public` is 0 for a port that is only exposed."""

    number: int
    protocol: str
    public: int = 0
    address: str = ""


def parse_listed_ports(entry: Mapping[str, Any]) -> tuple[ContainerPort, ...]:
    """Return the ports of an entry of the list."""
    ports = entry.get("Ports") or ()
    return _merge(
        _Binding(int(port["PrivatePort"]), port.get("Type") or "tcp", int(port.get("PublicPort") or 0), port.get("IP") or "")
        for port in ports
    )


def parse_inspected_ports(document: Mapping[str, Any], *, has_own_network: bool) -> tuple[ContainerPort, ...]:
    """Return the exposed ports. The engine reports none in some networks (macvlan, `internal`), but the image has them."""
    found: dict[str, list[_Binding]] = {key: [] for key in (document.get("Config") or {}).get("ExposedPorts") or {}}
    if has_own_network:
        reported = (document.get("NetworkSettings") or {}).get("Ports") or {}
        wanted = {} if reported else (document.get("HostConfig") or {}).get("PortBindings") or {}
        found |= {key: [_binding(key, one) for one in bindings or ()] for key, bindings in reported.items()}
        found |= {key: [_exposed(key)._replace(public=_UNFORWARDED)] for key, bindings in wanted.items() if bindings}
    return _merge(binding for key, bindings in found.items() for binding in (_exposed(key), *bindings))


def _exposed(key: str) -> _Binding:
    number, _, protocol = key.partition("/")
    return _Binding(int(number), protocol or "tcp")


def _binding(key: str, document: Mapping[str, Any]) -> _Binding:
    return _exposed(key)._replace(public=int(document.get("HostPort") or 0), address=document.get("HostIp") or "")


def _merge(bindings: Iterable[_Binding]) -> tuple[ContainerPort, ...]:
    """Return each TCP port once, sorted. The engine lists a port once for each address that it is published on."""
    found: dict[int, list[_Binding]] = {}
    for binding in bindings:
        if binding.protocol == "tcp":
            found.setdefault(binding.number, []).append(binding)
    return tuple(_port(number, found[number]) for number in sorted(found))


def _port(number: int, bindings: Iterable[_Binding]) -> ContainerPort:
    bound = [binding for binding in bindings if binding.public]
    forwarded = (binding for binding in bound if binding.public != _UNFORWARDED)
    reachable = [
        (":" in binding.address, binding.public, address)
        for binding in forwarded
        if (address := _address(binding.address)) is not None
    ]
    _, host_port, host_address = min(reachable, default=_NOWHERE)
    return ContainerPort(number=number, published=bool(bound), host_port=host_port, host_address=host_address)


def _address(text: str) -> str | None:
    """Return the address of a binding, empty for all addresses; None for the loopback."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    if address.is_loopback:
        return None
    return "" if address.is_unspecified else text
