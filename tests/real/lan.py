"""A local network for hosts of a test: network namespaces, and a switch that connects them.

A host is a namespace with one link, `eth0`. The other end of the link is a port of a bridge, which has a namespace too: so
the machine's firewall does not apply between the hosts, and nothing has to be changed there. One link of the machine leads
into the bridge. Through it, tests reach every host by its address.

Namespaces and links outlive the process that made them. All of them have the network's name, by which
another process finds them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from tests.real.steps import StepError, answer, run

_BRIDGE = "switch"
_NAME_SERVER = Path(__file__).with_name("nameserver.py")
_PATIENCE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Lan:
    """The network with this name, which is also the name of the machine's link; a link's name has at most 15 characters."""

    name: str
    addresses: IPv4Network

    @property
    def router(self) -> IPv4Address:
        """Return the address of the bridge. It is the default route of all hosts, and leads nowhere."""
        return self.addresses[-2]

    @property
    def bridge_namespace(self) -> str:
        return self.namespace(_BRIDGE)

    def namespace(self, host: str) -> str:
        return f"{self.name}-{host}"

    def create(self) -> None:
        """Make the bridge and the machine's link to it."""
        inside = self.bridge_namespace
        run("ip", "netns", "add", inside)
        _ip_in(inside, "link", "set", "lo", "up")
        _ip_in(inside, "link", "add", _BRIDGE, "type", "bridge")
        _ip_in(inside, "address", "add", f"{self.router}/{self.addresses.prefixlen}", "dev", _BRIDGE)
        _ip_in(inside, "link", "set", _BRIDGE, "up")
        run("ip", "link", "add", self.name, "type", "veth", "peer", "name", "machine", "netns", inside)
        _ip_in(inside, "link", "set", "machine", "master", _BRIDGE, "up")
        run("ip", "address", "add", f"{self.addresses[1]}/{self.addresses.prefixlen}", "dev", self.name)
        run("ip", "link", "set", self.name, "up")

    def add_host(self, host: str, address: str) -> None:
        """Make a host with this address, and plug it in."""
        inside = self.namespace(host)
        run("ip", "netns", "add", inside)
        _ip_in(inside, "link", "set", "lo", "up")
        peer = ("peer", "name", host, "netns", self.bridge_namespace)
        run("ip", "link", "add", "eth0", "netns", inside, "type", "veth", *peer)
        _ip_in(inside, "address", "add", f"{address}/{self.addresses.prefixlen}", "dev", "eth0")
        _ip_in(inside, "link", "set", "eth0", "up")
        _ip_in(inside, "route", "add", "default", "via", str(self.router))
        _ip_in(self.bridge_namespace, "link", "set", host, "up")
        self.heal(host)

    def start_name_server(self) -> None:
        """Start a name server at the router's address that knows no name. It runs until the network is removed."""
        entry = ("nsenter", f"--net=/run/netns/{self.bridge_namespace}")
        subprocess.run(
            ["setsid", "--fork", *entry, sys.executable, str(_NAME_SERVER), str(self.router)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )

    def cut(self, host: str) -> None:
        """Lose every packet from and to a host. The host itself does not notice, as with a fault further away."""
        _ip_in(self.bridge_namespace, "link", "set", host, "nomaster")

    def heal(self, host: str) -> None:
        _ip_in(self.bridge_namespace, "link", "set", host, "master", _BRIDGE)


def processes(namespace: str) -> list[int]:
    """Return the processes in a namespace; none if there is no such namespace."""
    return [int(pid) for pid in (answer("ip", "netns", "pids", namespace) or "").split()]


def end_processes(namespace: str) -> None:
    """Kill all processes in a namespace, with all that are in process namespaces of theirs, and wait until they are gone."""
    pids = processes(namespace)
    # The kernel kills everything below the first process of a process namespace before that process is gone.
    firsts = [pid for pid in pids if _is_first(pid)]
    for wanted in (firsts, pids):
        for pid in wanted:
            _kill(pid)
        if _are_gone(namespace, seconds=_PATIENCE_SECONDS if wanted else 0):
            return
    raise StepError(f"processes of {namespace} do not end: {processes(namespace)}")


def remove(name: str) -> None:
    """Remove the network with this name, as far as it exists: its processes, namespaces and links."""
    listed = (answer("ip", "netns", "list") or "").splitlines()
    namespaces = [line.split()[0] for line in listed if line.startswith(f"{name}-")]
    for namespace in namespaces:
        end_processes(namespace)
    answer("ip", "link", "delete", name)
    for namespace in namespaces:
        run("ip", "netns", "delete", namespace)


def _ip_in(namespace: str, *words: str) -> None:
    run("ip", "-netns", namespace, *words)


def _is_first(pid: int) -> bool:
    """Return whether it is the first process of a process namespace below the present one."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    ids = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), [])
    return len(ids) > 1 and ids[-1] == "1"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _are_gone(namespace: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while processes(namespace):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
