"""What HAProxy is to do, kept up to date: from the sources to the routing model, at the cost of what changed.

In: why a look is due. Out: a `ModelChange`, and on demand the whole model with its problems. Nothing of HAProxy's running
state is known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from proxy.controller.observation import Observation
from proxy.controller.ports import Prober
from proxy.controller.schedule import DuePass
from proxy.controller.service_checks import ServiceChecks
from proxy.core.containers.containers import Container, ProxyContainer
from proxy.core.haproxy.blame import Accusation, blame
from proxy.core.haproxy.rendering import DesiredState
from proxy.core.labels import simple_routing
from proxy.core.labels.labels import ContainerSpec, parse_container
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.model import Backend, RoutingModel, Server
from proxy.core.model.model_change import ModelChange
from proxy.core.model.model_index import ModelIndex
from proxy.core.model.readiness import Readiness, Target, targets_of
from proxy.core.model.service_table import Specs
from proxy.core.model.services import is_in_scope
from proxy.core.model.spec_index import Key, Parsed, SpecIndex
from proxy.core.model.whole_model import build_routing_model, out_of_scope
from proxy.errors import ConfigCheckError, Problem
from proxy.settings import RoutingMode, Settings


class DesiredModel:
    """The desired model. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        *,
        observation: Observation,
        read_certificates: Callable[[], ProxyCertificates],
        admission: ServiceChecks,
        prober: Prober,
        settings: Settings,
        clock: Callable[[], float],
    ) -> None:
        self._observation = observation
        self._read_certificates = read_certificates
        self._admission = admission
        self._prober = prober
        self._settings = settings
        self._clock = clock
        self._specs = SpecIndex(self._parse, keep_seconds=settings.routing.linger_seconds)
        self._readiness = Readiness()
        self._certificates = ProxyCertificates()
        self._index = ModelIndex(settings, None, self._certificates)
        self._waited_for: dict[tuple[str, str], Server] = {}
        self._targets: frozenset[Target] = frozenset()
        self._notes: dict[str, Problem] = {}
        self._proxy: ProxyContainer | None = None
        self._is_first = True

    def update(self, due: DuePass) -> ModelChange:
        """Take in what has changed since the last call; raises SourceError while no source has answered yet."""
        now = self._clock()
        changed = self._observation.observe(is_resync=due.is_resync)
        touched = self._specs.update(changed, now) | self._specs.expire(now)
        self._observation.taken()
        self._forget_gone(changed)
        touched |= self._specs.labels_of(self._readiness.accept(self._prober.take_answers()))
        if due.is_resync or due.is_about_files:
            self._certificates = self._read_certificates()
        proxy = self._observation.proxy()
        if proxy != self._proxy:
            self._proxy = proxy
            touched |= {*self._specs.labels()}  # another project is another scope
        surroundings = self._index.set_surroundings(proxy, self._certificates)
        change = surroundings.then(self._update_index(touched))
        if not change.is_everything:
            answers = self._prober.ask_at_once(_new_targets(change))
            change = change.then(self._update_index(self._specs.labels_of(self._readiness.accept(answers))))
        self._readiness.end_start()
        self._is_first = False
        self._wait_for_servers(change)
        return change

    def model(self) -> RoutingModel:
        """Return the whole model, without its problems."""
        return self._index.model()

    def freeze(self) -> Callable[[], RoutingModel]:
        """Return what builds the model of this moment, to be printed, at any later one and in any thread."""
        return partial(self._index.snapshot().model, is_for_print=True)

    def count_services(self) -> int:
        """Return how many services take part."""
        return self._index.count_services()

    def problems(self) -> tuple[Problem, ...]:
        """Return everything that costs somebody a route."""
        found = {
            *self._observation.problems(),
            *self._specs.problems(),
            *self._index.problems(),
            *self._admission.problems(),
        }
        return tuple(sorted(found))

    def notes(self) -> tuple[Problem, ...]:
        """Return who is left out on purpose, and why."""
        return tuple(sorted(self._notes.values()))

    def next_expiry(self) -> float | None:
        """Return when a route that has outlived its containers is to go."""
        return self._specs.next_expiry()

    def exclude_refused(self, error: ConfigCheckError, desired: DesiredState) -> None:
        """Leave out whom HAProxy refuses; raises `error` when no service is at fault."""
        groups = self._index.groups()
        self._exclude(self._admission.find_culprits(error, desired, groups, self.build), groups)

    def exclude_accused(self, messages: Sequence[str], desired: DesiredState) -> bool:
        """Leave out whom the messages of a failed reload lead to; False when they lead to nobody."""
        groups = self._index.groups()
        culprits = {label: why for label, why in blame(messages, desired).items() if label in groups}
        self._exclude(culprits, groups)
        return bool(culprits)

    def accept_all(self) -> None:
        """Remember that HAProxy takes the settings of everybody in the model."""
        for specs in self._index.groups().values():
            self._admission.accept(specs)

    def build(self, specs: Sequence[ContainerSpec]) -> RoutingModel:
        """Return the model of just these specs, in the present surroundings."""
        return build_routing_model(specs, self._observation.proxy(), self._certificates, self._settings)

    def _parse(self, container: Container) -> Parsed:
        if self._settings.routing.routing_mode is RoutingMode.SIMPLE:
            return simple_routing.parse_container(container, self._settings.routing.simple)
        spec, problems = parse_container(container, allow_free_form=self._settings.routing.allow_extra_settings)
        return ((spec,) if spec else ()), problems

    def _update_index(self, labels: Iterable[str]) -> ModelChange:
        return self._index.update({label: self._review(label) for label in sorted(labels)})

    def _forget_gone(self, changed: Mapping[Key, Container | None]) -> None:
        for (_, container_id), container in changed.items():
            if container is None:
                self._readiness.forget(container_id)

    def _review(self, label: str) -> Specs:
        """Return the specs of a service as they take part in the model.

        On the first pass nothing is checked service by service: the whole is, at once.
        """
        scope, proxy = self._settings.routing.scope, self._observation.proxy()
        self._notes.pop(label, None)
        specs = []
        for spec in self._specs.specs(label):
            if is_in_scope(spec.container, proxy, scope):
                specs.append(self._readiness.mark(spec))
            else:
                self._notes[label] = out_of_scope(spec, proxy)
        return self._admission.review(label, tuple(specs), None if self._is_first else self.build)

    def _exclude(self, culprits: Mapping[str, Accusation], groups: Mapping[str, Specs]) -> None:
        self._admission.reject(culprits, groups)
        self._index.update(dict.fromkeys(culprits, ()))

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
            self._targets = targets
            self._prober.wait_for(targets)


def _new_targets(change: ModelChange) -> frozenset[Target]:
    """Return the servers that are new and waited for."""
    found: set[Target] = set()
    for before, after in change.backend_pairs():
        known = {server.name for server in before.servers} if before else set()
        found |= targets_of(server for server in (after.servers if after else ()) if server.name not in known)
    return frozenset(found)
