"""Builds the sources of containers, and what is laid over them, from the settings.

In: `Settings` and the environment. Out: sources and overlays that have not looked at anything yet.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from proxy.adapters.cluster.parts import Cluster, make_cluster_parts
from proxy.adapters.engine.docker_engine import DockerEngine
from proxy.adapters.engine.docker_source import DockerSource
from proxy.adapters.engine.link_source import LinkSource
from proxy.adapters.engine.misplaced_settings import MisplacedSettings
from proxy.adapters.engine.swarm_managers import SwarmManagers
from proxy.adapters.files.file_source import FileSource
from proxy.adapters.files.file_watcher import FileWatcher
from proxy.adapters.files.host_names import HostNames
from proxy.adapters.files.kept_files import KeptFiles
from proxy.adapters.files.weight_file import WEIGHT_FILE, WeightFile
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.adapters.probes.probes import Probes
from proxy.controller.ports import ContainerSource, Overlay
from proxy.core.containers.addresses import Reach
from proxy.core.containers.engine_address import docker_socket
from proxy.core.containers.link_table import ServiceKey
from proxy.core.containers.links import parse_link_variables
from proxy.core.containers.own_container import find_own_container_id
from proxy.core.labels.labels import PREFIX
from proxy.core.labels.simple_routing import ROUTING_PREFIX
from proxy.core.trigger import Trigger
from proxy.errors import SettingsError, SourceError
from proxy.settings import RoutingMode, Settings, SourceKind

logger = logging.getLogger(__name__)


def make_sources(
    settings: Settings, environment: Mapping[str, str], kept: KeptFiles, swarm: SwarmManagers
) -> Sequence[ContainerSource]:
    """Return the sources to read: those of PROXY_SOURCES, or else those that are found. `kept` has copies of files.

    `swarm` learns of the engine's events about Swarm services and nodes.

    Raises SettingsError if there is none, because then nothing could ever be routed.
    """
    runtime = settings.runtime
    kinds = runtime.sources if runtime.sources is not None else find_sources(settings, environment)
    sources: list[ContainerSource] = []
    for kind in kinds:
        if kind is SourceKind.DOCKER:
            mountinfo = Path("/proc/self/mountinfo").read_text()
            own_id = find_own_container_id(mountinfo, socket.gethostname())
            engine, named = DockerEngine(environment), services_like_linked(settings)
            sources.append(DockerSource(engine, own_id, named, pass_on=swarm.note_event))
        elif kind is SourceKind.LINKS:
            sources.append(LinkSource(environment))
        elif runtime.services_file is None:
            raise SettingsError(["PROXY_SOURCES: `file` needs PROXY_SERVICES_FILE, the path of a YAML file"])
        else:
            sources.append(FileSource(runtime.services_file, FileWatcher([runtime.services_file]), HostNames(), kept))
    if not sources:
        raise SettingsError(
            [
                "no source of containers: mount the engine's socket (-v /var/run/docker.sock:/var/run/docker.sock), "
                "set DOCKER_HOST, link containers, or set PROXY_SERVICES_FILE"
            ]
        )
    return sources


def services_like_linked(settings: Settings) -> frozenset[ServiceKey]:
    """Return the services that count as linked because they are named. In simple routing nobody is linked."""
    is_simple = settings.routing.routing_mode is RoutingMode.SIMPLE
    return frozenset() if is_simple else settings.routing.scope.services


def make_cluster(
    settings: Settings, environment: Mapping[str, str], runtime_socket: Path, swarm: SwarmManagers, *, is_controller: bool
) -> Cluster | None:
    """Return the parts of the cluster, where there is one. The controller's first configuration has its section already.

    `swarm` learns which nodes are managers, and of their events.
    """
    if not settings.cluster.peers:
        return None
    named = services_like_linked(settings)
    cluster = make_cluster_parts(settings, environment, runtime_socket, named, swarm=swarm, looks_once=not is_controller)
    if is_controller:
        try:
            cluster.source.prepare()
        except SourceError as error:
            logger.error("%s; until that is mended, the proxy goes on without the other nodes", error)
    return cluster


def find_sources(settings: Settings, environment: Mapping[str, str]) -> tuple[SourceKind, ...]:
    """Return the kinds of sources that are found. Link variables count only if there is no engine.

    If nothing is found, but an earlier run has left files to serve, the proxy waits for the engine.
    """
    kinds: list[SourceKind] = []
    engine = docker_socket(environment)
    if engine is None or engine.exists():
        kinds.append(SourceKind.DOCKER)
    elif parse_link_variables(environment):
        kinds.append(SourceKind.LINKS)
    if settings.runtime.services_file:
        kinds.append(SourceKind.FILE)
    if not kinds and os.path.exists(StateLayout(folder=settings.runtime.state_folder).current):
        logger.warning(
            "the engine's socket %s does not exist; the proxy serves the last good configuration and waits for the engine",
            engine,
        )
        kinds.append(SourceKind.DOCKER)
    return tuple(kinds)


def weight_label(settings: Settings) -> str:
    """Return the label that sets a service's weight in the routing mode of `settings`."""
    is_simple = settings.routing.routing_mode is RoutingMode.SIMPLE
    return f"{ROUTING_PREFIX}weight" if is_simple else f"{PREFIX}WEIGHT"


def make_weight_file(settings: Settings) -> WeightFile:
    """Return the weights that `proxy weight` has set. They override the weight label of the routing mode."""
    return WeightFile(settings.runtime.state_folder / WEIGHT_FILE, weight_label(settings))


def make_swarm(settings: Settings, environment: Mapping[str, str], put: Callable[[Trigger], None] | None) -> SwarmManagers:
    """Return what the managers of a Swarm are asked through. Nobody is asked yet."""
    return SwarmManagers(DockerEngine(environment), put, full_look_seconds=settings.runtime.resync_seconds)


def make_overlays(
    settings: Settings, environment: Mapping[str, str], put: Callable[[Trigger], None] | None
) -> Sequence[Overlay]:
    """Return the overlays that change or complete the sources' containers. Without `put` there are no probes.

    The one for misplaced settings finds what containers have in places where the proxy does not look; it serves only notes.
    """
    misplaced = MisplacedSettings(DockerEngine(environment), settings.routing.scope, put)
    if put is None or settings.routing.routing_mode is not RoutingMode.SIMPLE:
        return [make_weight_file(settings), misplaced]
    return [make_weight_file(settings), Probes(DockerEngine(environment), _reach(settings), put), misplaced]


def _reach(settings: Settings) -> Reach:
    return Reach(network=settings.routing.network, routed_networks=settings.cluster.routed_networks)
