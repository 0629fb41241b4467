"""Puts the controller together from its ports; the same for the program and for tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proxy.controller.check_jobs import OwnFilesJobs, ServiceCheckJobs
from proxy.controller.config_check import ConfigCheck
from proxy.controller.desired_model import DesiredModel
from proxy.controller.haproxy_state import HaproxyState
from proxy.controller.health_jobs import HealthJobs
from proxy.controller.inspection import Inspector
from proxy.controller.loading import Loader
from proxy.controller.model_loads import ModelLoads
from proxy.controller.observation import Observation
from proxy.controller.pending import Pending
from proxy.controller.ports import Background, HaproxyControl, Prober, Runtime, StateStore
from proxy.controller.reconciler import Jobs, Reconciler
from proxy.controller.service_checks import ServiceChecks
from proxy.core.haproxy.rendering import Renderer
from proxy.core.labels.simple_routing import plain_settings
from proxy.core.labels.specs import PLAIN_SETTINGS
from proxy.core.model.own_files import OwnFiles
from proxy.settings import RoutingMode, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the controller needs of the world. `clock` is monotonic, `wall_clock` counts from the epoch; both in seconds.

    `files` and `checks` are two threads. Each thread has a renderer of its own, for it keeps texts.
    """

    control: HaproxyControl
    runtime: Runtime
    store: StateStore
    prober: Prober
    files: Background
    checks: Background
    make_renderer: Callable[[], Renderer]
    read_own_files: Callable[[], OwnFiles]
    clock: Callable[[], float]
    wall_clock: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """What runs passes, and what looks without changing anything."""

    reconciler: Reconciler
    inspector: Inspector
    desired: DesiredModel
    pending: Pending


def assemble(settings: Settings, observation: Observation, ports: Ports) -> Controller:
    """Return a controller that has not looked at anything yet."""
    pending, checks = Pending(), _make_checks(settings)
    clock, wall_clock, prober = ports.clock, ports.wall_clock, ports.prober
    desired = DesiredModel(
        observation=observation, checks=checks, prober=prober, settings=settings, clock=clock, wall_clock=wall_clock
    )
    check, renderer = ConfigCheck(ports.make_renderer(), ports.store, ports.control), ports.make_renderer()
    haproxy = HaproxyState(renderer=renderer, store=ports.store, runtime=ports.runtime, wall_clock=wall_clock)
    loader = Loader(renderer=ports.make_renderer(), store=ports.store, haproxy=ports.control, runtime=ports.runtime)
    jobs = Jobs(
        own_files=OwnFilesJobs(
            read=ports.read_own_files, desired=desired, background=ports.checks, pending=pending, clock=clock
        ),
        services=ServiceCheckJobs(
            checks=checks, check=check, desired=desired, background=ports.checks, pending=pending, clock=clock
        ),
        loads=ModelLoads(
            loader=loader,
            check=check,
            desired=desired,
            haproxy=haproxy,
            pending=pending,
            files=ports.files,
            checks=ports.checks,
            clock=clock,
        ),
        health=HealthJobs(servers=desired.servers, runtime=ports.runtime, background=ports.checks, clock=ports.clock),
        threads=(ports.files, ports.checks),
    )
    return Controller(
        reconciler=Reconciler(
            desired=desired, haproxy=haproxy, control=ports.control, pending=pending, jobs=jobs, clock=clock
        ),
        inspector=Inspector(
            desired=desired, check=check, renderer=renderer, own_files=ports.read_own_files, control=ports.control
        ),
        desired=desired,
        pending=pending,
    )


def _make_checks(settings: Settings) -> ServiceChecks:
    """Return the checks of services. HAProxy accepts the settings of a service that asks for nothing."""
    routing = settings.routing
    variables = {"EXTRA_ROUTE_SETTINGS": routing.extra_route_settings, "HEALTH_CHECK": routing.health_check or ""}
    plain = plain_settings(routing.simple) if routing.routing_mode is RoutingMode.SIMPLE else PLAIN_SETTINGS
    return ServiceChecks([plain], variables)
