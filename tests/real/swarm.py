"""A real Swarm on one machine: two managers and a worker, each with an engine of its own, on a common network.

In: images, as files of `docker save`. Out: three nodes that can be killed, cut off and brought back. Everything is named
after the checkout, so that two checkouts do not collide, and so that a start clears away what a killed run has left.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

from tests.real import host_network, lan
from tests.real.lan import Lan
from tests.real.places import Places
from tests.real.steps import StepError, require_root, run
from tests.real.swarm_node import Role, SwarmNode

ROLES = {"manager-1": Role.MANAGER, "manager-2": Role.MANAGER, "worker-1": Role.WORKER}
_PATIENCE_SECONDS = 120
"""Managers that have lost each other need up to 40 s for a new leader."""
_CGROUPS = Path("/sys/fs/cgroup")


class Swarm:
    """The Swarm of a checkout. Only one process at a time can have it."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._name = f"swarm-{places.key}"
        self._held = ExitStack()
        self.nodes: tuple[SwarmNode, ...] = ()

    @property
    def managers(self) -> tuple[SwarmNode, ...]:
        return tuple(node for node in self.nodes if node.role is Role.MANAGER)

    @property
    def workers(self) -> tuple[SwarmNode, ...]:
        return tuple(node for node in self.nodes if node.role is Role.WORKER)

    def node(self, name: str) -> SwarmNode:
        return next(node for node in self.nodes if node.name == name)

    def leader(self) -> SwarmNode | None:
        """Return the manager that leads; None while the managers have no leader."""
        return next((node for node in self.managers if node.is_leader()), None)

    def start(self) -> None:
        """Start the engines and join them to a Swarm. What an earlier run has left is removed first."""
        require_root("to start the engines of a Swarm")
        self._held.enter_context(_alone(self._places.cache / "swarm.lock"))
        self._remove()
        try:
            self._make()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything and leave nothing of it on the machine."""
        with self._held:
            self._remove()
            self.nodes = ()

    def restore(self) -> None:
        """Bring every node back: plugged in, with a running engine, and ready."""
        for node in self.nodes:
            node.heal()
        lost = [node for node in self.nodes if not node.answers()]
        for node in lost:
            node.kill_engine()
            node.launch_engine()
        for node in lost:
            node.await_engine()  # a manager that cannot find the others answers after 20 s
        _await(self._are_all_ready, "the nodes do not all become ready")

    def load_image(self, tar: Path) -> None:
        """Load the images of a file that `docker save` wrote, on all nodes at once."""
        self._on_each(partial(SwarmNode.load_image, tar=tar))

    def _make(self) -> None:
        # The first quarter is for the common network, the others are for the nodes' own bridges.
        common, *others = host_network.free_range().network.subnets(2)
        network = Lan(self._name, next(common.subnets(new_prefix=24)))
        self.nodes = tuple(self._nodes(network, others))
        # In memory, because a disk takes up to half a minute to delete the images of three engines.
        self._places.swarm.mkdir(parents=True)
        run("mount", "-t", "tmpfs", "-o", "mode=755", self._name, self._places.swarm)
        network.create()
        network.start_name_server()
        for node in self.nodes:
            network.add_host(node.name, node.address)
            node.launch_engine()
        self._on_each(SwarmNode.await_engine)
        _join(self.managers[0], self.nodes[1:])
        _await(self._are_all_ready, "the nodes do not all become ready")

    def _nodes(self, network: Lan, ranges: Iterable[IPv4Network]) -> Iterator[SwarmNode]:
        for number, ((name, role), containers) in enumerate(zip(ROLES.items(), ranges, strict=True), start=2):
            yield SwarmNode(
                name=name,
                role=role,
                address=str(network.addresses[number]),
                lan=network,
                containers=containers,
                folder=self._places.swarm / name,
                socket=self._places.swarm_sockets / name / "docker.sock",
            )

    def _are_all_ready(self) -> bool:
        listed = self.managers[0].ask("node", "ls", "--format", "{{.Status}}")
        return (listed or "").split() == ["Ready"] * len(self.nodes)

    def _on_each(self, act: Callable[[SwarmNode], object]) -> None:
        with ThreadPoolExecutor(max_workers=len(self.nodes)) as pool:
            for done in [pool.submit(act, node) for node in self.nodes]:
                done.result()

    def _remove(self) -> None:
        lan.remove(self._name)
        for pattern in (f"{self._name}-*", f"*/{self._name}-*"):  # cgroup version 2, and version 1
            for group in _CGROUPS.glob(pattern):
                _remove_group(group)
        host_network.remove_mounts(self._places.swarm)
        for folder in (self._places.swarm, self._places.swarm_sockets):
            shutil.rmtree(folder, ignore_errors=True)


def _join(first: SwarmNode, others: Iterable[SwarmNode]) -> None:
    first.docker("swarm", "init", *_addresses(first))
    for node in others:
        token = first.docker("swarm", "join-token", "--quiet", node.role)
        node.docker("swarm", "join", *_addresses(node), "--token", token, f"{first.address}:2377")


def _addresses(node: SwarmNode) -> tuple[str, ...]:
    return "--advertise-addr", node.address, "--listen-addr", f"{node.address}:2377"


def _remove_group(group: Path) -> None:
    for inner in [path for path in group.iterdir() if path.is_dir()]:
        _remove_group(inner)
    group.rmdir()


def _await(condition: Callable[[], bool], fault: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise StepError(fault)
        time.sleep(0.05)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StepError(f"another process uses the Swarm of this checkout (it has locked {lock})") from None
        yield
