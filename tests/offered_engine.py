"""An engine as the proxy of another node sees it: through the section for the cluster of a real HAProxy, with mutual TLS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from proxy.adapters.cluster.offer import FOLDER, NodeOffer
from proxy.adapters.cluster.own_node import OwnNode
from proxy.adapters.cluster.peer import Address, PeerContext, make_engine
from proxy.adapters.engine.docker_engine import DockerEngine
from proxy.adapters.haproxy.runtime_socket import RuntimeSocket
from proxy.core.haproxy.rendering import Paths, Renderer
from tests.builders import make_environment, make_model, make_settings
from tests.haproxy.running import run_renderer
from tests.ports import free_offset

CLUSTER_PORT = 7376


@contextmanager
def offered_engine(binary: str, folder: Path, environment: Mapping[str, str]) -> Iterator[DockerEngine]:
    """Yield the engine that `environment` names, as another proxy reads it, until the block ends."""
    key_file = folder / "key"
    key_file.write_text("a secret that only the tests know")
    key_file.chmod(0o600)
    offset = free_offset(80, 1936, CLUSTER_PORT)
    variables = {"PROXY_CLUSTER": "127.0.0.1", "PROXY_CLUSTER_KEY_FILE": str(key_file), "PROXY_PORT_OFFSET": str(offset)}
    settings = make_settings(**variables)
    offer = NodeOffer(folder / FOLDER, settings.cluster, environment, RuntimeSocket(folder / "haproxy.sock"))
    own = OwnNode(DockerEngine(environment).read_info, "")
    own.learn()
    offer.maintain(datetime.now(UTC))
    offer.publish(own.state())
    paths = Paths(runtime_socket=folder / "haproxy.sock", server_state=folder / "server-state")
    renderer = Renderer(make_environment(), settings, paths, cluster=offer.section)
    with run_renderer(binary, folder, renderer, make_model(settings=settings), settings):
        yield make_engine(Address("127.0.0.1", CLUSTER_PORT + offset), PeerContext(offer.files))
