"""How soon a proxy follows what happens on another node: two proxies on this machine, each with a stub of an engine.

The containers are on the second node, and the visitor is at the first. Every word of the way is real: the second node's
HAProxy in front of its engine, mutual TLS, the stream of events, and the runtime API of the first node's HAProxy.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.stage import BACKEND, Visitor, find_haproxy, running
from bench.table import Row, percentile
from tests.haproxy.cluster import Node
from tests.ports import free_port
from tests.stub_engine import StubContainer

CONTAINERS = 150
PAUSE_SECONDS = 0.1
SETTLE_SECONDS = 1.0


def measure_other_node() -> list[Row]:
    """From a container's start on the other node to its first answer here, and from its stop signal to no new request."""
    with tempfile.TemporaryDirectory() as folder, two_nodes(Path(folder)) as (here, there, backend):
        visitor = Visitor(here.port)
        starts, stops = [], []
        for number in range(CONTAINERS):
            container = make_container(number, backend)
            host = f"service-{number}.example"
            visitor.status(host)  # the connection is open before the clock runs
            there.engine.start(container)
            starts.append(visitor.wait_for(host, seconds=10) * 1000)
            time.sleep(PAUSE_SECONDS)
            there.engine.signal(container)
            stops.append(wait_for_end(visitor, host) * 1000)
            there.engine.stop(container)
        visitor.close()
    return [_row("start event", "its first 200", 30, 150, starts), _row("stop signal", "no new request", 50, 50, stops)]


@contextmanager
def two_nodes(folder: Path) -> Iterator[tuple[Node, Node, int]]:
    """Run two nodes and a backend; yield them once the first follows the second."""
    binary, backend = find_haproxy(), free_port()
    here, there = Node(folder, "here", binary), Node(folder, "there", binary)
    config = folder / "backend.cfg"
    config.write_text(BACKEND.format(port=backend))
    with (
        here.running_engine(),
        there.running_engine(),
        running([binary, "-db", "-f", str(config)], folder / "backend.log"),
        here.running(there, OPTION="redispatch, dontlognull, forwardfor"),
        there.running(here, OPTION="redispatch, dontlognull, forwardfor"),
    ):
        there.engine.start(make_container(-1, backend))
        visitor = Visitor(here.port)
        visitor.wait_for("service--1.example", seconds=30)
        visitor.close()
        time.sleep(SETTLE_SECONDS)
        yield here, there, backend


def make_container(number: int, port: int) -> StubContainer:
    """Return a container with a service and a host of its own."""
    name = f"service-{number}"
    return StubContainer(name=name, service=name, labels={"aliyun.proxy.VIRTUAL_HOST": f"{name}.example"}, port=port)


def wait_for_end(visitor: Visitor, host: str) -> float:
    """Return after how many seconds a request got no server any more."""
    started = time.monotonic()
    while visitor.status(host) == 200:
        if time.monotonic() - started > 10:
            raise TimeoutError(f"{host} is still served")
    return time.monotonic() - started


def _row(begin: str, end: str, middle_budget: int, worst_budget: int, milliseconds: list[float]) -> Row:
    middle, worst = percentile(milliseconds, 0.5), percentile(milliseconds, 0.99)
    return Row(
        what=f"container on another node: {begin} to {end}",
        budget=f"p50 {middle_budget} ms, p99 {worst_budget} ms",
        measured=f"p50 {middle:.1f} ms, p99 {worst:.1f} ms",
        holds=middle <= middle_budget and worst <= worst_budget,
    )
