"""Build the whole routing model of a set of specs in one step.

In: specs, the proxy's own container, its certificates, settings. Out: `RoutingModel`. Equal sets give equal models, in
whatever order they come. The result is the same as that of a `ModelIndex` that has received every change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from proxy.core.containers.containers import Container, ProxyContainer, State
from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.model import RoutingModel
from proxy.core.model.model_index import ModelIndex
from proxy.core.model.service_table import label_specs
from proxy.core.model.services import is_in_scope
from proxy.errors import Problem
from proxy.settings import Scope, Settings


def build_routing_model(
    specs: Iterable[ContainerSpec], proxy: ProxyContainer | None, certificates: ProxyCertificates, settings: Settings
) -> RoutingModel:
    """Build the model. Stopped containers and those out of scope are left out; the latter are listed in `notes`."""
    candidates = tuple(specs)
    scope = settings.routing.scope
    index = ModelIndex(settings, proxy, certificates)
    index.update(label_specs(spec for spec in candidates if is_served(spec, proxy, scope)))
    outside = (spec for spec in candidates if not is_in_scope(spec.container, proxy, scope))
    notes = {out_of_scope(spec.container, spec.label, proxy) for spec in outside}
    return dataclasses.replace(index.model(), notes=tuple(sorted(notes)))


def is_served(spec: ContainerSpec, proxy: ProxyContainer | None, scope: Scope) -> bool:
    """Say whether a container that asks for a route takes part: it is not stopped, and it is in scope."""
    return spec.container.state is not State.STOPPED and is_in_scope(spec.container, proxy, scope)


def out_of_scope(container: Container, label: str, proxy: ProxyContainer | None) -> Problem:
    """Return a note that says why a container outside the scope is not routed, and how to change that."""
    own = f"project {proxy.project!r}" if proxy and proxy.project else "the proxy"
    has_project = bool(container.project)
    advice = f"add {label} to ADDITIONAL_SERVICES, or set it to *" if has_project else "set ADDITIONAL_SERVICES to *"
    return Problem(service=label, container=container.place, reason=f"is outside the scope of {own}; {advice}", is_note=True)
