"""What it costs a proxy to follow the other nodes of a cluster: its start, memory, processor time. The nodes are stubs."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.stage import Visitor, find_haproxy, running, running_backend, running_proxy
from bench.table import Row, percentile
from tests.host_proxy import host_environment
from tests.ports import free_offset
from tests.stub_engine import StubContainer, run_stub_process
from tests.stub_nodes import StubNodes, run_stub_nodes

SHAPES = ((100, 100), (1, 10_000))
"""Numbers of nodes, and of containers on each of them."""
CLUSTER_PORT = 7376
START_SECONDS, SETTLE_SECONDS, IDLE_SECONDS = 90.0, 5.0, 20.0
STORM_SECONDS, STARTS_A_SECOND = 10, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Usage:
    """What the controller has used so far."""

    processor_seconds: float
    megabytes: float
    threads: int
    files: int

    @classmethod
    def read(cls, pid: int) -> _Usage:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        status = {key: value.split()[0] for key, _, value in (line.partition(":") for line in lines) if value.strip()}
        return cls(
            processor_seconds=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
            megabytes=int(status["VmRSS"]) / 1000,
            threads=int(status["Threads"]),
            files=len([*Path(f"/proc/{pid}/fd").iterdir()]),
        )


@dataclass(slots=True, kw_only=True)
class _Stage:
    """A proxy that follows nodes, and the port of the one real backend."""

    nodes: StubNodes
    port: int
    backend_port: int
    folder: Path
    start_seconds: float = 0.0

    def container(self, number: int) -> StubContainer:
        return _make_container(number, self.backend_port)

    def usage(self) -> _Usage:
        pid = int(json.loads((self.folder / "state" / "status.json").read_text())["pid"])
        return _Usage.read(pid)


def measure_cluster() -> list[Row]:
    """Return what each shape of a cluster costs (nodes x containers), and as many containers of the own engine."""
    with tempfile.TemporaryDirectory() as folder, running_proxy(Path(folder), 10_000) as own:
        alone = _Usage.read(own.controller_pid())
    rows: list[Row] = []
    for nodes, containers in SHAPES:
        with tempfile.TemporaryDirectory() as folder, _running(Path(folder), nodes, containers) as stage:
            rows += _measure(stage, nodes, containers, alone)
    return rows


def _idle_share(read: Callable[[], _Usage]) -> float:
    """Return which share of a core the controller takes while nothing happens."""
    time.sleep(SETTLE_SECONDS)
    before = read()
    time.sleep(IDLE_SECONDS)
    return (read().processor_seconds - before.processor_seconds) / IDLE_SECONDS


def _measure(stage: _Stage, nodes: int, containers: int, alone: _Usage) -> Iterator[Row]:
    what, total = f"{nodes} x {containers:,}", nodes * containers
    started = stage.usage()
    yield Row(
        what=f"{what}: cold start to serving the last of them",
        budget="3 s",
        measured=f"{stage.start_seconds:.1f} s",
        holds=stage.start_seconds <= 3,
    )
    yield Row(
        what=f"{what}: processor time of the start, against 10,000 containers of the proxy's own engine",
        measured=f"{started.processor_seconds / alone.processor_seconds:.2f} "
        f"({started.processor_seconds:.1f} s / {alone.processor_seconds:.1f} s)",
    )
    share, after = _idle_share(stage.usage), stage.usage()
    yield Row(
        what=f"{what}: controller's processor time when idle",
        budget="< 0.1 %",
        measured=f"{share:.2%} (of one core, in {IDLE_SECONDS:g} s)",
        holds=share < 0.001,
    )
    budget = 60 + 0.006 * total + nodes
    yield Row(
        what=f"{what}: controller's memory",
        budget=f"60 MB + 6 KB each + 1 MB a node = {budget:.0f} MB",
        measured=f"{after.megabytes:.0f} MB ({after.threads} threads, {after.files} open files; "
        f"with its own engine alone {alone.megabytes:.0f} MB)",
        holds=after.megabytes <= budget,
    )
    yield _storm(stage, nodes, total, what)


def _storm(stage: _Stage, nodes: int, total: int, what: str) -> Row:
    """Start containers on all nodes in turn, and visit some of them."""
    before, began, milliseconds = stage.usage(), time.monotonic(), []
    count = STORM_SECONDS * STARTS_A_SECOND
    for number in range(total, total + count):
        stage.nodes.start(number % nodes, stage.container(number))
        if number % STARTS_A_SECOND == 0:
            visitor = Visitor(stage.port)
            milliseconds.append(visitor.wait_for(f"service-{number}.example", seconds=10) * 1000)
            visitor.close()
        time.sleep(max(0.0, began + (number - total + 1) / STARTS_A_SECOND - time.monotonic()))
    seconds = time.monotonic() - began
    after = stage.usage()
    used = after.processor_seconds - before.processor_seconds
    return Row(
        what=f"{what}: {STARTS_A_SECOND} containers a second start",
        measured=f"{used / seconds:.0%} of one core, {used / count * 1000:.1f} ms each, start to first 200 p50 "
        f"{percentile(milliseconds, 0.5):.0f} ms",
    )


@contextmanager
def _running(folder: Path, nodes: int, containers: int) -> Iterator[_Stage]:
    """Run the proxy with these nodes until the block ends; returns once it serves the last container of each."""
    binary, offset = find_haproxy(), free_offset(80, 443, 1936, CLUSTER_PORT)
    with (
        running_backend(binary, folder) as backend_port,
        run_stub_process(folder) as engine,
        run_stub_nodes(folder, nodes) as stubs,
    ):
        for number in range(nodes):
            own = range(number * containers, (number + 1) * containers)
            stubs.load(number, [_make_container(one, backend_port) for one in own])
        environment = host_environment(
            binary,
            folder / "state",
            offset,
            DOCKER_HOST=engine.host,
            PROXY_CLUSTER=",".join(stubs.addresses),
            PROXY_CLUSTER_KEY_FILE=str(stubs.key_file),
            PROXY_ROUTED_NETWORKS="127.0.0.0/8",
        )
        stage = _Stage(nodes=stubs, port=80 + offset, backend_port=backend_port, folder=folder)
        began = time.monotonic()
        with running([sys.executable, "-m", "proxy", "run"], folder / "log", environment):
            visitor = Visitor(stage.port)
            for number in range(nodes):
                visitor.wait_for(f"service-{(number + 1) * containers - 1}.example", seconds=START_SECONDS)
            stage.start_seconds = time.monotonic() - began
            visitor.close()
            yield stage


def _make_container(number: int, port: int) -> StubContainer:
    name = f"service-{number}"
    return StubContainer(name=f"{name}-1", service=name, labels={"aliyun.proxy.VIRTUAL_HOST": f"{name}.example"}, port=port)
