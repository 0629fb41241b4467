"""Backends that the operator's own lines name: `use_backend SERVICE_web if ...`, `default_backend shop:web`.

In: EXTRA_FRONTEND_SETTINGS, and services as they come and go. Out: for each port, which backend each name means now. A
backend may come and go without a reload, and its name may change with its settings. So HAProxy looks the name up at each
request; the rows stand in the map `choices`. Names of ADDITIONAL_BACKEND_<NAME> are not looked up, as they never change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from proxy.core.model.services import Service
from proxy.errors import THE_PROXY, Problem
from proxy.grammar.syntax import BackendName, is_own_section, service_of_backend
from proxy.settings import ProxyMode, RoutingSettings

DEFAULT_SERVICE = "default_service"
"""The name that dockercloud/haproxy gave to the backend of the services without virtual hosts."""
SERVICE_PREFIX = "service_"
"""What it put in front of the name of any other service, in capitals: `SERVICE_web`, or `SERVICE_project_web`."""

ROW_KIND = "n"
"""What keys of names begin with in the map `choices`; keys of requests begin with `h` or `w`."""

_CHOICE = re.compile(r"(?P<directive>use_backend|default_backend) +(?P<name>[A-Za-z0-9_.:-]+)(?P<condition>(?: .*)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedChoice:
    """A line that chooses a backend by name. `condition` is the rest of the line."""

    directive: str
    name: str
    condition: str = ""


def parse_choice(line: str, settings: RoutingSettings) -> NamedChoice | None:
    """Return what a line of a frontend chooses if that is to be looked up; None for any other line."""
    match = _CHOICE.fullmatch(line)
    if settings.mode is ProxyMode.TCP or not match:
        return None
    if match["name"] in settings.additional_backends or is_own_section(match["name"]):
        return None
    return NamedChoice(directive=match["directive"], name=match["name"], condition=match["condition"].strip())


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _Fit:
    """How well a service fits a name. The best one comes first."""

    is_form: bool
    is_foreign: bool
    service: BackendName


class NamedBackends:
    """Which services fit the names in the operator's lines. A service costs something only if there are such lines."""

    def __init__(self, settings: RoutingSettings) -> None:
        lines = ((port, line) for port, found in settings.extra_frontend_settings.items() for line in found)
        choices = ((port, parse_choice(line, settings)) for port, line in lines)
        self._names = [(port, choice.name) for port, choice in choices if choice]
        self._fits: dict[str, dict[BackendName, _Fit]] = {name: {} for _, name in self._names}

    def add(self, service: Service, own_project: str) -> None:
        """Take in a service that has a backend. `own_project` is that of the proxy: its services come first."""
        for name, fits in self._fits.items():
            if fit := _fit(name, service, own_project):
                fits[service.name] = fit

    def remove(self, service: BackendName) -> None:
        """Forget a service."""
        for fits in self._fits.values():
            fits.pop(service, None)

    def find(self, port: int, default: BackendName | None) -> Mapping[str, BackendName]:
        """Return the service that each name in the lines of `port` means. `default` has no virtual host."""
        found = {name: self._best(name, default) for named_port, name in self._names if named_port == port}
        return {name: service for name, service in found.items() if service}

    def problems(self, default: BackendName | None) -> Iterator[Problem]:
        """Yield a problem for each name that means no service."""
        for port, name in self._names:
            if not self._best(name, default):
                yield Problem(
                    service=THE_PROXY,
                    setting=f"EXTRA_FRONTEND_SETTINGS_{port}",
                    value=name,
                    reason="there is no service and no ADDITIONAL_BACKEND of this name; requests that are sent there get "
                    "503. `proxy routes` lists the services",
                )

    def _best(self, name: str, default: BackendName | None) -> BackendName | None:
        fits = self._fits[name]
        if fits:
            return min(fits.values()).service
        return default if name == DEFAULT_SERVICE else None


def _fit(name: str, service: Service, own_project: str) -> _Fit | None:
    is_exact = service_of_backend(BackendName(name)) in (service.name, *service.labels)
    owners = {(member.project, member.service) for member in service.members}
    short = name.lower().removeprefix(SERVICE_PREFIX)
    fitting = {project for project, word in owners if short in _forms(project, word)}
    if not is_exact and not fitting:
        return None
    return _Fit(is_form=not is_exact, is_foreign=own_project not in fitting, service=service.name)


def _forms(project: str, service: str) -> tuple[str, ...]:
    """Return how people write a service's name, in small letters."""
    return tuple(form.lower() for form in (service, f"{project}_{service}", f"{project}-{service}", f"{project}:{service}"))
