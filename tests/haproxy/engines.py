"""A stub of an engine for the whole program: its own engine, or that of another node which has a proxy of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.haproxy.cluster import Node
from tests.haproxy.places import NODE, Where
from tests.stub_engine import StubEngine, run_stub_engine


@contextmanager
def followed_engine(where: Where, folder: Path, binary: str) -> Iterator[tuple[StubEngine, Mapping[str, str]]]:
    """Yield the engine, and the variables by which a program whose folder this is follows it, until the block ends."""
    variables = {"PROXY_SOURCES": "docker", "DOCKER_HOST": f"unix://{folder / 'engine.sock'}", "ADDITIONAL_SERVICES": "*"}
    with run_stub_engine(folder) as engine:
        if where is Where.OWN_ENGINE:
            yield engine, variables
            return
        other = Node(folder, NODE.name, binary)
        with other.running_engine() as engine_there, other.running():
            cluster = ("PROXY_CLUSTER_KEY_FILE", "PROXY_ROUTED_NETWORKS")
            told = {name: value for name, value in other.environment().items() if name in cluster}
            yield engine_there, {**variables, **told, "PROXY_CLUSTER": other.address}
