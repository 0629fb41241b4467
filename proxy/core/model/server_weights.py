"""How services that share an address share its visitors: from weights of services to weights of HAProxy's servers.

In: the servers of one backend, each with the spec that it comes from. Out: the same servers with weights. A service gets
the share that its weight says, however many containers it has. So its weight is divided among its servers.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TypeVar

from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.model import Server, ServerState
from proxy.grammar.values import DEFAULT_WEIGHT

Name = TypeVar("Name")

HAPROXY_MAX_WEIGHT = 256
NO_WEIGHT = "its weight is 0"
"""The reason of a server that gets no visitors because the weight of its service is 0."""


def weigh(owned: Sequence[tuple[Server, ContainerSpec]], *, is_sticky: bool) -> list[Server]:
    """Return the servers with weights; unchanged if no service has a weight.

    With `is_sticky`, servers of weight 0 are put in maintenance. HAProxy would still follow cookies to them (manual,
    `weight`), but their visitors should move to other servers.
    """
    if all(spec.settings.weight is None for _, spec in owned):
        return [server for server, _ in owned]
    wanted = {_service_of(spec): _weight_of(spec) for _, spec in owned}
    serving = Counter(_service_of(spec) for server, spec in owned if server.state is ServerState.READY)
    present = Counter(_service_of(spec) for _, spec in owned)
    given = share_out({name: (weight, serving[name] or present[name]) for name, weight in wanted.items()})
    weighed = []
    for server, spec in owned:
        changed = dataclasses.replace(server, weight=given[_service_of(spec)], service_weight=wanted[_service_of(spec)])
        if is_sticky and not changed.weight and server.state is ServerState.READY:
            changed = dataclasses.replace(changed, state=ServerState.MAINT, reason=NO_WEIGHT)
        weighed.append(changed)
    return weighed


def share_out(services: Mapping[Name, tuple[int, int]]) -> Mapping[Name, int]:
    """Return the weight of each server of a service. Each service is given as (its weight, the number of its servers).

    The weights are the smallest whole numbers up to 256 with the smallest error. Only a weight of 0 gives 0.
    """
    common = math.lcm(*(count for _, count in services.values()))
    units = {name: weight * common // count for name, (weight, count) in services.items()}
    largest = max(units.values())
    if not largest:
        return dict.fromkeys(units, 0)
    scale = min(range(1, HAPROXY_MAX_WEIGHT + 1), key=lambda scale: (_error(units.values(), largest, scale), scale))
    return {name: _scaled(unit, largest, scale) for name, unit in units.items()}


def _service_of(spec: ContainerSpec) -> tuple[str, str]:
    """Return whose weight it is. In simple routing it is the weight of all ports of a service together."""
    return spec.project, spec.service


def _weight_of(spec: ContainerSpec) -> int:
    return DEFAULT_WEIGHT if spec.settings.weight is None else spec.settings.weight


def _scaled(unit: int, largest: int, scale: int) -> int:
    return max(1, (2 * unit * scale + largest) // (2 * largest)) if unit else 0


def _error(units: Iterable[int], largest: int, scale: int) -> Fraction:
    """Return the largest relative deviation of a weight from the exact share."""
    return max(abs(Fraction(_scaled(unit, largest, scale) * largest, unit * scale) - 1) for unit in units if unit)
