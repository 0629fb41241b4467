"""What HAProxy is to do, kept up to date: from the sources to the routing model, at the cost of what changed.

In: why a look is due. Out: changes of the model, put into `Pending`, and on demand the whole model and its problems. Nothing
of HAProxy's running state is known here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from proxy.controller.label_parsing import LabelParser
from proxy.controller.observation import Observation
from proxy.controller.pending import Pending
from proxy.controller.ports import Prober
from proxy.controller.service_checks import ServiceChecks, identity
from proxy.controller.unserved_servers import UnservedServers
from proxy.core.haproxy.blame import Accusation
from proxy.core.labels.labels import service_label
from proxy.core.labels.misspellings import OF_OTHER_MODE, find_own_labels
from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.certificate_problems import CertificateProblems
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.last_resort import LastResort
from proxy.core.model.model import Backend, RoutingModel, Server
from proxy.core.model.model_change import ModelChange
from proxy.core.model.model_index import ModelIndex
from proxy.core.model.port_uses import PortUse
from proxy.core.model.readiness import Readiness, Target, targets_of
from proxy.core.model.service_table import Specs, label_specs
from proxy.core.model.services import is_in_scope
from proxy.core.model.spec_index import SpecIndex
from proxy.core.model.whole_model import out_of_scope
from proxy.errors import Problem
from proxy.settings import Settings

logger = logging.getLogger(__name__)

FindPorts = Callable[[Iterable[int]], frozenset[int]]
"""Returns those of some ports that have a property."""


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
        self._labels = LabelParser(settings.routing)
        self._specs = SpecIndex(self._labels.parse, keep_seconds=settings.routing.linger_seconds)
        self._readiness = Readiness()
        self._last_resort = LastResort()
        self._certificates = ProxyCertificates()
        self._certificate_problems = CertificateProblems(wall_clock)
        self._taken_ports: frozenset[int] = frozenset()
        self._ipv4_only_ports: frozenset[int] = frozenset()
        self._index = self._index_maker({})()
        self._waited_for: dict[tuple[str, str], Server] = {}
        self.servers = UnservedServers(lambda backend, server: self._index.find_server(backend, server), clock)
        self._targets: frozenset[Target] = frozenset()
        self._notes: dict[str, Problem] = {}
        self._notes_in_order: tuple[Problem, ...] | None = None
        self._is_checked_as_a_whole = True

    def observe(self, pending: Pending, *, is_resync: bool) -> None:
        """Read the sources, and note whom that touches; raises SourceError while no source has answered yet."""
        now = self._clock()
        changed = self._observation.observe(is_resync=is_resync)
        pending.touched |= self._specs.update(changed, now) | self._specs.expire(now) | self._last_resort.expire(now)
        present = {container.id for container in changed.values() if container}
        for (_, container_id), container in changed.items():
            if container is None and container_id not in present:
                self._readiness.forget(container_id)
        for label in pending.touched.intersection(self._labels.certified()):
            if not self._specs.specs(label):
                self._labels.forget(label)
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
        self._labels.set_previous(certificates)

    def look_at_ports(self, find_taken: FindPorts, find_ipv4_only: FindPorts) -> bool:
        """Find out which ports other programs listen on; return whether they are others than before.

        They count from the next update on.
        """
        offset = self._settings.haproxy.port_offset
        ports = [port + offset for port in self._index.wanted_ports()]
        self._ipv4_only_ports = frozenset(port - offset for port in find_ipv4_only(ports))
        before, self._taken_ports = self._taken_ports, frozenset(port - offset for port in find_taken(ports))
        return before != self._taken_ports

    @property
    def ipv4_only_ports(self) -> frozenset[int]:
        """The ports that HAProxy cannot have over IPv6."""
        return self._ipv4_only_ports

    def model(self) -> RoutingModel:
        """Return the whole model, without its problems."""
        return replace(self._index.model(), ipv4_only_ports=self._ipv4_only_ports)

    def printed_model(self) -> RoutingModel:
        """Return the whole model as far as it is printed and compared: without problems and sorted routes."""
        return replace(self._index.model(is_for_print=True), ipv4_only_ports=self._ipv4_only_ports)

    def freeze(self) -> Callable[[], RoutingModel]:
        """Return what builds the model of this moment, to be printed, at any later one and in any thread."""
        index, ports = self._index.snapshot(), self._ipv4_only_ports
        return lambda: replace(index.model(is_for_print=True), ipv4_only_ports=ports)

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
        owners = (self._observation, self._index, self._checks, self.servers)
        found = {problem for owner in owners for problem in owner.problems()}
        of_labels = (problem for problem in self._problems_of_labels() if not problem.is_note)
        of_certificates = self._certificate_problems.find(self._index.certificates, self._certificates)
        return tuple(sorted(found.union(of_labels, of_certificates)))

    def notes(self) -> tuple[Problem, ...]:
        """Return who is left out on purpose, and what has no effect."""
        if self._notes_in_order is None:
            self._notes_in_order = tuple(sorted(self._notes.values()))
        has_services = self.count_services() > 0
        of_labels = (
            problem
            for problem in self._problems_of_labels()
            if problem.is_note and not (has_services and problem.reason in OF_OTHER_MODE)
        )
        others = sorted({*of_labels, *self._notes_of_proxy()})
        return (*(note for note in others if self._notes.get(note.service) != note), *self._notes_in_order)

    def next_expiry(self) -> float | None:
        """Return when a route that has outlived its containers is to go, or a service's last resort ends."""
        times = (self._specs.next_expiry(), self._last_resort.next_expiry())
        return min((time for time in times if time is not None), default=None)

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
        self._labels.end_start()
        for specs in self._index.groups().values():
            self._checks.accept(specs)

    def _index_maker(self, held_ports: Mapping[int, PortUse]) -> Callable[[], ModelIndex]:
        """Return what makes an empty model in the present surroundings, in any thread."""
        surroundings = self._observation.proxy(), self._certificates, self._taken_ports
        return partial(ModelIndex, self._settings, *surroundings, held_ports)

    def _problems_of_labels(self) -> Iterator[Problem]:
        """Yield the problems and notes of labels. Outside the scope they are another proxy's, or nobody's."""
        proxy, scope = self._observation.proxy(), self._settings.routing.scope
        for container, problems in self._specs.problems():
            if is_in_scope(container, proxy, scope):
                yield from problems
            elif not all(problem.is_note for problem in problems):
                yield out_of_scope(container, service_label(container), proxy)

    def _notes_of_proxy(self) -> tuple[Problem, ...]:
        proxy, mode = self._observation.proxy(), self._settings.routing.routing_mode
        return (*self._observation.notes(), *(find_own_labels(proxy, mode) if proxy else ()))

    def _update_index(self, labels: Iterable[str]) -> ModelChange:
        reviewed = {label: self._review(label) for label in sorted(labels)}
        for label, specs in reviewed.items():
            self._certificate_problems.set_specs(label, specs)
        return self._index.update(reviewed)

    def _review(self, label: str) -> Specs:
        """Return the specs of a service as they take part in the model."""
        scope, proxy = self._settings.routing.scope, self._observation.proxy()
        if self._notes.pop(label, None):
            self._notes_in_order = None
        marked = []
        for spec in self._specs.specs(label):
            if is_in_scope(spec.container, proxy, scope):
                marked.append(self._readiness.mark(spec))
            else:
                self._notes[label] = out_of_scope(spec.container, label, proxy)
                self._notes_in_order = None
        present, specs = self._index.specs_of(label), self._last_resort.mark(label, marked, self._clock())
        return self._checks.review(label, tuple(specs), present, is_checked_as_a_whole=self._is_checked_as_a_whole)

    def _wait_for_servers(self, change: ModelChange) -> None:
        pairs: list[tuple[Backend | None, Backend | None]] = list(change.backend_pairs())
        if change.is_everything:
            self._waited_for = {}
            self.servers.clear()
            model = self._index.model()
            pairs = [(None, backend) for backend in (*model.backends, *(entry.backend for entry in model.listeners))]
        for before, after in pairs:
            self.servers.replace(before, after)
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
