"""Checks of configurations with `haproxy -c`, and who is at fault where one is refused. It runs in the background.

In: services by label. Out: the culprits, each with what HAProxy says. HAProxy's own words lead to most of them; where they
do not, the services are checked in halves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from proxy.controller.ports import HaproxyControl, StateStore
from proxy.core.haproxy.blame import Accusation, blame
from proxy.core.haproxy.file_names import CONFIG_FILE
from proxy.core.haproxy.rendering import DesiredState, Renderer
from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.model import RoutingModel
from proxy.core.model.service_table import Specs
from proxy.errors import ConfigCheckError

Build = Callable[[Sequence[ContainerSpec]], RoutingModel]
Culprits = Mapping[str, Accusation]


class ConfigCheck:
    """Checks what a set of services comes to. Raises CheckNotRunError or StateError where that cannot be found out."""

    def __init__(self, renderer: Renderer, store: StateStore, haproxy: HaproxyControl) -> None:
        self._renderer = renderer
        self._store = store
        self._haproxy = haproxy

    def find_culprits(self, groups: Mapping[str, Specs], build: Build) -> Culprits:
        """Return which of these services HAProxy refuses, and why: none where it accepts all of them together.

        Raises ConfigCheckError when HAProxy refuses even a configuration without any service.
        """
        found: dict[str, Accusation] = {}
        while refusal := self._refusal(groups, build):
            error, state = refusal
            if not groups or self._refusal({}, build):
                raise error
            accused = {label: why for label, why in blame(error.messages, state).items() if label in groups}
            guilty = accused if len(accused) == 1 else self._halve(accused or groups, groups, build)
            guilty = guilty or self._halve(groups, groups, build)
            if not guilty:
                raise error
            found |= {label: accused.get(label, why) for label, why in guilty.items()}
            groups = {label: specs for label, specs in groups.items() if label not in found}
        return found

    def check(self, files: Mapping[str, str]) -> None:
        """Raise ConfigCheckError unless HAProxy would load these files."""
        folder = self._store.write_scratch(files)
        try:
            self._haproxy.check(folder / CONFIG_FILE)
        finally:
            self._store.discard(folder)

    def _halve(self, suspects: Mapping[str, object], groups: Mapping[str, Specs], build: Build) -> dict[str, Accusation]:
        """Return the suspects that HAProxy refuses by themselves; all of them when only their sum is refused."""
        labels = sorted(suspects)
        refusal = self._refusal({label: groups[label] for label in labels}, build) if labels else None
        if not refusal:
            return {}
        error, state = refusal
        said = blame(error.messages, state)
        if len(labels) == 1:
            return {labels[0]: said.get(labels[0], Accusation(message=str(error)))}
        half = len(labels) // 2
        guilty = {
            **self._halve(dict.fromkeys(labels[:half]), groups, build),
            **self._halve(dict.fromkeys(labels[half:]), groups, build),
        }
        return guilty or {label: said.get(label, Accusation(message=str(error))) for label in labels}

    def _refusal(self, groups: Mapping[str, Specs], build: Build) -> tuple[ConfigCheckError, DesiredState] | None:
        """Return why HAProxy refuses a configuration with just these services; None if it takes it."""
        state = self._renderer.render(build([spec for label in sorted(groups) for spec in groups[label]]))
        try:
            self.check(state.files)
        except ConfigCheckError as error:
            return error, state
        return None
