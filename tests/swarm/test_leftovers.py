"""What the Swarm leaves on the machine: nothing when it is stopped; and a start removes what a killed run has left."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.engine import ROOT, run
from tests.real import processes
from tests.real.places import Places
from tests.real.swarm import Swarm

pytestmark = pytest.mark.swarm

START_AND_DIE = """
import os, signal, sys
from pathlib import Path
from tests.real.places import Places
from tests.real.swarm import Swarm

Swarm(Places(Path(sys.argv[1]))).start()
os.kill(os.getpid(), signal.SIGKILL)
"""


def leftovers(places: Places) -> set[str]:
    """Return which kinds of things that have the name of this checkout's Swarm, or lie in its folder, are on the machine."""
    name = f"swarm-{places.key}"
    command_lines = [" ".join(processes.command_line(int(path.name))) for path in Path("/proc").glob("[0-9]*")]
    found = {
        "namespaces": name in run("ip", "netns", "list").output,
        "links": name in run("ip", "link", "show").output,
        "firewall rules": name in run("iptables-save").output,
        "mounts": name in Path("/proc/mounts").read_text(),
        "control groups": any(Path("/sys/fs/cgroup").glob(f"**/{name}-*")),
        "processes": any(name in line or str(places.swarm) in line for line in command_lines),
        "folders": places.swarm.exists() or places.swarm_sockets.exists(),
    }
    return {kind for kind, exists in found.items() if exists}


def test_second_swarm_runs_beside_the_first_replaces_what_a_killed_run_left_and_leaves_nothing(
    swarm: Swarm, tmp_path: Path
) -> None:
    places = Places(tmp_path)
    assert -9 == run(sys.executable, "-c", START_AND_DIE, str(places.cache), folder=ROOT).code
    assert {"namespaces", "links", "mounts", "processes", "folders"} <= leftovers(places)
    second = Swarm(places)

    second.start()

    try:
        assert not {node.address for node in swarm.nodes} & {node.address for node in second.nodes}
        assert second.leader() == second.node("manager-1")
        assert swarm.leader()
    finally:
        second.stop()
    assert set() == leftovers(places)
