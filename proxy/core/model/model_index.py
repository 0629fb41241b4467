"""The routing model, kept up to date. The cost of an update follows the size of the change, not the number of services.

In: the specs of the service labels that changed. Out: a `ModelChange` with the differences, and on demand the whole
`RoutingModel`. The result depends only on what is in the index, not on the order of the changes.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence

from proxy.core.containers.containers import ProxyContainer
from proxy.core.model.backends import BuildContext, plain_profile
from proxy.core.model.certificate_set import ProxyCertificates, brings_certificates, collect_certificates
from proxy.core.model.limits import too_few_files
from proxy.core.model.model import Backend, RoutingModel, Server, StoredCertificate, TcpListener
from proxy.core.model.model_change import FrontendShape, ModelChange, make_frontend
from proxy.core.model.named_backends import NamedBackends
from proxy.core.model.own_ports import own_ports
from proxy.core.model.port_problems import of_ports, without_port
from proxy.core.model.port_routes import PortRoutes
from proxy.core.model.port_rules import PortRules
from proxy.core.model.port_uses import HTTP_PORT, HTTPS_PORT, PortUse, fixed_ports
from proxy.core.model.service_part import ServicePart, make_part
from proxy.core.model.service_table import Specs, label_specs
from proxy.core.model.services import Service
from proxy.core.model.shared_addresses import make_table
from proxy.core.model.tcp_listeners import build_listener, count_checks
from proxy.errors import Problem
from proxy.grammar.syntax import BackendName, service_of_backend
from proxy.settings import ProxyMode, Settings


class ModelIndex:
    """Services, backends, routes, listeners and certificates, and the links between them."""

    def __init__(
        self,
        settings: Settings,
        proxy: ProxyContainer | None,
        certificates: ProxyCertificates,
        taken_ports: frozenset[int] = frozenset(),
        held_ports: Mapping[int, PortUse] | None = None,
    ) -> None:
        """`held_ports` are the present uses of ports. Each stays as long as a service wants it."""
        self._settings = settings
        self.proxy = proxy
        self._own_certificates = certificates
        self._taken_ports = taken_ports
        self._held_ports = dict(held_ports or {})
        self._port_uses: dict[int, PortUse] = {}
        self._table = make_table(settings.routing.routing_mode)
        self._parts: dict[BackendName, ServicePart] = {}
        self._part_problems: dict[BackendName, tuple[Problem, ...]] = {}
        self._defaults: set[BackendName] = set()
        self._named = NamedBackends(settings.routing)
        self._ports: dict[int, PortRoutes] = {}
        self._tcp_services: dict[int, set[BackendName]] = {}
        self._listeners: dict[int, TcpListener] = {}
        self._listener_problems: dict[int, tuple[Problem, ...]] = {}
        self.certificates: tuple[StoredCertificate, ...] = ()
        """Those that are served, the default first."""
        self._shapes: tuple[FrontendShape, ...] = ()
        self._default_checks, self._context = 0, self._make_context()

    def update(self, changes: Mapping[str, Specs]) -> ModelChange:
        """Set the specs of each service label (an empty tuple removes it) and return what differs in the model."""
        return self._exchange(*self._table.apply(changes))

    def set_surroundings(
        self, proxy: ProxyContainer | None, certificates: ProxyCertificates, taken_ports: frozenset[int] = frozenset()
    ) -> ModelChange:
        """Set what every service depends on, and return what differs in the model.

        Other processes listen on `taken_ports`. They are left out, because HAProxy does not start if it cannot bind a port.
        """
        if (proxy, certificates, taken_ports) == (self.proxy, self._own_certificates, self._taken_ports):
            return self._nothing()
        old_ca = self._own_certificates.client_ca
        self.proxy, self._own_certificates, self._taken_ports = proxy, certificates, taken_ports
        self._context = self._make_context()
        services = self._table.services()
        change = self._exchange(services, services, recollect=True)
        change.client_ca = old_ca, certificates.client_ca
        return change

    def wanted_ports(self) -> frozenset[int]:
        """Return every port that HAProxy should listen on, including those that other programs use now."""
        tcp_ports = {port for port, names in self._tcp_services.items() if names}
        return frozenset(self._frontend_ports() | tcp_ports | own_ports(self._settings).keys())

    def hold_ports(self) -> None:
        """From now on, a port keeps the use that it has, as long as a service wants it."""
        self._held_ports |= self._port_uses

    def held_ports(self) -> Mapping[int, PortUse]:
        """Return the use of each port that is held, also of those that nobody uses at the moment."""
        return {**self._held_ports}

    def count_services(self) -> int:
        """Return the number of services that take part."""
        return len(self._parts)

    def find_server(self, backend: str, name: str) -> tuple[Backend, Server] | None:
        """Return the server of this name, with its backend; None if the model has none."""
        of_service = self._backend(service_of_backend(BackendName(backend)))
        backends = (of_service, *(listener.backend for listener in self._listeners.values()))
        known = next((candidate for candidate in backends if candidate and candidate.name == backend), None)
        return next(((known, server) for server in known.servers if server.name == name), None) if known else None

    def _nothing(self) -> ModelChange:
        shapes, stored = self._shapes, self.certificates
        return ModelChange(shapes=(shapes, shapes), certificates=(stored, stored), default_checks=self._default_checks)

    def specs_of(self, label: str) -> Specs:
        """Return the specs of a service that takes part; an empty tuple if it does not."""
        return self._table.specs_of(label)

    def groups(self) -> Mapping[str, Specs]:
        """Return the specs of every service label."""
        return label_specs(self._table.specs())

    def _exchange(self, removed: Sequence[Service], added: Sequence[Service], *, recollect: bool = False) -> ModelChange:
        old_certificates, old_shapes = self.certificates, self._shapes
        if recollect or not self._shapes or any(map(brings_certificates, (*removed, *added))):
            self.certificates = collect_certificates(self._table.services(), self._own_certificates)
        if bool(old_certificates) != bool(self.certificates):
            return self._start_over()
        change = ModelChange(certificates=(old_certificates, self.certificates))
        old: dict[BackendName, ServicePart | None] = {service.name: self._unlink(service) for service in removed}
        for service in added:
            old.setdefault(service.name, None)
            self._link(service)
        for name, part in old.items():
            change.note_backend(part.backend if part else None, self._backend(name))
        self._settle(change, {port.number for service in (*removed, *added) for port in service.tcp_ports})
        change.shapes, change.default_checks = (old_shapes, self._shapes), self._default_checks
        return change

    def model(self, *, is_for_print: bool = False) -> RoutingModel:
        """Return the whole model. Its problems are those of services and routes, not those of containers' labels.

        With `is_for_print`, problems and sorted routes are left out, because they take longer than everything else.
        """
        backends, default = [part.backend for part in self._parts.values() if part.backend], self._default_backend()
        return RoutingModel(
            frontends=tuple(
                make_frontend(shape, self._ports[shape.port], default, has_routes=not is_for_print) for shape in self._shapes
            ),
            listeners=tuple(self._listeners[port] for port in sorted(self._listeners)),
            backends=tuple(sorted(backends, key=lambda backend: backend.name)),
            certificates=self.certificates,
            plain_profile=self._context.plain,
            client_ca=self._own_certificates.client_ca,
            taken_ports=self._taken_ports,
            problems=() if is_for_print else self.problems(),
        )

    def snapshot(self) -> ModelIndex:
        """Return a copy for reading whose `model` does not change any more. It copies references only."""
        frozen = copy.copy(self)
        frozen._parts = {**self._parts}
        frozen._part_problems = {**self._part_problems}
        frozen._defaults = {*self._defaults}
        frozen._ports = {port: routes.snapshot() for port, routes in self._ports.items()}
        frozen._listeners = {**self._listeners}
        frozen._listener_problems = {**self._listener_problems}
        return frozen

    def problems(self) -> tuple[Problem, ...]:
        """Return the problems that keep services, or some of their routes, from being served."""
        is_tcp = self._settings.routing.mode is ProxyMode.TCP
        found = {*self._own_certificates.problems, *too_few_files(self._settings.haproxy)}
        found.update(*self._part_problems.values(), *self._listener_problems.values())
        found.update(of_ports(self._ports, self._listeners, self._parts, is_tcp=is_tcp))
        found.update(self._named.problems(self._first_default()))
        return tuple(sorted(found.union(without_port(self._taken_ports, self._ports, self._settings))))

    def _make_context(self) -> BuildContext:
        offset = self._settings.haproxy.port_offset
        context = BuildContext(
            settings=self._settings.routing,
            proxy=self.proxy,
            terminates_tls=bool(self.certificates),
            redirects_to_tls=any(use.is_tls for use in self._held_ports.values()),
            https_port=HTTPS_PORT + offset if offset else None,
            routed_networks=self._settings.cluster.routed_networks,
        )
        return dataclasses.replace(context, plain=plain_profile(context))

    def _start_over(self) -> ModelChange:
        """Build everything again. Every route and backend depends on whether TLS is terminated at all."""
        self._context = self._make_context()
        self._parts, self._part_problems, self._defaults, self._ports = {}, {}, set(), {}
        self._named = NamedBackends(self._settings.routing)
        self._tcp_services, self._listeners, self._listener_problems, self._default_checks = {}, {}, {}, 0
        for service in self._table.services():
            self._link(service)
        self._settle(ModelChange(), set(self._tcp_services))
        return ModelChange(is_everything=True, default_checks=self._default_checks)

    def _backend(self, name: BackendName) -> Backend | None:
        return part.backend if (part := self._parts.get(name)) else None

    def _link(self, service: Service) -> None:
        part = make_part(service, self._context, self._settings)
        self._parts[service.name] = part
        self._default_checks += part.backend.count_default_checks() if part.backend else 0
        if part.problems:
            self._part_problems[service.name] = part.problems
        if part.backend:
            self._named.add(service, self.proxy.project if self.proxy else "")
        if part.backend and service.may_be_default and not service.virtual_hosts:
            self._defaults.add(service.name)
        for claim in part.claims:
            port = claim.route.entry.port
            self._ports.setdefault(port, PortRoutes(port)).change((), (claim,))
        for tcp_port in service.tcp_ports:
            self._tcp_services.setdefault(tcp_port.number, set()).add(service.name)

    def _unlink(self, service: Service) -> ServicePart:
        part = self._parts.pop(service.name)
        self._default_checks -= part.backend.count_default_checks() if part.backend else 0
        self._part_problems.pop(service.name, None)
        self._defaults.discard(service.name)
        self._named.remove(service.name)
        for claim in part.claims:
            self._ports[claim.route.entry.port].change((claim,), ())
        for tcp_port in service.tcp_ports:
            self._tcp_services[tcp_port.number].discard(service.name)
        return part

    def _http_ports(self) -> set[int]:
        return {port for port, routes in self._ports.items() if routes.has_claims}

    def _settle(self, change: ModelChange, tcp_ports: set[int]) -> None:
        default = self._default_backend()
        rules = self._rules(default)
        # Of these ports, the use may have changed from HTTP to TCP, or back.
        tcp_ports |= self._tcp_services.keys() & (self._ports.keys() | {HTTP_PORT, HTTPS_PORT})
        for port in tcp_ports:
            before, after = self._listeners.pop(port, None), self._build_listener(port, rules)
            if after:
                self._listeners[port] = after
            self._default_checks += count_checks(after) - count_checks(before)
            if before != after:
                change.listeners[port] = before, after
        ports = self._frontend_ports()
        self._ports = {port: self._ports.get(port) or PortRoutes(port) for port in ports | self._http_ports()}
        uses = {port: self._choose_use(port, rules) for port in ports | self._listeners.keys()}
        self._port_uses = {port: use for port, use in uses.items() if use and port not in self._taken_ports}
        for port in ports:
            routes = self._ports[port]
            routes.set_tls(is_tls=rules.speaks_tls(port, uses[port]))
            routes.set_default(default)
            named = self._named.find(port, self._first_default())
            routes.set_named({name: backend.name for name, key in named.items() if (backend := self._backend(key))})
            changes = routes.settle()
            if changes.rows or changes.ordered:
                change.rows[port] = changes
        self._shapes = tuple(self._make_shape(port) for port in sorted(ports - self._taken_ports))

    def _frontend_ports(self) -> set[int]:
        wanted = self._http_ports() | fixed_ports(self._settings, has_tls=bool(self.certificates))
        return wanted - self._listeners.keys() - own_ports(self._settings).keys()

    def _make_shape(self, port: int) -> FrontendShape:
        routes, mode = self._ports[port], self._settings.routing.mode
        owner = routes.owner if routes.has_claims else self._default_backend
        only = owner() if mode is ProxyMode.TCP else None
        return FrontendShape(port=port, mode=mode, is_tls=routes.is_tls, only_backend=only)

    def _default_backend(self) -> BackendName | None:
        if self._http_ports() and not self._settings.routing.force_default_backend:
            return None
        backend = self._backend(first) if (first := self._first_default()) else None
        return backend.name if backend else None

    def _first_default(self) -> BackendName | None:
        return min(self._defaults, default=None)

    def _build_listener(self, port: int, rules: PortRules) -> TcpListener | None:
        use, reserved = self._choose_use(port, rules), rules.reserved(port, self._ports.get(port))
        built = build_listener(port, self._tcp_services_of(port), self._context, use=use, reserved=reserved)
        listener, self._listener_problems[port] = built
        return listener

    def _choose_use(self, port: int, rules: PortRules) -> PortUse | None:
        return rules.choose(port, self._ports.get(port), self._tcp_services_of(port), self._held_ports.get(port))

    def _tcp_services_of(self, port: int) -> list[Service]:
        return [self._parts[name].service for name in sorted(self._tcp_services.get(port, ()))]

    def _rules(self, default: BackendName | None) -> PortRules:
        since = self._since_of_defaults if default else None
        return PortRules(settings=self._settings, context=self._context, taken_ports=self._taken_ports, default_since=since)

    def _since_of_defaults(self) -> int:
        return min(self._parts[name].service.since for name in self._defaults)
