"""Which services HAProxy admits: finds the state nearest to what is wanted that HAProxy accepts.

In: the specs of all services. Out: a checked candidate on disk. A service that HAProxy rejects is left out until it
changes, so that one container never hurts another; the whole is checked once when nobody is at fault, and by bisection
where HAProxy's words do not tell who is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from proxy.core.blame import Accusation, blame, find_setting
from proxy.core.labels import ContainerSpec
from proxy.core.model import RoutingModel
from proxy.core.model_index import label_specs
from proxy.core.rendering import CONFIG_FILE, DesiredState, Renderer
from proxy.errors import ConfigCheckError, Problem, shorten
from proxy.ports import HaproxyControl, StateStore

Build = Callable[[Sequence[ContainerSpec]], RoutingModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A service as it was when HAProxy rejected it, and why."""

    specs: tuple[ContainerSpec, ...]
    accusation: Accusation


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A state that HAProxy accepts. `folder` is None when it is what runs already, file by file."""

    desired: DesiredState
    folder: Path | None
    problems: tuple[Problem, ...]


class Admission:
    """Checks candidates, and remembers whom HAProxy has rejected."""

    def __init__(self, renderer: Renderer, store: StateStore, haproxy: HaproxyControl) -> None:
        self._renderer = renderer
        self._store = store
        self._haproxy = haproxy
        self._rejected: dict[str, Rejected] = {}

    def admit(self, specs: Sequence[ContainerSpec], build: Build, running: DesiredState | None) -> Candidate:
        """Return a candidate with every service of `specs` that HAProxy accepts.

        Raises ConfigCheckError when HAProxy refuses even a configuration without services: the proxy's own settings.
        """
        groups = label_specs(specs)
        self._rejected = {label: known for label, known in self._rejected.items() if groups.get(label) == known.specs}
        while True:
            served = [spec for spec in specs if spec.label not in self._rejected]
            desired = self._renderer.render(build(served))
            if running and desired.files == running.files:
                return self._candidate(desired, None)
            folder = self._store.write_candidate(desired.files)
            try:
                self._haproxy.check(folder / CONFIG_FILE)
            except ConfigCheckError as error:
                self._store.discard(folder)
                self._reject(self._find_culprits(error, desired, served, build), groups)
            else:
                return self._candidate(desired, folder)

    def accuse(self, messages: Sequence[str], desired: DesiredState, specs: Sequence[ContainerSpec]) -> bool:
        """Reject the services that `messages` of a failed reload lead to; False when they lead to none."""
        groups = label_specs(specs)
        culprits = {label: why for label, why in blame(messages, desired).items() if label in groups}
        self._reject(culprits, groups)
        return bool(culprits)

    def _candidate(self, desired: DesiredState, folder: Path | None) -> Candidate:
        problems = tuple(_rejection(label, known) for label, known in sorted(self._rejected.items()))
        return Candidate(desired=desired, folder=folder, problems=(*desired.model.problems, *problems))

    def _reject(self, culprits: Mapping[str, Accusation], groups: Mapping[str, tuple[ContainerSpec, ...]]) -> None:
        self._rejected |= {
            label: Rejected(specs=groups[label], accusation=accusation) for label, accusation in culprits.items()
        }

    def _find_culprits(
        self, error: ConfigCheckError, desired: DesiredState, served: Sequence[ContainerSpec], build: Build
    ) -> Mapping[str, Accusation]:
        """Return who is at fault and why, never empty; raises `error` when no service is."""
        groups = label_specs(served)
        accused = {label: why for label, why in blame(error.messages, desired).items() if label in groups}
        if not groups or self._refusal([], groups, build):
            raise error
        if len(accused) == 1:
            return accused
        guilty = self._bisect(sorted(accused), groups, build) or self._bisect(sorted(groups), groups, build)
        if not guilty:
            raise error
        return {label: accused.get(label, why) for label, why in guilty.items()}

    def _bisect(
        self, suspects: Sequence[str], groups: Mapping[str, tuple[ContainerSpec, ...]], build: Build
    ) -> Mapping[str, Accusation]:
        """Return the suspects that HAProxy refuses on their own; all of them when only their sum is refused."""
        refusal = self._refusal(suspects, groups, build) if suspects else None
        if not refusal:
            return {}
        if len(suspects) == 1:
            return {suspects[0]: refusal}
        half = len(suspects) // 2
        guilty = {**self._bisect(suspects[:half], groups, build), **self._bisect(suspects[half:], groups, build)}
        return guilty or dict.fromkeys(suspects, refusal)

    def _refusal(
        self, labels: Sequence[str], groups: Mapping[str, tuple[ContainerSpec, ...]], build: Build
    ) -> Accusation | None:
        """Return why HAProxy refuses a configuration with just these services; None if it takes it."""
        desired = self._renderer.render(build([spec for label in labels for spec in groups[label]]))
        folder = self._store.write_candidate(desired.files)
        try:
            self._haproxy.check(folder / CONFIG_FILE)
        except ConfigCheckError as error:
            found = blame(error.messages, desired)
            return next((found[label] for label in labels if label in found), Accusation(message=str(error)))
        finally:
            self._store.discard(folder)
        return None


def _rejection(label: str, rejected: Rejected) -> Problem:
    container, setting, value = find_setting(rejected.specs, rejected.accusation)
    return Problem(
        service=label,
        container=container or rejected.specs[0].container.name,
        setting=setting,
        value=shorten(value),
        reason=f"left out, HAProxy rejects it: {rejected.accusation.message}",
    )
