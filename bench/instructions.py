"""What one request costs in the program itself: instructions outside the kernel, counted by Valgrind.

Counts hardly depend on the machine or on what else it does, so that they tell what a line of the configuration costs where
rates do not. All ask the same backend for the last of ten thousand hosts, over one kept connection.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.packages import install
from bench.peers import HARD_WIRED, HARD_WIRED_ALIKE, HOSTS, LAST_HOST, NGINX, PROXY_VARIABLES, all_peers
from bench.stage import Visitor, find_haproxy, running, running_backend
from bench.table import Row
from tests.builders import make_container, make_model, make_renderer, make_settings, with_labels
from tests.ports import free_offset, free_port

WARM_UP, REQUESTS = 200, 2_000
START_SECONDS = 120.0
TALLY = "tally"
MOST_OF_ALIKE = 1.12
OWN = "this proxy's configuration"
COUNTED = (HARD_WIRED_ALIKE, HARD_WIRED, f"HAProxy written by hand, {HOSTS:,} backends and a map", NGINX)


def measure_instructions() -> list[Row]:
    """Return the instructions of a request, of the proxy's HAProxy and of its peers."""
    install("valgrind", "callgrind_control")
    counts = {}
    with tempfile.TemporaryDirectory() as name, running_backend(find_haproxy(), Path(name)) as backend:
        counts[OWN] = _count(*_write_own(Path(name) / "own", backend))
        for peer in all_peers():
            if peer.name in COUNTED:
                install(*peer.programs)
                folder, port = Path(tempfile.mkdtemp(dir=name)), free_port()
                command = peer.write(folder, port, backend)
                alone = ["-g", "master_process off;"] if peer.name == NGINX else []
                counts[peer.name] = _count([*command, *alone], folder, port)
    ratio = counts[OWN] / counts[HARD_WIRED_ALIKE]
    rows = [
        Row(
            what=f"instructions a request with {HOSTS:,} virtual hosts, last host, against {HARD_WIRED_ALIKE}",
            budget=f"<= {MOST_OF_ALIKE}",
            measured=f"{ratio:.3f} ({counts[OWN]:,.0f} / {counts[HARD_WIRED_ALIKE]:,.0f})",
            holds=ratio <= MOST_OF_ALIKE,
        )
    ]
    rows += [Row(what=f"peer: {name}", measured=f"{counts[name]:,.0f} instructions a request") for name in COUNTED]
    return rows


def _write_own(folder: Path, backend: int) -> tuple[list[str], Path, int]:
    """Write what this proxy has HAProxy run; HAProxy alone counts, without supervisor and controller."""
    offset = free_offset(80, 443, 1936)
    settings = make_settings(PROXY_PORT_OFFSET=str(offset), **PROXY_VARIABLES)
    names = [f"service-{number}" for number in range(HOSTS)]
    containers = (
        make_container(f"{name}-1", ports=(backend,), labels=with_labels(VIRTUAL_HOST=f"{name}.example")) for name in names
    )
    files = make_renderer(settings, folder).render(make_model(*containers, settings=settings)).files
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [find_haproxy(), "-db", "-C", str(folder), "-f", str(folder / "haproxy.cfg")], folder, 80 + offset


def _count(command: Sequence[str], folder: Path, port: int) -> float:
    """Run a command under Valgrind and return how many instructions it spends on one request."""
    tally = folder / TALLY
    watched = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={tally}", *command]
    with running(watched, folder / "log") as process:
        visitor = Visitor(port)
        visitor.wait_for(LAST_HOST, seconds=START_SECONDS)
        _ask(visitor, WARM_UP)
        _switch("on", process.pid)
        _ask(visitor, REQUESTS)
        _switch("off", process.pid)
        visitor.close()
    totals = [
        int(found) for file in folder.glob(f"{TALLY}*") for found in re.findall(r"^totals: (\d+)", file.read_text(), re.M)
    ]
    return max(totals) / REQUESTS


def _ask(visitor: Visitor, times: int) -> None:
    statuses = {visitor.status(LAST_HOST) for _ in range(times)}
    if statuses != {200}:
        raise RuntimeError(f"{LAST_HOST} answers {statuses}")


def _switch(instrumentation: str, pid: int) -> None:
    subprocess.run(["callgrind_control", "-i", instrumentation, str(pid)], check=True, capture_output=True, timeout=60)
