"""TCP_PORTS: one listener per port, balanced over that port of every service that names it.

In: a port and the services that name it. Out: its `TcpListener` (None if no service may have it), and the problems of the
services that do not get it.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.core.labels.labels import ContainerSpec
from proxy.core.model.backends import BuildContext, build_servers, build_tcp_lines, make_profile
from proxy.core.model.model import Backend, TcpListener
from proxy.core.model.services import Service
from proxy.errors import Problem
from proxy.grammar.syntax import BackendName
from proxy.settings import ProxyMode


def build_listener(
    port: int, services: Sequence[Service], context: BuildContext, taken: str
) -> tuple[TcpListener | None, tuple[Problem, ...]]:
    """Build the listener of `port`. `taken` says what else uses the port; it is empty if the port is free."""
    naming = [member for service in services for member in service.members if port in {p.number for p in member.tcp_ports}]
    is_tls = context.terminates_tls and any(_is_tls(member, port) for member in naming)
    faults = [taken or _fault_of(member, port, context, is_tls=is_tls) for member in naming]
    problems = [
        Problem(service=member.label, setting="TCP_PORTS", reason=fault)
        for member, fault in zip(naming, faults, strict=True)
        if fault
    ]
    served = [member for member, fault in zip(naming, faults, strict=True) if not fault]
    if not served:
        return None, tuple(dict.fromkeys(problems))
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


def _fault_of(member: ContainerSpec, port: int, context: BuildContext, *, is_tls: bool) -> str:
    wants_tls = _is_tls(member, port)
    if wants_tls and not context.terminates_tls:
        return f"{port}/ssl needs a certificate, but there is none; set SSL_CERT"
    if is_tls and not wants_tls:
        return f"port {port} is already used with TLS by another service; write {port}/ssl, or use another port"
    return ""


def _is_tls(member: ContainerSpec, port: int) -> bool:
    return any(tcp_port.number == port and tcp_port.tls for tcp_port in member.tcp_ports)


def taken_port(port: int, offset: int) -> str:
    """Return the sentence that another program uses a port; `offset` is PROXY_PORT_OFFSET."""
    moved = f" ({port} with PROXY_PORT_OFFSET={offset})" if offset else ""
    return f"another process listens on port {port + offset}{moved}; stop it, or use another port"
