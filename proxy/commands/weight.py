"""The command `weight`: shows or changes the share of the visitors that a service gets, while the proxy runs.

In: a service and a weight. Out: a new version of the file that the controller reads, and a signal to read it. The command
returns when the controller has updated HAProxy.
"""

from __future__ import annotations

import argparse
import difflib
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from proxy.adapters.engine.service_labels import ServiceLabels
from proxy.adapters.files.kept_files import KeptFiles
from proxy.adapters.files.status_file import Status, read_status
from proxy.adapters.files.weight_file import WEIGHT_FILE, read_weights, write_weights
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.commands.exit_codes import NO_ANSWER, OK, PROBLEMS, SETTINGS_WRONG
from proxy.controller.observation import Observation
from proxy.core.labels import simple_routing
from proxy.core.labels.labels import parse_container, service_label, service_of
from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.services import is_in_scope
from proxy.grammar.values import DEFAULT_WEIGHT, parse_weight
from proxy.printable import printable
from proxy.settings import RoutingMode, Settings
from proxy.source_wiring import make_cluster, make_sources, make_swarm, weight_label

WAIT_SECONDS = 90.0
POLL_SECONDS = 0.05
DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Services:
    """All services that can have a weight: the weight of each (None if no label sets one), and every name of a service.

    `short_names` are the names without the project, which several services may share.
    """

    weights: Mapping[str, int | None]
    names: Mapping[str, str]
    short_names: Mapping[str, frozenset[str]]

    def find(self, name: str) -> str:
        """Return the service with this name, or the only one with this short name. Raises ValueError with advice."""
        if name in self.names:
            return self.names[name]
        found = sorted(self.short_names.get(name, ()))
        if len(found) > 1:
            raise ValueError(f"{name!r} is the name of several services; write {' or '.join(found)}")
        if found:
            return found[0]
        similar = difflib.get_close_matches(name, self.weights, n=3, cutoff=0.4) or sorted(self.weights)[:3]
        hint = f"there is {', '.join(similar)}; `proxy weight` lists all" if similar else "no service is routed"
        raise ValueError(f"there is no service {name!r}; {hint}")


def weight(options: argparse.Namespace, settings: Settings, environment: Mapping[str, str]) -> int:
    """Set the weight of a service and wait until it is in force. Without arguments, list all weights."""
    services = _read_services(settings, environment)
    path = settings.runtime.state_folder / WEIGHT_FILE
    kept = dict(read_weights(path))
    if options.service is None:
        print(tabulate(_rows(services, kept), headers=["service", "weight", "set by"], tablefmt="plain"))
        return OK
    try:
        service = services.find(options.service)
    except ValueError as error:
        return _fail(str(error), PROBLEMS)
    if options.weight is None:
        return _fail(
            f"the weight is missing; write `proxy weight {service} N`, or `proxy weight {service} default`", SETTINGS_WRONG
        )
    kept.pop(service, None)
    try:
        if options.weight != DEFAULT:
            kept[service] = parse_weight(options.weight)
    except ValueError as error:
        return _fail(f"weight {options.weight!r} {error}; write such a number, or the word {DEFAULT!r}", SETTINGS_WRONG)
    write_weights(path, kept)
    return _wait_until_applied(settings.runtime.state_folder, f"{service}: weight {options.weight}")


def _read_services(settings: Settings, environment: Mapping[str, str]) -> _Services:
    kept = KeptFiles(settings.runtime.state_folder, is_read_only=True)
    layout, swarm = StateLayout(folder=settings.runtime.state_folder), make_swarm(settings, environment, None)
    cluster = make_cluster(settings, environment, layout.runtime_socket, swarm, is_controller=False)
    sources = make_sources(settings, environment, kept, swarm)
    world = Observation([*sources, cluster.source] if cluster else sources, [ServiceLabels(swarm)])
    containers = world.observe(is_resync=True).values()
    weights: dict[str, int | None] = {}
    names: dict[str, str] = {}
    short_names: dict[str, frozenset[str]] = {}
    for container in containers:
        if container is None or not is_in_scope(container, world.proxy(), settings.routing.scope):
            continue
        specs: tuple[ContainerSpec | None, ...]
        if settings.routing.routing_mode is RoutingMode.SIMPLE:
            specs, _ = simple_routing.parse_container(container, settings.routing.simple)
        else:
            specs = parse_container(container, extra_settings=settings.routing.extra_settings)[:1]
        service = service_label(container)
        for spec in filter(None, specs):
            weights[service] = spec.settings.weight if weight_label(settings) in container.labels else None
            names |= {spec.label: service, service: service}
            short = service_of(container)
            short_names[short] = short_names.get(short, frozenset()) | {service}
    return _Services(weights=weights, names=names, short_names=short_names)


def _rows(services: _Services, kept: Mapping[str, int]) -> list[tuple[str, int, str]]:
    def row(service: str, of_label: int | None) -> tuple[str, int, str]:
        if service in kept:
            return service, kept[service], "proxy weight"
        return (service, DEFAULT_WEIGHT, DEFAULT) if of_label is None else (service, of_label, "label")

    rows = (row(service, of_label) for service, of_label in sorted(services.weights.items()))
    return [(printable(service), number, origin) for service, number, origin in rows]


def _wait_until_applied(folder: Path, done: str) -> int:
    """Wait for the end of a pass that began after this call. That pass has read and applied the file."""
    written = time.time()
    before = read_status(folder)
    if before is None or not _wake(before.pid):
        return _fail(f"{done}; the weight is saved, but no controller runs here; start `proxy run`", NO_ANSWER)
    deadline = time.monotonic() + WAIT_SECONDS
    status: Status | None = before
    while time.monotonic() < deadline:
        status = read_status(folder)
        if status and status.began >= written:
            print(printable(f"{done} ({status.sentence})"))
            return OK if status.is_success else PROBLEMS
        time.sleep(POLL_SECONDS)
    return _fail(
        f"{done}; the weight is saved, but the controller has not applied it in {WAIT_SECONDS:g} s; see its log", NO_ANSWER
    )


def _wake(pid: int) -> bool:
    """Tell the controller to read again; return whether it exists. If it is another user's, it reads at its next pass."""
    try:
        os.kill(pid, signal.SIGUSR2)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _fail(message: str, code: int) -> int:
    print(f"proxy: {printable(message)}", file=sys.stderr)
    return code
