"""Builds what a cluster needs, from the settings: the source of the other nodes' containers, and this node's own offer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from proxy.adapters.cluster.cluster_source import RESOLVE_SECONDS, ClusterSource
from proxy.adapters.cluster.gossip import Gossip
from proxy.adapters.cluster.member import Member
from proxy.adapters.cluster.offer import FOLDER, NodeOffer
from proxy.adapters.cluster.own_node import OwnNode
from proxy.adapters.cluster.peer import PeerContext
from proxy.adapters.cluster.peer_addresses import PeerAddresses
from proxy.adapters.cluster.shared_weights import SharedWeights
from proxy.adapters.cluster.streams import OpenStreams
from proxy.adapters.engine.docker_engine import DockerEngine
from proxy.adapters.engine.swarm_managers import SwarmManagers
from proxy.adapters.files.host_names import HostNames
from proxy.adapters.files.weight_file import WEIGHT_FILE
from proxy.adapters.haproxy.runtime_socket import MasterSocket, RuntimeSocket
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.core.containers.link_table import ServiceKey
from proxy.settings import Settings

STREAMS_SECONDS = 5.0
"""How often old workers are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The parts of a cluster, as this proxy has it."""

    source: ClusterSource
    offer: NodeOffer
    streams: OpenStreams
    gossip: Gossip

    def watch_streams(self) -> None:
        """Let the others open streams, and end those of old workers, for ever."""
        while True:
            self.streams.reopen()
            self.streams.end_in_old_workers()
            time.sleep(STREAMS_SECONDS)


def make_cluster_parts(
    settings: Settings,
    environment: Mapping[str, str],
    runtime_socket: Path,
    named: frozenset[ServiceKey],
    *,
    swarm: SwarmManagers,
    looks_once: bool,
) -> Cluster:
    """Return the parts. A command that only looks once does so as the proxy that runs here.

    `swarm` learns which members are managers of a Swarm, and of their events.
    """
    folder = settings.runtime.state_folder / FOLDER
    runtime = RuntimeSocket(runtime_socket)
    offer = NodeOffer(folder, settings.cluster, environment, runtime)
    own = OwnNode(DockerEngine(environment).read_info, offer.read_instance() if looks_once else "")
    make = partial(
        Member, context=PeerContext(offer.files), named=named, is_own=own.instance.__eq__, pass_on=swarm.note_event
    )
    port = settings.cluster.port + settings.haproxy.port_offset
    addresses = PeerAddresses(settings.cluster.peers, port, HostNames(again_in=RESOLVE_SECONDS))
    source = ClusterSource(
        addresses,
        own,
        offer,
        lambda address, put: make(address, put=put),
        down_nodes=swarm.down_nodes,
        looks_once=looks_once,
    )
    swarm.ask_also(source.managers)
    layout = StateLayout(folder=settings.runtime.state_folder)
    return Cluster(
        source=source,
        offer=offer,
        streams=OpenStreams(MasterSocket(layout.master_socket), runtime),
        gossip=Gossip(source, own, SharedWeights(layout.folder / WEIGHT_FILE, folder / WEIGHT_FILE)),
    )
