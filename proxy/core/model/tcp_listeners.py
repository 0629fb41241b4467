"""TCP_PORTS: one listener per port, balanced over that port of every service that names it.

In: a port, its use, and the services that name it. Out: its `TcpListener` (None if no service may have it), and the problems
of the services that do not get it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.backends import BuildContext, build_servers, build_tcp_lines, make_profile
from proxy.core.model.model import Backend, TcpListener
from proxy.core.model.port_uses import HTTP_PORT, HTTPS_PORT, PortUse
from proxy.core.model.services import Service
from proxy.errors import Problem
from proxy.grammar.syntax import BackendName
from proxy.settings import ProxyMode


def build_listener(
    port: int, services: Sequence[Service], context: BuildContext, *, use: PortUse | None, reserved: str
) -> tuple[TcpListener | None, tuple[Problem, ...]]:
    """Build the listener of `port`, which has this `use`. `reserved` says why no service may have the port; else empty."""
    naming = _naming(port, services)
    is_tls = use is PortUse.TCP_TLS
    taken = reserved or (used_by_host(port) if use and not use.is_tcp else "")
    faults = [taken or _fault_of(member, port, context, is_tls=is_tls) for member in naming]
    problems = [
        Problem(service=member.label, setting="TCP_PORTS", reason=fault)
        for member, fault in zip(naming, faults, strict=True)
        if fault
    ]
    served = [member for member, fault in zip(naming, faults, strict=True) if not fault]
    if not served:
        return None, tuple(dict.fromkeys(problems))
    problems += _only_for_now(port, served)
    servers, unreachable = build_servers(served, port, context, has_cookie=False)
    backend = Backend(
        name=BackendName(f"tcp_{port}"),
        mode=ProxyMode.TCP,
        profile=make_profile(ProxyMode.TCP, ()),
        lines=build_tcp_lines(served, context),
        servers=servers,
        services=tuple(dict.fromkeys(member.label for member in served)),
    )
    return TcpListener(port=port, is_tls=is_tls, backend=backend), tuple(dict.fromkeys((*problems, *unreachable)))


def count_checks(listener: TcpListener | None) -> int:
    """Return how many servers of a listener have the default health check."""
    return listener.backend.count_default_checks() if listener else 0


def tcp_wishes(port: int, services: Sequence[Service], context: BuildContext) -> dict[PortUse, Callable[[], int]]:
    """Return for what services name `port` in TCP_PORTS, and since when."""
    since: dict[PortUse, int] = {}
    for member in _naming(port, services):
        use = PortUse.TCP_TLS if _is_tls(member, port) else PortUse.TCP
        if context.terminates_tls or not use.is_tls:
            since[use] = min(member.container.created, since.get(use, member.container.created))
    return {use: partial(int, created) for use, created in since.items()}


def _naming(port: int, services: Sequence[Service]) -> list[ContainerSpec]:
    return [member for service in services for member in service.members if port in {p.number for p in member.tcp_ports}]


def _fault_of(member: ContainerSpec, port: int, context: BuildContext, *, is_tls: bool) -> str:
    wants_tls = _is_tls(member, port)
    if wants_tls and not context.terminates_tls:
        return f"{port}/ssl needs a certificate, but there is none; set SSL_CERT"
    if is_tls == wants_tls:
        return ""
    how, word = ("with TLS", f"{port}/ssl") if is_tls else ("without TLS", str(port))
    return f"port {port} is already used {how} by another service; write {word}, or use another port"


def _is_tls(member: ContainerSpec, port: int) -> bool:
    return any(tcp_port.number == port and tcp_port.tls for tcp_port in member.tcp_ports)


def used_by_host(port: int) -> str:
    """Return the sentence that a port is used for HTTP."""
    return f"port {port} is used by a virtual host"


def usual_port(port: int) -> str:
    """Return the sentence that a port is one of the two that the proxy itself uses."""
    return f"the proxy itself uses port {port} for {'HTTPS' if port == HTTPS_PORT else 'HTTP'}; use another port"


def _only_for_now(port: int, served: Sequence[ContainerSpec]) -> list[Problem]:
    """Return a problem for each container whose TCP port is one that the proxy itself does not use yet."""
    until = {HTTP_PORT: "a service wants it for HTTP", HTTPS_PORT: "there is a certificate"}.get(port)
    reason = f"port {port} is balanced in TCP mode only until {until}: {usual_port(port)}"
    return [Problem(service=member.label, setting="TCP_PORTS", reason=reason) for member in served if until]


def taken_port(port: int, offset: int) -> str:
    """Return the sentence that another program uses a port; `offset` is PROXY_PORT_OFFSET."""
    moved = f" ({port} with PROXY_PORT_OFFSET={offset})" if offset else ""
    return f"another process listens on port {port + offset}{moved}; stop it, or use another port"
