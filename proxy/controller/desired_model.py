"""What HAProxy is to do, kept up to date: from the sources to the routing model, at the cost of what changed.

In: why a look is due. Out: changes of the model, put into `Pending`, and on demand the whole model and its problems. Nothing
of HAProxy's running state is known here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from proxy.controller.observation import Observation
from proxy.controller.pending import Pending
from proxy.controller.ports import Prober
from proxy.controller.service_checks import ServiceChecks, identity
from proxy.core.containers.containers import Container
from proxy.core.haproxy.blame import Accusation
from proxy.core.labels import simple_routing
from proxy.core.labels.labels import ContainerSpec, certificates_of, parse_container, service_label
from proxy.core.model.certificate_cover import CertificateCover
from proxy.core.model.certificate_dates import DatedProblems, find_dated_problems
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.model import Backend, RoutingModel, Server, StoredCertificate
from proxy.core.model.model_change import ModelChange
from proxy.core.model.model_index import ModelIndex
from proxy.core.model.port_uses import PortUse
from proxy.core.model.readiness import Readiness, Target, targets_of
from proxy.core.model.service_table import Specs, label_specs
from proxy.core.model.services import is_in_scope
from proxy.core.model.spec_index import Parsed, SpecIndex
from proxy.core.model.whole_model import out_of_scope
from proxy.errors import Problem
from proxy.grammar.certificates import Certificate
from proxy.grammar.syntax import make_backend_name
from proxy.settings import RoutingMode, Settings

logger = logging.getLogger(__name__)


class DesiredModel:
    """The desired model. `clock` is monotonic, `wall_clock` counts from the epoch; both in seconds."""

    def __init__(
        self,
        *,
        observation: Observation,
        checks: ServiceChecks,
        prober: Prober,
        settings: Settings,
        clock: Callable[[], float],
        wall_clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._observation = observation
        self._checks = checks
        self._prober = prober
        self._settings = settings
        self._clock = clock
        self._specs = SpecIndex(self._parse, keep_seconds=settings.routing.linger_seconds)
        self._readiness = Readiness()
        self._certificates = ProxyCertificates()
        self._wall_clock = wall_clock
        self._cover = CertificateCover()
        self._dated: tuple[tuple[StoredCertificate, ...], DatedProblems] = (), DatedProblems()
        self._label_certificates: dict[str, Mapping[str, Certificate]] = {}
        self._taken_ports: frozenset[int] = frozenset()
        self._index = self._index_maker({})()
        self._waited_for: dict[tuple[str, str], Server] = {}
        self._targets: frozenset[Target] = frozenset()
        self._notes: dict[str, Problem] = {}
        self._is_checked_as_a_whole = True

    def observe(self, pending: Pending, *, is_resync: bool) -> None:
        """Read the sources, and note whom that touches; raises SourceError while no source has answered yet."""
        now = self._clock()
        changed = self._observation.observe(is_resync=is_resync)
        pending.touched |= self._specs.update(changed, now) | self._specs.expire(now)
        for (_, container_id), container in changed.items():
            if container is None:
                self._readiness.forget(container_id)
        for label in [label for label in pending.touched & self._label_certificates.keys() if not self._specs.specs(label)]:
            del self._label_certificates[label]
        self._observation.taken()
        pending.touched |= self._specs.labels_of(self._readiness.accept(self._prober.take_answers()))

    def update(self, pending: Pending) -> None:
        """Bring the model up to date with what is touched, and add what that changes."""
        proxy = self._observation.proxy()
        if proxy != self._index.proxy:
            pending.touched |= {*self._specs.labels()}  # another project is another scope
        change = self._index.set_surroundings(proxy, self._certificates, self._taken_ports)
        change = change.then(self._update_index(pending.touched))
        pending.add(change)
        pending.touched.clear()
        self._readiness.end_start()
        self._index.hold_ports()
        try:
            if not change.is_everything:
                answers = self._prober.ask_at_once(_new_targets(change))
                ready = self._update_index(self._specs.labels_of(self._readiness.accept(answers)))
                pending.add(ready)
                change = change.then(ready)
        finally:
            self._wait_for_servers(change)

    def hold_ports(self, uses: Mapping[int, PortUse], pending: Pending) -> None:
        """Take in what HAProxy uses its ports for. Whoever has a port keeps it, as long as a service wants it for that."""
        present = self._index.held_ports()
        had_tls, has_tls = (any(use.is_tls for use in ports.values()) for ports in (uses, present))
        if (had_tls and not has_tls) or any(uses.get(port, use) is not use for port, use in present.items()):
            self._index = self._index_maker({**present, **uses})()
            self._forget_model(pending)
            self.update(pending)

    def start_over(self, pending: Pending) -> None:
        """Forget the model, which a fault of this program has left half changed; the next update builds it anew."""
        self._index = self._index_maker(self._index.held_ports())()
        self._forget_model(pending)

    def _forget_model(self, pending: Pending) -> None:
        self._waited_for = {}
        pending.is_suspect = True
        pending.touched |= {*self._specs.labels()}

    def set_certificates(self, certificates: ProxyCertificates) -> None:
        """Set the proxy's own certificates; they count from the next update on."""
        self._certificates = certificates

    def look_at_ports(self, find_taken: Callable[[Iterable[int]], frozenset[int]]) -> bool:
        """Find out which ports other programs listen on; return whether they are others than before.

        They count from the next update on.
        """
        offset = self._settings.haproxy.port_offset
        taken = find_taken(port + offset for port in self._index.wanted_ports())
        before, self._taken_ports = self._taken_ports, frozenset(port - offset for port in taken)
        return before != self._taken_ports

    def model(self) -> RoutingModel:
        """Return the whole model, without its problems."""
        return self._index.model()

    def printed_model(self) -> RoutingModel:
        """Return the whole model as far as it is printed and compared: without problems and sorted routes."""
        return self._index.model(is_for_print=True)

    def freeze(self) -> Callable[[], RoutingModel]:
        """Return what builds the model of this moment, to be printed, at any later one and in any thread."""
        return partial(self._index.snapshot().model, is_for_print=True)

    def builder(self) -> Callable[[Sequence[ContainerSpec]], RoutingModel]:
        """Return what builds the model of some of the specs that take part, in the present surroundings and in any thread.

        A stopped container is part of it as it is of the model: its settings are there though it has no server.
        """
        make_index = self._index_maker(self._index.held_ports())

        def build(specs: Sequence[ContainerSpec]) -> RoutingModel:
            index = make_index()
            index.update(label_specs(specs))
            return index.model(is_for_print=True)

        return build

    def groups(self) -> Mapping[str, Specs]:
        """Return the specs of every service that takes part."""
        return self._index.groups()

    def count_services(self) -> int:
        """Return how many services take part."""
        return self._index.count_services()

    def problems(self) -> tuple[Problem, ...]:
        """Return everything that costs somebody a route."""
        self._cover.set_certificates(self._index.certificates())
        owners = (self._observation, self._specs, self._index, self._checks, self._cover)
        found = {problem for owner in owners for problem in owner.problems()}
        return tuple(sorted(found.union(self._dated_problems())))

    def notes(self) -> tuple[Problem, ...]:
        """Return who is left out on purpose, and why."""
        return tuple(sorted(self._notes.values()))

    def next_expiry(self) -> float | None:
        """Return when a route that has outlived its containers is to go."""
        return self._specs.next_expiry()

    def refuse(self, culprits: Mapping[str, Accusation], groups: Mapping[str, Specs], pending: Pending) -> bool:
        """Leave out whom HAProxy refuses; return whether that, or what has changed meanwhile, makes another try worthwhile.

        `groups` is what took part in what was refused: a service that has changed since then is not at fault.
        """
        known = {label: why for label, why in culprits.items() if label in groups}
        found = {
            label: why for label, why in known.items() if identity(groups[label]) == identity(self._index.specs_of(label))
        }
        self._checks.refuse(found, groups)
        pending.touched |= found.keys()
        return bool(known)

    def accept_all(self) -> None:
        """Remember that HAProxy takes the settings of everybody in the model; from now on, new ones are checked first."""
        self._is_checked_as_a_whole = False
        for specs in self._index.groups().values():
            self._checks.accept(specs)

    def _index_maker(self, held_ports: Mapping[int, PortUse]) -> Callable[[], ModelIndex]:
        """Return what makes an empty model in the present surroundings, in any thread."""
        surroundings = self._observation.proxy(), self._certificates, self._taken_ports
        return partial(ModelIndex, self._settings, *surroundings, held_ports)

    def _parse(self, container: Container) -> Parsed:
        try:
            if self._settings.routing.routing_mode is RoutingMode.SIMPLE:
                return simple_routing.parse_container(container, self._settings.routing.simple)
            label = service_label(container)
            spec, problems = parse_container(
                container,
                allow_free_form=self._settings.routing.allow_extra_settings,
                known_certificates=self._known_certificates(label),
            )
            if spec and (certificates := certificates_of(spec.settings)):
                self._label_certificates[label] = certificates
        except Exception as error:
            logger.exception("container %s is left out because of an error in this program", container.name)
            reason = f"left out because of an error in this program ({type(error).__name__}); the log has the details"
            return (), (Problem(service=service_label(container), container=container.name, reason=reason),)
        return ((spec,) if spec else ()), problems

    def _known_certificates(self, label: str) -> Mapping[str, Certificate]:
        """Return the certificates that a service had before; at the start, those of the earlier run."""
        if label in self._label_certificates or not self._is_checked_as_a_whole:
            return self._label_certificates.get(label, {})
        return self._certificates.previous_of(make_backend_name(label))

    def _update_index(self, labels: Iterable[str]) -> ModelChange:
        reviewed = {label: self._review(label) for label in sorted(labels)}
        for label, specs in reviewed.items():
            self._cover.set_specs(label, specs)
        return self._index.update(reviewed)

    def _dated_problems(self) -> Sequence[Problem]:
        """Return the problems of certificates at this time. They are looked for only if they may have changed."""
        now, certificates = self._wall_clock(), self._index.certificates()
        known, found = self._dated
        if certificates is not known or not found.since <= now < found.until:
            found = find_dated_problems(certificates, self._certificates.origins, now)
            self._dated = certificates, found
        return found.problems

    def _review(self, label: str) -> Specs:
        """Return the specs of a service as they take part in the model."""
        scope, proxy = self._settings.routing.scope, self._observation.proxy()
        self._notes.pop(label, None)
        specs = []
        for spec in self._specs.specs(label):
            if is_in_scope(spec.container, proxy, scope):
                specs.append(self._readiness.mark(spec))
            else:
                self._notes[label] = out_of_scope(spec, proxy)
        present = self._index.specs_of(label)
        return self._checks.review(label, tuple(specs), present, is_checked_as_a_whole=self._is_checked_as_a_whole)

    def _wait_for_servers(self, change: ModelChange) -> None:
        pairs: list[tuple[Backend | None, Backend | None]] = list(change.backend_pairs())
        if change.is_everything:
            self._waited_for = {}
            model = self._index.model()
            pairs = [(None, backend) for backend in (*model.backends, *(entry.backend for entry in model.listeners))]
        for before, after in pairs:
            if before:
                for server in before.servers:
                    self._waited_for.pop((before.name, server.name), None)
            if after:
                self._waited_for |= {(after.name, server.name): server for server in after.servers if targets_of([server])}
        targets = targets_of(self._waited_for.values())
        if targets != self._targets:  # the prober's thread is woken only where it has something else to do
            self._prober.wait_for(targets)
            self._targets = targets


def _new_targets(change: ModelChange) -> frozenset[Target]:
    """Return the servers that are new and waited for."""
    found: set[Target] = set()
    for before, after in change.backend_pairs():
        known = {server.name for server in before.servers} if before else set()
        found |= targets_of(server for server in (after.servers if after else ()) if server.name not in known)
    return frozenset(found)
