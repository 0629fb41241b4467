"""Which services HAProxy admits. One container never hurts another: whom HAProxy rejects is left out until it changes.

In: specs of services. Out: accusations. A service whose settings HAProxy has not seen yet is checked alone before it
takes part; when a whole configuration is refused all the same, HAProxy's words tell who is at fault, or bisection does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from proxy.controller.ports import HaproxyControl, StateStore
from proxy.core.haproxy.blame import Accusation, blame, find_setting
from proxy.core.haproxy.rendering import CONFIG_FILE, DesiredState, Renderer
from proxy.core.labels.labels import ContainerSpec
from proxy.core.model.model import RoutingModel
from proxy.core.model.service_table import Specs
from proxy.errors import ConfigCheckError, Problem, shorten

Build = Callable[[Sequence[ContainerSpec]], RoutingModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rejected:
    specs: Specs
    accusation: Accusation


class ServiceChecks:
    """Checks services, and remembers whom HAProxy has rejected and which settings it has accepted."""

    def __init__(self, renderer: Renderer, store: StateStore, haproxy: HaproxyControl) -> None:
        self._renderer = renderer
        self._store = store
        self._haproxy = haproxy
        self._rejected: dict[str, _Rejected] = {}
        self._accepted: set[object] = set()

    def review(self, label: str, specs: Specs, build: Build | None) -> Specs:
        """Return the specs of a service as they may take part: all of them, or none.

        With `build`, settings that HAProxy has not accepted before are checked now.
        """
        known = self._rejected.get(label)
        if known and _labels(known.specs) == _labels(specs):
            return ()
        self._rejected.pop(label, None)
        if build and specs and not self._is_accepted(specs):
            accusation = self._refusal([label], {label: specs}, build)
            if accusation:
                self._rejected[label] = _Rejected(specs=specs, accusation=accusation)
                return ()
            self.accept(specs)
        return specs

    def accept(self, specs: Sequence[ContainerSpec]) -> None:
        """Remember that HAProxy takes the settings of these."""
        self._accepted |= {spec.settings for spec in specs}

    def reject(self, culprits: Mapping[str, Accusation], groups: Mapping[str, Specs]) -> None:
        """Leave services out until their containers change."""
        for label, accusation in culprits.items():
            self._rejected[label] = _Rejected(specs=groups[label], accusation=accusation)

    def problems(self) -> Sequence[Problem]:
        """Tell of everybody who is left out, with the setting that HAProxy's words lead to."""
        return [_rejection(label, rejected) for label, rejected in self._rejected.items()]

    def find_culprits(
        self, error: ConfigCheckError, desired: DesiredState, groups: Mapping[str, Specs], build: Build
    ) -> Mapping[str, Accusation]:
        """Return who is at fault and why, never empty; raises `error` when no service is."""
        accused = {label: why for label, why in blame(error.messages, desired).items() if label in groups}
        if not groups or self._refusal([], groups, build):
            raise error
        if len(accused) == 1:
            return accused
        guilty = self._bisect(sorted(accused), groups, build) or self._bisect(sorted(groups), groups, build)
        if not guilty:
            raise error
        return {label: accused.get(label, why) for label, why in guilty.items()}

    def _is_accepted(self, specs: Specs) -> bool:
        return all(spec.settings in self._accepted for spec in specs)

    def _bisect(self, suspects: Sequence[str], groups: Mapping[str, Specs], build: Build) -> Mapping[str, Accusation]:
        """Return the suspects that HAProxy refuses on their own; all of them when only their sum is refused."""
        refusal = self._refusal(suspects, groups, build) if suspects else None
        if not refusal:
            return {}
        if len(suspects) == 1:
            return {suspects[0]: refusal}
        half = len(suspects) // 2
        guilty = {**self._bisect(suspects[:half], groups, build), **self._bisect(suspects[half:], groups, build)}
        return guilty or dict.fromkeys(suspects, refusal)

    def _refusal(self, labels: Sequence[str], groups: Mapping[str, Specs], build: Build) -> Accusation | None:
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


def _labels(specs: Specs) -> object:
    """What has to change before a rejected service is tried again; a change of address or health is none."""
    return [(spec.container.id, spec.container.labels, spec.container.environment) for spec in specs]


def _rejection(label: str, rejected: _Rejected) -> Problem:
    container, setting, value = find_setting(rejected.specs, rejected.accusation)
    return Problem(
        service=label,
        container=container or rejected.specs[0].container.name,
        setting=setting,
        value=shorten(value),
        reason=f"left out, HAProxy rejects it: {rejected.accusation.message}",
    )
