"""One node of the Swarm: a Docker engine that sees a machine of its own.

It has its own network, processes, mounts, host name, firewall and /run. All its processes are in one process namespace, so
that one kill ends them together, as a power failure does. Its data survives that.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network
from pathlib import Path

from tests.real import lan
from tests.real.lan import Lan
from tests.real.steps import StepError, answer, last_lines, run

_PATIENCE_SECONDS = 60
_LONGEST_QUESTION_SECONDS = "5"
"""A manager without a quorum takes up to 40 s to say so the first time."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# $1: the host name, $2: the name server; then the engine's words. /sys has to be mounted again, because it shows the network
# of the process that mounted it. catatonit is the first process; it buries what containerd leaves behind.
_BOOT = """\
echo "$1" > /proc/sys/kernel/hostname
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --move /run/cgroup /sys/fs/cgroup
echo "nameserver $2" > /run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf
shift 2
exec catatonit -- dockerd "$@"
"""


class Role(StrEnum):
    MANAGER = "manager"
    WORKER = "worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmNode:
    """A node at `address` of the common network. Its engine answers at `docker_host`, and inside the node at the usual path.

    The engine takes addresses for its own bridges from `containers`. The node's state is not kept here: every method asks
    the machine.
    """

    name: str
    role: Role
    address: str
    lan: Lan
    containers: IPv4Network
    folder: Path
    socket: Path

    @property
    def docker_host(self) -> str:
        return f"unix://{self.socket}"

    def start_engine(self) -> None:
        """Start the engine, as a machine that is switched on does. Its data is that of the last time."""
        self.launch_engine()
        self.await_engine()

    def launch_engine(self) -> None:
        """Start the engine and do not wait for it. It keeps running when this process ends."""
        for folder in (self.folder, self.socket.parent):
            folder.mkdir(parents=True, exist_ok=True)
        apart = ("unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc")
        # A clean environment: a proxy for HTTP of this machine cannot be reached from the node.
        boot = ("env", "-i", f"PATH={_PATH}", "sh", "-ec", _BOOT, "boot", self.name, str(self.lan.router))
        entry = ("nsenter", f"--net=/run/netns/{self.lan.namespace(self.name)}")
        with self._log.open("ab") as output:
            subprocess.run(
                ["setsid", "--fork", *entry, *apart, *boot, *self._engine_words()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=True,
            )

    def await_engine(self) -> None:
        """Wait until the engine answers."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self.answers():
            if time.monotonic() > deadline or not lan.processes(self.lan.namespace(self.name)):
                raise StepError(f"the engine of {self.name} did not start\n{last_lines(self.engine_log())}")
            time.sleep(0.05)

    def kill_engine(self) -> None:
        """Kill the engine and everything that runs on the node at once, as if the machine lost its power."""
        lan.end_processes(self.lan.namespace(self.name))

    def cut(self) -> None:
        """Cut the node off: no packet reaches it or leaves it. Its engine and containers go on."""
        self.lan.cut(self.name)

    def heal(self) -> None:
        """Plug the node in again."""
        self.lan.heal(self.name)

    def answers(self) -> bool:
        return self.ask("version", "--format", "{{.Server.Version}}") is not None

    def is_leader(self) -> bool:
        """Return whether the managers have a leader and this node is it, as the node itself knows."""
        return self.ask("node", "inspect", "self", "--format", "{{.ManagerStatus.Leader}}") == "true"

    def docker(self, *words: str) -> str:
        """Run the docker command line against this node's engine and return its output."""
        return run("docker", "--host", self.docker_host, *words).strip()

    def load_image(self, tar: Path) -> None:
        """Load the images of a file that `docker save` wrote."""
        self.docker("load", "--quiet", "--input", str(tar))

    def engine_log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def ask(self, *words: str) -> str | None:
        """Return what the docker command line tells about this node; None if it fails or takes too long."""
        return answer("timeout", _LONGEST_QUESTION_SECONDS, "docker", "--host", self.docker_host, *words)

    @property
    def _log(self) -> Path:
        return self.folder / "dockerd.log"

    def _engine_words(self) -> list[str]:
        bridge, *_ = self.containers.subnets(new_prefix=24)
        _, pool = self.containers.subnets(1)
        return [
            *("--host", "unix:///run/docker.sock", "--host", self.docker_host),
            *("--data-root", str(self.folder / "data")),
            *("--cgroup-parent", f"/{self.lan.namespace(self.name)}"),
            *("--bip", f"{bridge[1]}/{bridge.prefixlen}"),
            *("--default-address-pool", f"base={pool},size=24"),
        ]
