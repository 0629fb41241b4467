"""The services file: backends in Compose's own vocabulary, for machines without an engine.

In: the document that a YAML parser made of the file. Out: `ServicesFile`. The addresses of a service come from `external`
(`host`, `ports`), or from `networks.<name>.ipv4_address` (or `ipv6_address`) with `expose` or `ports`. Its `labels` say how
it is routed. Keys that only an orchestrator needs are ignored. A fault in a service becomes a problem and affects only that
service.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.core.containers.containers import ContainerPort
from proxy.errors import Problem, shorten

_NOT_SERVICES = frozenset({"name", "version", "networks", "volumes", "configs", "secrets", "include"})
_HOST_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_HOST_LABEL}(\.{_HOST_LABEL})*\.?")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileService:
    """One service of the file. `hosts` are addresses, or names that still have to be resolved; there is at least one."""

    name: str
    hosts: tuple[str, ...]
    ports: tuple[ContainerPort, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    deploy_labels: tuple[str, ...] = ()
    """Names of labels in `deploy.labels`, which Compose and Swarm give to no container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicesFile:
    """The content of a services file: its project (`name`), its valid services by name, and the problems of the others."""

    project: str = ""
    services: tuple[FileService, ...] = ()
    problems: tuple[Problem, ...] = ()


class _Fault(Exception):
    """A fault in one service: the key, its value, and the reason."""

    def __init__(self, setting: str, value: object, reason: str) -> None:
        super().__init__(reason)
        self.setting, self.value, self.reason = setting, value, reason


def parse_services_file(document: object) -> ServicesFile:
    """Return the content of `document`. Raises ValueError if it is not a mapping of services.

    A document without `services` is in the first Compose format, where the services are at the top level.
    """
    if document is None:
        return ServicesFile()
    if not isinstance(document, Mapping):
        raise ValueError(f"contains a {type(document).__name__}, not a mapping of services")
    entries = document.get("services", _first_format_services(document)) or {}
    if not isinstance(entries, Mapping):
        raise ValueError(f"has a {type(entries).__name__} under 'services', not a mapping of service names")
    services, problems = [], []
    for name, entry in sorted((str(name), entry) for name, entry in entries.items()):
        try:
            services.append(_parse_service(name, entry))
        except _Fault as fault:
            value = shorten(str(fault.value))
            problems.append(Problem(service=name, setting=fault.setting, value=value, reason=fault.reason))
    project = str(document.get("name") or "") if "services" in document else ""
    return ServicesFile(project=project, services=tuple(services), problems=tuple(problems))


def _first_format_services(document: Mapping[Any, Any]) -> Mapping[Any, Any]:
    return {
        name: entry
        for name, entry in document.items()
        if name not in _NOT_SERVICES and not str(name).startswith("x-") and isinstance(entry, Mapping)
    }


def _parse_service(name: str, entry: object) -> FileService:
    if not isinstance(entry, Mapping):
        raise _Fault("", entry, "is not a mapping; write keys such as external and labels below the service's name")
    labels = _parse_labels(entry.get("labels"))
    if entry.get("external") is not None:
        external = entry["external"]
        if not isinstance(external, Mapping):
            raise _Fault("external", external, "is not a mapping; write host and ports below it")
        hosts = tuple(_parse_host(host) for host in _as_list("external.host", external.get("host")))
        numbers = _parse_ports("external.ports", external.get("ports"))
        ports = tuple(ContainerPort(number=number) for number in sorted(set(numbers)))
    else:
        hosts = tuple(_parse_network_addresses(entry.get("networks")))[:1]
        published = set(_parse_ports("ports", entry.get("ports")))
        exposed = published | set(_parse_ports("expose", entry.get("expose")))
        ports = tuple(ContainerPort(number=number, published=number in published) for number in sorted(exposed))
    if not hosts:
        raise _Fault("", "", "has no address; set external.host, or networks.<name>.ipv4_address")
    return FileService(name=name, hosts=hosts, ports=ports, labels=labels, deploy_labels=_deploy_labels(entry))


def _deploy_labels(entry: Mapping[Any, Any]) -> tuple[str, ...]:
    deploy = entry.get("deploy")
    labels = deploy.get("labels") if isinstance(deploy, Mapping) else None
    return tuple(str(label).partition("=")[0].strip() for label in labels) if isinstance(labels, Mapping | list) else ()


def _parse_labels(labels: object) -> Mapping[str, str]:
    if labels is None:
        return {}
    if isinstance(labels, Mapping):
        return {str(name): _parse_label_value(str(name), value) for name, value in labels.items()}
    if isinstance(labels, list):
        return dict(_split_label(label) for label in labels)
    raise _Fault("labels", labels, "is neither a mapping nor a list of name=value")


def _split_label(label: object) -> tuple[str, str]:
    if not isinstance(label, str):
        raise _Fault("labels", label, "is not of the form name=value")
    name, _, value = label.partition("=")
    return name.strip(), value


def _parse_label_value(name: str, value: object) -> str:
    """Return a label's text. Like Compose, it accepts an unquoted `true` or `80` and an empty value as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    if value is None:
        return ""
    raise _Fault(f"labels.{name}", value, "is not a text; put it in quotes")


def _as_list(setting: str, value: object) -> list[object]:
    if value is None:
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        raise _Fault(setting, dict(value), "is a mapping; write a value or a list of values")
    return [value]


def _parse_host(host: object) -> str:
    text = str(host).strip()
    if not _is_address(text) and not _HOST_NAME.fullmatch(text):
        raise _Fault("external.host", host, "is neither an IP address nor a host name; write ports below external.ports")
    return text


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _parse_network_addresses(networks: object) -> Iterator[str]:
    for name, network in networks.items() if isinstance(networks, Mapping) else ():
        for key in ("ipv4_address", "ipv6_address"):
            address = str(network.get(key) or "") if isinstance(network, Mapping) else ""
            if address and not _is_address(address):
                raise _Fault(f"networks.{name}.{key}", address, "is not an IP address")
            if address:
                yield address


def _parse_ports(setting: str, entries: object) -> Iterator[int]:
    """Yield the TCP ports of the service itself, in any of the notations that Compose allows."""
    for entry in entries if isinstance(entries, list) else _as_list(setting, entries):
        if isinstance(entry, Mapping):
            text, protocol = str(entry.get("target")), str(entry.get("protocol") or "tcp")
        else:
            text, _, protocol = str(entry).strip().partition("/")
        first, _, last = text.rpartition(":")[2].partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise _Fault(setting, entry, "is not a port, such as 80 or 8080:80")
        if not 0 < int(first) <= int(last or first) < 65536:
            raise _Fault(setting, entry, "is not a port from 1 to 65535")
        if protocol in ("", "tcp"):
            yield from range(int(first), int(last or first) + 1)
