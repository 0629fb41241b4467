"""From what containers ask to what HAProxy is to do: the routing model.

In: a `Snapshot`'s specs, the certificates of the proxy itself, settings. Out: `RoutingModel` with its problems. Equal
sets give equal models, in whatever order they come. A service that cannot be served costs itself only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxy.core.backends import BuildContext, build_backend, build_servers, build_tcp_lines, make_profile
from proxy.core.certificates import Certificate
from proxy.core.containers import ProxyContainer, State
from proxy.core.labels import ContainerSpec
from proxy.core.matching import Route, build_tables
from proxy.core.model import Backend, Frontend, RoutingModel, StoredCertificate, TcpListener
from proxy.core.services import Service, group_services, is_in_scope, label_of
from proxy.core.syntax import BackendName
from proxy.core.virtual_host import Scheme, VirtualHost, precedence
from proxy.errors import Problem
from proxy.settings import ProxyMode, Settings

HTTP_PORT = 80
HTTPS_PORT = 443


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyCertificates:
    """The certificates that the proxy itself is given: (file name, certificate), the default one apart.

    With `exclusive` (CERT_FOLDER) those of services are ignored. `problems` are the files that cannot be used.
    """

    default: Certificate | None = None
    others: tuple[tuple[str, Certificate], ...] = ()
    exclusive: bool = False
    problems: tuple[Problem, ...] = ()


def build_routing_model(
    specs: Iterable[ContainerSpec], proxy: ProxyContainer | None, certificates: ProxyCertificates, settings: Settings
) -> RoutingModel:
    """Build the model. Stopped containers and those out of scope are left out; the latter are told of in `notes`."""
    live = [spec for spec in specs if spec.container.state is not State.STOPPED]
    in_scope: list[ContainerSpec] = []
    out_of_scope: list[ContainerSpec] = []
    for spec in live:
        (in_scope if is_in_scope(spec.container, proxy, settings.routing.scope) else out_of_scope).append(spec)
    services = group_services(in_scope)
    stored = collect_certificates(services, certificates)
    return _Builder(services, stored, proxy, settings).build(
        problems=certificates.problems,
        notes=tuple(_out_of_scope(spec, proxy) for spec in out_of_scope),
    )


def collect_certificates(
    services: Sequence[Service], own: ProxyCertificates
) -> tuple[StoredCertificate, ...]:
    """Return every certificate to serve, the default first, each under a file name of its own."""
    default = [StoredCertificate(name="cert0.pem", certificate=own.default)] if own.default else []
    stored: dict[str, StoredCertificate] = {}
    for name, certificate in own.others:
        stored[f"{name}.pem"] = StoredCertificate(name=f"{name}.pem", certificate=certificate)
    for service in () if own.exclusive else services:
        # "~" keeps project and service apart, which a name of either never holds; ":" would mean a line in crt-list commands
        base = service.name.replace(":", "~")
        for certificate in service.settings.default_certificates:
            target = stored if default else None
            entry = StoredCertificate(name=f"{base}~default.pem", certificate=certificate, services=service.labels)
            if target is None:
                default = [entry]
            else:
                target[entry.name] = entry
        for certificate in service.settings.certificates:
            stored[f"{base}.pem"] = StoredCertificate(
                name=f"{base}.pem", certificate=certificate, services=service.labels
            )
    return (*default, *(stored[name] for name in sorted(stored)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A route before it is known whether another one has its entry; `is_implied` by FORCE_SSL, so it gives way."""

    route: Route
    service: Service
    is_implied: bool

    def sort_key(self) -> tuple[object, ...]:
        key = precedence(self.route.entry, self.route.weight)
        return *key, self.is_implied, self.service.name, str(self.route.entry)


