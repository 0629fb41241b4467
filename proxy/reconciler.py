"""One pass, no loop, no sleep: observe, parse, build, render, plan, apply.

In: why a pass is due. Out: an `Outcome`. The world is known only through the Protocols of `ports`. Nothing invalid ever
replaces something that works: a candidate is checked before it is used, and goes back when HAProxy does not take it over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from proxy.admission import Admission, Candidate
from proxy.core.containers import Container, ProxyContainer, Snapshot
from proxy.core.labels import ContainerSpec, parse_container
from proxy.core.model import RoutingModel
from proxy.core.planning import Plan, Reload, RuntimeUpdate, Unchanged, make_plan
from proxy.core.rendering import DesiredState, Renderer
from proxy.core.certificate_set import ProxyCertificates
from proxy.core.routing import build_routing_model
from proxy.errors import Problem, ReloadError, SourceError
from proxy.ports import ContainerSource, HaproxyControl, StateStore
from proxy.settings import Settings

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
"""How often one pass tries again after HAProxy could not take a configuration over, each time without the accused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a pass did: one sentence for the log, and what it leaves behind."""

    sentence: str
    is_success: bool
    plan: Plan
    model: RoutingModel
    problems: tuple[Problem, ...] = ()


class World:
    """What the sources say, merged. A source that cannot be read keeps its last word."""

    def __init__(self, sources: Sequence[ContainerSource]) -> None:
        self._sources = sources
        self._readings: dict[str, Snapshot] = {}
        self._failed: dict[str, str] = {}

    def observe(self, *, resync: bool) -> None:
        """Read every source. Raises SourceError while none has ever answered: an empty world is never published."""
        for source in self._sources:
            if resync:
                source.invalidate()
            try:
                self._readings[source.name] = source.read()
            except SourceError as error:
                if self._failed.get(source.name) != str(error):
                    logger.warning("source %s: %s; what is known stays in force", source.name, error)
                self._failed[source.name] = str(error)
            else:
                if self._failed.pop(source.name, None):
                    logger.info("source %s: answers again", source.name)
        if self._sources and not self._readings:
            raise SourceError("; ".join(self._failed.values()))

    def containers(self) -> tuple[Container, ...]:
        """All containers, sorted; their order of arrival leaves no trace."""
        found = {(c.source, c.id): c for reading in self._readings.values() for c in reading.containers}
        return tuple(found[key] for key in sorted(found))

    def proxy(self) -> ProxyContainer | None:
        """The proxy's own container, if a source knows it."""
        return next((reading.proxy for reading in self._readings.values() if reading.proxy), None)


class SpecCache:
    """Parses containers; one that has not changed is not parsed again."""

    def __init__(self, settings: Settings) -> None:
        self._allow_free_form = settings.routing.allow_extra_settings
        self._known: dict[tuple[str, str], tuple[Container, ContainerSpec | None, tuple[Problem, ...]]] = {}

    def parse(self, containers: Sequence[Container]) -> tuple[list[ContainerSpec], tuple[Problem, ...]]:
        """Return the specs of those that want to be routed, and the problems of those that ask wrongly."""
        known = {}
        for container in containers:
            key = (container.source, container.id)
            entry = self._known.get(key)
            if entry is None or entry[0] != container:
                entry = (container, *parse_container(container, allow_free_form=self._allow_free_form))
            known[key] = entry
        self._known = known
        specs = [spec for _, spec, _ in known.values() if spec]
        return specs, tuple(problem for _, _, problems in known.values() for problem in problems)


class Reconciler:
    """Brings HAProxy to what the sources say."""

    def __init__(
        self,
        *,
        world: World,
        read_certificates: Callable[[], ProxyCertificates],
        renderer: Renderer,
        store: StateStore,
        haproxy: HaproxyControl,
        settings: Settings,
    ) -> None:
        self._world = world
        self._read_certificates = read_certificates
        self._store = store
        self._haproxy = haproxy
        self._settings = settings
        self._specs = SpecCache(settings)
        self._admission = Admission(renderer, store, haproxy)
        self._running: DesiredState | None = None

    def run_pass(self, *, forced_by: str = "", resync: bool = False) -> Outcome:
        """Run one pass.

        Raises SourceError while no source has answered yet, ConfigCheckError when the proxy's own settings are refused,
        StateError when the state cannot be written. Whatever is raised, what runs goes on running.
        """
        self._world.observe(resync=resync)
        specs, problems = self._specs.parse(self._world.containers())
        for _ in range(MAX_ATTEMPTS):
            candidate = self.find_candidate(specs)
            plan = make_plan(candidate.desired, self._running, forced_by=forced_by)
            every_problem = tuple(sorted({*problems, *candidate.problems}))
            try:
                sentence = self._apply(plan, candidate)
            except ReloadError as error:
                failure = f"reload failed, the old worker still serves: {error}"
                if not self._admission.accuse(str(error).split("\n"), candidate.desired, specs):
                    break
            else:
                return self._outcome(sentence, plan, candidate, every_problem)
        return self._outcome(failure, plan, candidate, every_problem, is_success=False)

    def inspect(self) -> tuple[Candidate, tuple[Problem, ...]]:
        """Return what a pass would bring HAProxy to, and every problem, without doing it. Raises what `run_pass` raises."""
        self._world.observe(resync=True)
        specs, problems = self._specs.parse(self._world.containers())
        candidate = self.find_candidate(specs)
        return candidate, tuple(sorted({*problems, *candidate.problems}))

    def check_own_settings(self) -> None:
        """Raise ConfigCheckError when HAProxy refuses a configuration without any service."""
        candidate = self.find_candidate([])
        if candidate.folder:
            self._store.discard(candidate.folder)

    def find_candidate(self, specs: Sequence[ContainerSpec]) -> Candidate:
        """Return the state to bring HAProxy to, checked and on disk."""
        certificates = self._read_certificates()

        def build(served: Sequence[ContainerSpec]) -> RoutingModel:
            return build_routing_model(served, self._world.proxy(), certificates, self._settings)

        return self._admission.admit(specs, build, self._running)

    def _apply(self, plan: Plan, candidate: Candidate) -> str:
        match plan:
            case Unchanged():
                self._running = candidate.desired
                return "nothing to change"
            case RuntimeUpdate():
                raise NotImplementedError
            case Reload(reasons):
                self._reload(candidate.folder)
                self._running = candidate.desired
                return f"reload: {', '.join(reasons)}"

    def _reload(self, folder: Path | None) -> None:
        if folder:
            self._store.promote(folder)
        if not self._haproxy.is_running():
            return
        try:
            self._haproxy.reload()
        except ReloadError:
            if folder:
                self._store.rollback()
            raise

    @staticmethod
    def _outcome(
        sentence: str, plan: Plan, candidate: Candidate, problems: tuple[Problem, ...], *, is_success: bool = True
    ) -> Outcome:
        model = candidate.desired.model
        return Outcome(sentence=sentence, is_success=is_success, plan=plan, model=model, problems=problems)
