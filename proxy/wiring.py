"""Builds all objects of a run from the settings. Only here do core, adapters and the loop meet.

In: `Settings` and the environment. Out: the controller's parts. Nothing runs until the caller starts it.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from proxy.adapters.cluster.parts import Cluster
from proxy.adapters.engine.service_labels import ServiceLabels
from proxy.adapters.engine.swarm_managers import SwarmManagers
from proxy.adapters.files.certificate_files import CertificateFiles
from proxy.adapters.files.file_watcher import FileWatcher
from proxy.adapters.files.host_names import HostNames
from proxy.adapters.files.kept_files import KeptFiles
from proxy.adapters.files.own_files import OwnFileReader
from proxy.adapters.files.status_file import StatusFile
from proxy.adapters.haproxy.haproxy_process import HaproxyControl, HaproxyProgram
from proxy.adapters.haproxy.process_signals import HAPROXY_STARTED, SUPERVISOR_VARIABLE
from proxy.adapters.haproxy.running_files import read_running_files
from proxy.adapters.haproxy.runtime_api import RuntimeApi
from proxy.adapters.haproxy.runtime_socket import MasterSocket, RuntimeSocket
from proxy.adapters.haproxy.state_files import StateFiles
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.adapters.haproxy.system_limits import fit_to_system
from proxy.adapters.probes.connect_prober import ConnectProber
from proxy.controller.assembly import Ports, assemble
from proxy.controller.background import AtOnce, Background
from proxy.controller.daemon import Daemon, TriggerQueue, put_signals
from proxy.controller.inspection import Inspector
from proxy.controller.observation import Observation
from proxy.controller.ports import ContainerSource, Overlay
from proxy.controller.reconciler import Reconciler
from proxy.controller.reporting import Reporter, make_pass
from proxy.controller.schedule import Schedule, ScheduleSettings
from proxy.core.haproxy.file_names import CERTIFICATE_FOLDER
from proxy.core.haproxy.own_lines import Substitutes
from proxy.core.haproxy.rendering import Paths, Renderer
from proxy.core.labels.misspellings import find_own_misspellings
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.trigger import Trigger, TriggerKind
from proxy.errors import SettingsError, TemplateError
from proxy.settings import RoutingMode, Settings
from proxy.source_wiring import make_cluster, make_overlays, make_sources, make_swarm

logger = logging.getLogger(__name__)

COLLECTOR_THRESHOLDS = (20_000, 50, 100)
"""During a cold start, Python's garbage collector walks again and again over all ten thousand containers. With its default
thresholds this is a third of the time. The objects that this program drops are not in cycles."""
PATIENCE_SECONDS = 30.0
"""How long a proxy that serves its last good state waits for a source that does not answer, beside others that do."""
SWITCH_SECONDS = 0.0005
"""How long the deciding thread waits, at each answer of a socket, for a thread that renders files. With Python's default of
5 ms, the sum would be longer than a whole pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The objects that a pass needs, and the one that looks without changing anything."""

    reconciler: Reconciler
    inspector: Inspector
    sources: Sequence[ContainerSource]
    cluster: Cluster | None
    swarm: SwarmManagers
    files: StateFiles
    """Holds the lock of the state folder until it is closed."""


def make_parts(
    settings: Settings, environment: Mapping[str, str], state_folder: Path, put: Callable[[Trigger], None] | None
) -> Parts:
    """Build everything that a pass needs, for `state_folder`. Raises SettingsError or StateError.

    `put` gets a trigger when a job in the background has ended. Without it, jobs run at once in the thread that asks.
    """
    settings = fit_to_system(settings)
    layout = StateLayout(folder=state_folder)
    kept = KeptFiles(settings.runtime.state_folder, is_read_only=put is None)
    control, swarm = _make_control(settings, environment, layout), make_swarm(settings, environment, put)
    sources = make_sources(settings, environment, kept, swarm)
    cluster = make_cluster(settings, environment, layout.runtime_socket, swarm, is_controller=put is not None)
    sources = [*sources, cluster.source] if cluster else sources
    store = StateFiles(layout)
    own_files = _make_own_files(settings, kept, _previous_files(settings, layout, store), put)
    files, checks = (Background("files", put), Background("checks", put)) if put else (AtOnce(), AtOnce())
    ports = Ports(
        control=control,
        runtime=RuntimeApi(RuntimeSocket(layout.runtime_socket)),
        store=store,
        prober=ConnectProber(put or _ignore),
        files=files,
        checks=checks,
        make_renderer=partial(_make_renderer, settings, layout, kept, own_files.substitutes, cluster),
        read_own_files=own_files.read,
        clock=time.monotonic,
        wall_clock=time.time,
    )
    overlays = make_overlays(settings, environment, put)
    observation = _make_observation(sources, overlays, swarm, has_state=layout.current.exists())
    controller = assemble(settings, observation, ports)
    return Parts(
        reconciler=controller.reconciler,
        inspector=controller.inspector,
        sources=sources,
        cluster=cluster,
        swarm=swarm,
        files=store,
    )


def _make_observation(
    sources: Sequence[ContainerSource], overlays: Sequence[Overlay], swarm: SwarmManagers, *, has_state: bool
) -> Observation:
    """Return the sources with everything that is laid over them, the labels of Swarm services first."""
    # Until then the last good state is served, which may have routes of a source that is not there yet.
    patient_until = time.monotonic() + PATIENCE_SECONDS if has_state else 0.0

    def is_patient() -> bool:
        return time.monotonic() < patient_until

    service_labels = ServiceLabels(swarm, is_patient)
    return Observation(sources, [service_labels, *overlays], needs_all=is_patient, notes=service_labels.notes)


def _previous_files(settings: Settings, layout: StateLayout, store: StateFiles) -> Mapping[str, str]:
    """Return the files that HAProxy runs from; a command builds in a folder of its own."""
    running = StateLayout(folder=settings.runtime.state_folder)
    return (store.read_current() if layout == running else read_running_files(running)) or {}


def _make_control(settings: Settings, environment: Mapping[str, str], layout: StateLayout) -> HaproxyControl:
    program = HaproxyProgram(settings.runtime.haproxy_binary, environment)
    supervisor = int(environment.get(SUPERVISOR_VARIABLE, 0))
    return HaproxyControl(program, MasterSocket(layout.master_socket), layout.server_state, supervisor)


def _make_renderer(
    settings: Settings,
    layout: StateLayout,
    kept: KeptFiles,
    substitutes: Callable[[], Substitutes],
    cluster: Cluster | None,
) -> Renderer:
    folder = settings.runtime.templates_folder
    templates = FileSystemLoader([folder, kept.copy_of(folder)])
    return Renderer(
        Environment(loader=templates, undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False),
        settings,
        Paths(runtime_socket=layout.runtime_socket, server_state=layout.server_state),
        substitutes,
        cluster.offer.section if cluster else lambda: None,
    )


def _make_own_files(
    settings: Settings, kept: KeptFiles, previous: Mapping[str, str], put: Callable[[Trigger], None] | None
) -> OwnFileReader:
    """Return the reader of the proxy's own files. In simple routing TLS ends before the proxy: no certificates.

    `previous` are the files that HAProxy runs from. Its certificates stay in force instead of those that cannot be used.
    """
    is_simple = settings.routing.routing_mode is RoutingMode.SIMPLE
    folder = f"{CERTIFICATE_FOLDER}/"
    certificates = {name.removeprefix(folder): text for name, text in previous.items() if name.startswith(folder)}
    read_certificates = ProxyCertificates if is_simple else CertificateFiles(settings.tls, certificates).read
    names = HostNames()
    if put:
        names.watch(lambda trigger: put(replace(trigger, kind=TriggerKind.FILES)))
    return OwnFileReader(read_certificates, settings, kept, names)


def _ignore(trigger: Trigger) -> None:
    """Do nothing: without a loop, no triggers are needed."""


def run_controller(settings: Settings, environment: Mapping[str, str]) -> None:
    """Run passes until SIGTERM. Raises SettingsError, StateError or ConfigCheckError if it cannot even begin."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    for note in find_own_misspellings(environment):
        logger.warning("%s", note)
    triggers = TriggerQueue()
    put_signals(triggers, {HAPROXY_STARTED: TriggerKind.HAPROXY})
    parts = make_parts(settings, environment, settings.runtime.state_folder, triggers.put)
    parts.swarm.begin()  # it has an answer by the time that the check is over
    _check_own_settings(parts.inspector, settings)
    watched = watched_paths(settings)
    for source in parts.sources:
        threading.Thread(target=source.watch, args=(triggers.put,), name=source.name, daemon=True).start()
    if watched:
        put_file = partial(_put_file, triggers)
        threading.Thread(target=FileWatcher(watched).watch, args=(put_file,), name="files", daemon=True).start()
    if settings.routing.routing_mode is RoutingMode.SIMPLE:
        put_page, page = partial(_put_page, triggers), settings.routing.simple.error_page
        threading.Thread(target=FileWatcher([page]).watch, args=(put_page,), name="error page", daemon=True).start()
    schedule = Schedule(ScheduleSettings(resync_seconds=settings.runtime.resync_seconds))
    reporter = Reporter(StatusFile(settings.runtime.state_folder).write)
    if parts.cluster:
        threading.Thread(target=parts.cluster.watch_streams, name="cluster streams", daemon=True).start()
        threading.Thread(target=parts.cluster.gossip.run, args=(triggers.put,), name="gossip", daemon=True).start()
    Daemon(triggers, schedule, make_pass(parts.reconciler, reporter), time.monotonic).run()
    if parts.cluster:
        parts.cluster.streams.end_all()


