"""One service's part of the routing model: its backend, the entries that it claims, and the problems.

In: a `Service`, the settings, and what every backend depends on. Out: a `ServicePart`, which depends on nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.core.containers.containers import State
from proxy.core.model.backends import BuildContext, build_backend
from proxy.core.model.matching import Route
from proxy.core.model.model import Backend
from proxy.core.model.own_ports import own_ports
from proxy.core.model.port_routes import Claim
from proxy.core.model.services import Service
from proxy.errors import Problem
from proxy.grammar.virtual_host import VirtualHost
from proxy.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePart:
    """A service's part of the model. `backend` is None if the service has no HTTP ports."""

    service: Service
    backend: Backend | None = None
    claims: tuple[Claim, ...] = ()
    problems: tuple[Problem, ...] = ()


def make_part(service: Service, context: BuildContext, settings: Settings) -> ServicePart:
    """Return a service's part. What cannot be served becomes a problem, and the rest is served."""
    if not (service.virtual_hosts or any(member.ports for member in service.members) or not service.tcp_ports):
        return ServicePart(service=service)
    if service.name in settings.routing.additional_backends:
        reason = f"ADDITIONAL_BACKEND_{service.name} has the same name; rename one of the two"
        return ServicePart(service=service, problems=(report(service, "VIRTUAL_HOST", reason),))
    backend, problems = build_backend(service, context)
    claims: list[Claim] = []
    for entry in service.virtual_hosts:
        fault = _fault_of(entry, context, settings)
        if fault:
            problems = (*problems, report(service, "VIRTUAL_HOST", f"{entry}{fault}"))
            continue
        claims.append(_claim(service, backend, entry))
        redirected = entry.plain_twin
        if redirected and service.settings.force_ssl and not _fault_of(redirected, context, settings):
            claims.append(_claim(service, backend, redirected, is_implied=True))
    return ServicePart(service=service, backend=backend, claims=tuple(claims), problems=problems)


def report(service: Service, setting: str, reason: str) -> Problem:
    """Return a problem of the service as a whole."""
    return Problem(service=", ".join(service.labels), setting=setting, reason=reason)


def _fault_of(entry: VirtualHost, context: BuildContext, settings: Settings) -> str:
    """Return why an entry cannot be served; empty if it can."""
    if entry.scheme.is_tls and not context.terminates_tls:
        return " needs a certificate, but there is none; set SSL_CERT"
    if own := own_ports(settings).get(entry.port):
        return f": {own.user} this port ({own.setting})"
    return ""


def _claim(service: Service, backend: Backend, entry: VirtualHost, *, is_implied: bool = False) -> Claim:
    route = Route(entry=entry, backend=backend.name, weight=service.weight)
    is_lingering = all(member.container.state is State.STOPPED for member in service.members)
    return Claim(route=route, labels=service.labels, is_implied=is_implied or is_lingering, since=service.since)
