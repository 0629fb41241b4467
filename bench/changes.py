"""How fast a change is served, what it costs, and whether anybody notices: with a stub engine and the real proxy."""

from __future__ import annotations

import dataclasses
import os
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.stage import Stage, Visitor, listening, running_proxy
from bench.table import Row, percentile
from tests.builders import make_pem, one_line
from tests.ports import free_port
from tests.stub_engine import StubContainer
from tests.wrk import Load, start_load

FEW, MANY = 10, 10_000
STARTS = 150
PAUSE_SECONDS = 0.1
MIXED_CHANGES = 1000
CHANGED_SERVICES = 50
OTHER_BALANCE = "leastconn"
"""What a service may change to; one has it from the start."""
LOADED_SERVICES = 3
LOAD_SECONDS = 120
IDLE_SECONDS = 10.0
LATE_STARTS, LATE_SECONDS = 40, 10.0


def measure_few() -> list[Row]:
    """Start to first answer with few services."""
    with tempfile.TemporaryDirectory() as folder, running_proxy(Path(folder), FEW) as stage:
        return [_latency(stage, FEW)]


def measure_late() -> list[Row]:
    """From the moment at which a container listens, ten seconds after its start and more, to its first answer."""
    with tempfile.TemporaryDirectory() as folder, running_proxy(Path(folder), FEW) as stage, ExitStack() as stack:
        late = {number: free_port() for number in range(30_000, 30_000 + LATE_STARTS)}
        for number, port in late.items():
            stage.engine.start(dataclasses.replace(stage.container(number), port=port))
        time.sleep(LATE_SECONDS)
        visitor, milliseconds = Visitor(stage.port), []
        for number, port in late.items():
            early = visitor.status(f"service-{number}.example")
            stack.enter_context(listening(port))
            milliseconds.append(visitor.wait_for(f"service-{number}.example", seconds=10) * 1000)
            assert early == 503, early
        visitor.close()
    worst = max(milliseconds)
    return [
        Row(
            what=f"container that listens {LATE_SECONDS:g} s after its start, from then to its first 200",
            budget="100 ms",
            measured=f"p50 {percentile(milliseconds, 0.5):.0f} ms, worst of {LATE_STARTS} {worst:.0f} ms",
            holds=worst <= 100,
        )
    ]


def measure_many() -> list[Row]:
    """Everything that is about ten thousand services: start, memory, latency, idle processor time."""
    with tempfile.TemporaryDirectory() as folder, running_proxy(Path(folder), MANY) as stage:
        rows = [_cold_start(stage)]
        time.sleep(3.0)
        rows.append(_idle(stage))
        rows.append(_latency(stage, MANY))
        return [*rows, *_memory(stage)]


def measure_mixed_changes() -> list[Row]:
    """Reloads and failed requests during many changes of all kinds, while other services are under load."""
    with tempfile.TemporaryDirectory() as folder, running_proxy(Path(folder), FEW) as stage:
        stage.engine.start(
            stage.container(
                900, VIRTUAL_HOST="tls.example, https://tls.example", DEFAULT_SSL_CERT=one_line(make_pem("tls.example"))
            )
        )
        stage.engine.start(stage.container(901, BALANCE=OTHER_BALANCE))
        visitor = Visitor(stage.port)
        visitor.wait_for("tls.example", seconds=10)
        visitor.wait_for("service-901.example", seconds=10)
        visitor.close()
        time.sleep(1.0)
        before = len(stage.reload_reasons())
        with ExitStack() as stack:
            hosts = [f"service-{number}.example" for number in range(LOADED_SERVICES)]
            loads = [stack.enter_context(start_load(stage.port, host, seconds=LOAD_SECONDS, expects="ok")) for host in hosts]
            _change(stage, random.Random(1))
        return _mixed_rows(stage.reload_reasons()[before:], loads)


def _mixed_rows(reasons: Sequence[str], loads: Sequence[Load]) -> list[Row]:
    shown = f"{len(reasons)} ({'; '.join(sorted(set(reasons)))[:200]})" if reasons else "0"
    failed, requests = sum(load.failed for load in loads), sum(load.requests for load in loads)
    what = f"{MIXED_CHANGES} mixed start/stop/scale/relabel/certificate changes"
    return [
        Row(what=f"reloads during {what}, HAProxy 3.4", budget="0", measured=shown, holds=not reasons),
        Row(
            what="failed requests during the same, wrk with kept connections and with one per request",
            budget="0",
            measured=f"{failed} of {requests:,}",
            holds=failed == 0,
        ),
    ]


def _change(stage: Stage, chance: random.Random) -> None:
    running: dict[int, list[StubContainer]] = {}
    for generation in range(2, MIXED_CHANGES + 2):
        number = 1000 + chance.randrange(CHANGED_SERVICES)
        group = running.setdefault(number, [])
        if group and chance.random() < 0.45:
            stage.engine.stop(group.pop())
        else:
            labels = {"SSL_CERT": one_line(make_pem(f"service-{number}.example"))} if number % 5 == 0 else {}
            if group and chance.random() < 0.2:
                labels["VIRTUAL_HOST"] = f"service-{number}.example, new-{number}.example"
            if chance.random() < 0.2:
                labels["BALANCE"] = OTHER_BALANCE
            group.append(stage.container(generation, generation=generation, service=number, **labels))
            stage.engine.start(group[-1])
        time.sleep(0.02)


def _latency(stage: Stage, services: int) -> Row:
    milliseconds = []
    for number in range(20_000, 20_000 + STARTS):
        visitor = Visitor(stage.port)
        visitor.status("nobody.example")  # the connection is open before the clock runs
        stage.engine.start(stage.container(number))
        milliseconds.append(visitor.wait_for(f"service-{number}.example", seconds=10) * 1000)
        visitor.close()
        time.sleep(PAUSE_SECONDS)
    middle, worst = percentile(milliseconds, 0.5), percentile(milliseconds, 0.99)
    return Row(
        what=f"start event to first 200, new service and host, at {services:,} services",
        budget="p50 10 ms, p99 50 ms",
        measured=f"p50 {middle:.1f} ms, p99 {worst:.1f} ms",
        holds=middle <= 10 and worst <= 50,
    )


def _cold_start(stage: Stage) -> Row:
    seconds = stage.cold_start_seconds
    return Row(
        what=f"{MANY:,} containers, cold start to serving the last",
        budget="3 s",
        measured=f"{seconds:.1f} s",
        holds=seconds <= 3,
    )


def _idle(stage: Stage) -> Row:
    before = _processor_seconds(stage.controller_pid())
    time.sleep(IDLE_SECONDS)
    share = (_processor_seconds(stage.controller_pid()) - before) / IDLE_SECONDS
    text = f"{share:.2%} (of one core, {IDLE_SECONDS:g} s between two resyncs)"
    return Row(
        what=f"controller's processor time when idle, {MANY:,} services",
        budget="< 0.1 %",
        measured=text,
        holds=share < 0.001,
    )


def _memory(stage: Stage) -> list[Row]:
    status = Path(f"/proc/{stage.controller_pid()}/status").read_text().splitlines()
    megabytes = next(int(line.split()[1]) / 1000 for line in status if line.startswith("VmRSS:"))
    budget = 60 + 0.006 * len(stage.engine.containers)
    return [
        Row(
            what=f"controller's memory with {len(stage.engine.containers):,} containers",
            budget=f"60 MB + 6 KB each = {budget:.0f} MB",
            measured=f"{megabytes:.0f} MB",
            holds=megabytes <= budget,
        )
    ]


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