def _check_own_settings(inspector: Inspector, settings: Settings) -> None:
    """Raise SettingsError or ConfigCheckError where the proxy's own settings would never work.

    Where a template cannot be printed, an HAProxy that serves its last good configuration goes on doing so.
    """
    try:
        inspector.check_own_settings()
    except TemplateError as error:
        if not StateLayout(folder=settings.runtime.state_folder).config.exists():
            raise SettingsError([f"PROXY_TEMPLATES={settings.runtime.templates_folder}: {error}"]) from error
        logger.error("%s; until that is corrected, HAProxy keeps the settings of its last good configuration", error)


def _put_file(triggers: TriggerQueue, trigger: Trigger) -> None:
    triggers.put(replace(trigger, kind=TriggerKind.FILES))


def _put_page(triggers: TriggerQueue, trigger: Trigger) -> None:
    """Ask for a reload: HAProxy reads an `errorfile` only at a start or reload, and the configuration stays the same."""
    triggers.put(replace(trigger, kind=TriggerKind.RELOAD))


def watched_paths(settings: Settings) -> tuple[Path, ...]:
    """Return the files, besides those of the sources, whose change requires a pass."""
    tls, templates = settings.tls, settings.runtime.templates_folder
    return tuple(path for path in (tls.certificate_folder, tls.ca_file, templates) if path)