class _Builder:
    """Builds one model; holds what the steps share and collects problems."""

    def __init__(
        self,
        services: Sequence[Service],
        certificates: tuple[StoredCertificate, ...],
        proxy: ProxyContainer | None,
        settings: Settings,
    ) -> None:
        offset = settings.haproxy.port_offset
        self._services = services
        self._certificates = certificates
        self._settings = settings
        self._context = BuildContext(
            settings=settings.routing,
            proxy=proxy,
            terminates_tls=bool(certificates),
            https_port=HTTPS_PORT + offset if offset else None,
        )
        self._problems: list[Problem] = []
        self._backends: dict[BackendName, Backend] = {}
        self._routes: dict[int, list[_Candidate]] = {}
        self._tls_ports: set[int] = set()
        self._default: BackendName | None = None

    def build(self, problems: tuple[Problem, ...], notes: tuple[Problem, ...]) -> RoutingModel:
        """Run the steps in order: backends and their routes, TCP listeners, then the frontends."""
        self._problems += problems
        for service in self._services:
            if service.virtual_hosts or any(m.spec.ports for m in service.members) or not service.tcp_ports:
                self._add_http(service)
        listeners = self._build_listeners()
        return RoutingModel(
            frontends=self._build_frontends({listener.port for listener in listeners}),
            listeners=listeners,
            backends=tuple(self._backends[name] for name in sorted(self._backends)),
            certificates=self._certificates,
            problems=tuple(sorted(set(self._problems))),
            notes=tuple(sorted(set(notes))),
        )

    def _add_http(self, service: Service) -> None:
        backend, problems = build_backend(service, self._context)
        self._problems += problems
        if backend.name in self._settings.routing.additional_backends:
            self._report(service, "VIRTUAL_HOST", f"its name {backend.name!r} is taken by ADDITIONAL_BACKEND_{backend.name}")
            return
        self._backends[backend.name] = backend
        if not service.virtual_hosts:
            self._default = backend.name
        for entry in service.virtual_hosts:
            self._add_route(service, entry)
            redirected = _redirected_entry(entry)
            if redirected and service.settings.force_ssl and self._certificates:
                self._add_route(service, redirected, is_implied=True)

    def _add_route(self, service: Service, entry: VirtualHost, *, is_implied: bool = False) -> None:
        if entry.scheme.is_tls and not self._certificates:
            self._report(service, "VIRTUAL_HOST", f"{entry} needs a certificate and none is known; give SSL_CERT")
            return
        if entry.port == self._settings.haproxy.stats_port:
            self._report(service, "VIRTUAL_HOST", f"{entry}: the port is taken by the statistics page (STATS_PORT)")
            return
        if entry.scheme.is_tls:
            self._tls_ports.add(entry.port)
        route = Route(entry=entry, backend=service.name, weight=service.weight)
        candidate = _Candidate(route=route, service=service, is_implied=is_implied)
        self._routes.setdefault(entry.port, []).append(candidate)

    def _build_frontends(self, tcp_ports: set[int]) -> tuple[Frontend, ...]:
        ports = set(self._routes) | ({HTTP_PORT} - tcp_ports)
        if self._certificates:
            ports |= {HTTPS_PORT} - tcp_ports - set(self._routes)
            self._tls_ports |= {HTTPS_PORT} - set(self._routes)
        if self._settings.routing.monitor_uri and self._settings.routing.monitor_port:
            ports |= {self._settings.routing.monitor_port} - tcp_ports
        return tuple(self._build_frontend(port) for port in sorted(ports))

    def _build_frontend(self, port: int) -> Frontend:
        is_tls = port in self._tls_ports
        routes = self._sorted_routes(port, is_tls=is_tls)
        mode = self._settings.routing.mode
        default = self._default
        if any(self._routes.values()) and not self._settings.routing.force_default_backend:
            default = None
        if mode is ProxyMode.TCP:
            default = self._only_backend(port, routes) or default
            return Frontend(port=port, mode=mode, is_tls=is_tls, default_backend=default)
        return Frontend(
            port=port, mode=mode, is_tls=is_tls, routes=routes, tables=build_tables(routes), default_backend=default
        )

    def _sorted_routes(self, port: int, *, is_tls: bool) -> tuple[Route, ...]:
        routes: dict[VirtualHost, Route] = {}
        for candidate in sorted(self._routes.get(port, []), key=_Candidate.sort_key):
            route, service, entry = candidate.route, candidate.service, candidate.route.entry
            if candidate.is_implied and (entry in routes or is_tls):
                continue
            if entry.scheme.is_tls != is_tls:
                self._report(service, "VIRTUAL_HOST", f"{entry}: port {port} is already used with TLS by another service")
            elif entry in routes:
                self._report(
                    service,
                    "VIRTUAL_HOST",
                    f"{entry} is already served by {routes[entry].backend}; change one of them, "
                    f"or give both the same VIRTUAL_HOST to make them one service",
                )
            else:
                routes[entry] = route
        return tuple(routes.values())

    def _only_backend(self, port: int, routes: Sequence[Route]) -> BackendName | None:
        for route in routes[1:]:
            if route.backend != routes[0].backend:
                service = next(service for service in self._services if service.name == route.backend)
                reason = f"{route.entry}: with MODE=tcp a port has one service, and {port} belongs to {routes[0].backend}"
                self._report(service, "VIRTUAL_HOST", reason)
        return routes[0].backend if routes else None

    def _build_listeners(self) -> tuple[TcpListener, ...]:
        by_port: dict[int, list[Service]] = {}
        for service in self._services:
            for port in service.tcp_ports:
                if self._may_listen(service, port.number, is_tls=port.tls):
                    by_port.setdefault(port.number, []).append(service)
        return tuple(self._build_listener(port, by_port[port]) for port in sorted(by_port))

    def _may_listen(self, service: Service, port: int, *, is_tls: bool) -> bool:
        if port == self._settings.haproxy.stats_port:
            self._report(service, "TCP_PORTS", f"port {port} is taken by the statistics page (STATS_PORT)")
        elif port in self._routes:
            self._report(service, "TCP_PORTS", f"port {port} is used by a virtual host")
        elif is_tls and not self._certificates:
            self._report(service, "TCP_PORTS", f"{port}/ssl needs a certificate and none is known; give SSL_CERT")
        else:
            return True
        return False

    def _build_listener(self, port: int, services: Sequence[Service]) -> TcpListener:
        members = [member for service in services for member in service.members]
        naming = [member for member in members if port in {p.number for p in member.spec.tcp_ports}]
        servers, problems = build_servers(naming, port, self._context, has_cookie=False)
        self._problems += problems
        is_tls = any(tcp_port.number == port and tcp_port.tls for s in services for tcp_port in s.tcp_ports)
        backend = Backend(
            name=BackendName(f"tcp_{port}"),
            mode=ProxyMode.TCP,
            profile=make_profile(()),
            lines=build_tcp_lines(services, self._context),
            servers=servers,
            services=tuple(label for service in services for label in service.labels),
        )
        return TcpListener(port=port, is_tls=is_tls, backend=backend)

    def _report(self, service: Service, setting: str, reason: str) -> None:
        self._problems.append(Problem(service=", ".join(service.labels), setting=setting, reason=reason))


def _redirected_entry(entry: VirtualHost) -> VirtualHost | None:
    """The plain entry that FORCE_SSL answers with a redirect, for an https entry on the usual port."""
    if not entry.scheme.is_tls or entry.scheme.is_websocket or entry.port != HTTPS_PORT:
        return None
    return VirtualHost(scheme=Scheme.HTTP, domain=entry.domain, port=HTTP_PORT, path=entry.path)


def _out_of_scope(spec: ContainerSpec, proxy: ProxyContainer | None) -> Problem:
    own = f"project {proxy.project!r}" if proxy and proxy.project else "the proxy"
    return Problem(
        service=label_of(spec),
        container=spec.container.name,
        reason=f"is outside the scope of {own}; add {label_of(spec)} to ADDITIONAL_SERVICES, or set it to *",
    )
