"""Which services HAProxy accepts. A service that HAProxy refuses is left out until it changes, so that it hurts no other. If
only a new version of it is refused, the containers of the old version stay.

In: specs of services. Out: those that may take part now. Settings that HAProxy has not accepted before are checked in the
background, all that wait in one check, and only if that is refused one by one. Until then the service goes on as it was.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from proxy.controller.config_check import Culprits
from proxy.core.containers.containers import State
from proxy.core.haproxy.blame import Accusation, find_setting, hide_values
from proxy.core.labels.specs import BackendSettings, ContainerSpec
from proxy.core.model.service_table import Specs
from proxy.errors import Problem, shorten


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refused:
    specs: Specs
    accusation: Accusation


class ServiceChecks:
    """Remembers which settings HAProxy accepts, and which services it refuses, for as long as they are there."""

    def __init__(self, plain: Iterable[BackendSettings] = (), variables: Mapping[str, str] | None = None) -> None:
        """`plain` are settings that HAProxy accepts. `variables` are texts of the proxy that stand on server lines."""
        self._variables = variables or {}
        self._plain = frozenset(plain)
        self._refused: dict[str, _Refused] = {}
        self._accepted: set[BackendSettings] = set(self._plain)
        self._users: Counter[BackendSettings] = Counter()
        self._settings: dict[str, frozenset[BackendSettings]] = {}
        self._waiting: dict[str, Specs] = {}
        self._failure = ""

    def review(self, label: str, specs: Specs, present: Specs, *, is_checked_as_a_whole: bool) -> Specs:
        """Return the specs of a service that take part now, of which `present` are those that do already.

        Those with settings that are still to be checked wait. With `is_checked_as_a_whole` nobody waits.
        """
        self._count(label, specs)
        self._waiting.pop(label, None)
        accepted = tuple(spec for spec in specs if is_checked_as_a_whole or spec.settings in self._accepted)
        known = self._refused.get(label)
        if known and identity(known.specs) == identity(accepted):
            return ()
        if known and identity(known.specs) == identity(specs):
            return accepted
        if accepted != specs:
            self._waiting[label] = specs
        if known and specs and not accepted and identity(known.specs) == identity(present):
            return ()
        self._refused.pop(label, None)
        return accepted or (_as_before(present, specs) if specs else ())

    def waiting(self) -> Mapping[str, Specs]:
        """Return the services whose settings are still to be checked."""
        return {**self._waiting}

    def accept(self, specs: Iterable[ContainerSpec]) -> None:
        """Remember that HAProxy takes the settings of these, as long as somebody has them."""
        self._accepted |= {spec.settings for spec in specs if self._users[spec.settings]}

    def take_result(self, checked: Mapping[str, Specs], culprits: Culprits) -> set[str]:
        """Take in how a check has ended; return the services that are to be reviewed."""
        self._failure = ""
        self.accept(spec for label, specs in checked.items() if label not in culprits for spec in specs)
        self.refuse(culprits, checked)
        return {*checked}

    def note_failure(self, reason: str) -> None:
        """Note that the check could not be run: those who wait go on waiting."""
        self._failure = reason

    def refuse(self, culprits: Culprits, groups: Mapping[str, Specs]) -> None:
        """Leave services out until their containers change."""
        for label, accusation in culprits.items():
            self._refused[label] = _Refused(specs=groups[label], accusation=accusation)

    def problems(self) -> Sequence[Problem]:
        """Tell of everybody who is left out, with the setting that HAProxy's words lead to."""
        refused = [_refusal(label, refused, self._variables) for label, refused in self._refused.items()]
        if not self._failure:
            return refused
        reason = f"its settings could not be checked: {self._failure}. The check is tried again"
        return [*refused, *(Problem(service=label, reason=reason) for label in self._waiting)]

    def _count(self, label: str, specs: Specs) -> None:
        """Keep what is known of settings only as long as a service has them."""
        before = self._settings.pop(label, frozenset())
        after = frozenset(spec.settings for spec in specs) - self._plain
        if after:
            self._settings[label] = after
        self._users.update(after)
        self._users.subtract(before)
        for settings in before - after:
            if not self._users[settings]:
                del self._users[settings]
                self._accepted.discard(settings)


def identity(specs: Specs) -> object:
    """What has to change before a refused service is tried again; a change of address or health does not count."""
    return [(spec.container.id, spec.container.labels, spec.container.environment) for spec in specs]


def _as_before(present: Specs, specs: Specs) -> Specs:
    """Return `present` as it is now: containers that are no more keep their routes and have no server."""
    found = {spec.container.id: spec for spec in specs}
    return tuple(_update(spec, found.get(spec.container.id)) for spec in present)


def _update(spec: ContainerSpec, now: ContainerSpec | None) -> ContainerSpec:
    """Return the spec with the place and the state that its container has `now`."""
    if now is None:
        return dataclasses.replace(spec, container=dataclasses.replace(spec.container, state=State.STOPPED))
    new = now.container
    container = dataclasses.replace(
        spec.container, state=new.state, health=new.health, address=new.address, networks=new.networks
    )
    return dataclasses.replace(spec, container=container, waiting_ports=now.waiting_ports, is_last_resort=now.is_last_resort)


def _refusal(label: str, refused: _Refused, variables: Mapping[str, str]) -> Problem:
    container, setting, value = find_setting(refused.specs, refused.accusation)
    if not setting:
        found = (f"{name} of the proxy" for name, text in variables.items() if text and text in refused.accusation.line)
        setting = next(found, "")
    return Problem(
        service=label,
        container=container or refused.specs[0].container.place,
        setting=setting,
        value=shorten(value),
        reason=f"left out, HAProxy rejects it: {hide_values(refused.specs, refused.accusation.message)}",
    )
