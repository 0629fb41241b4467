"""Nodes of a cluster on this machine: each has a stub of an engine, a proxy with its own HAProxy, and a key."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxy.adapters.haproxy.runtime_socket import RuntimeSocket
from tests.ports import free_offset
from tests.stub_engine import StubEngine, run_stub_engine

ROOT = Path(__file__).parent.parent.parent
KEY = "a secret that only the tests know"
CLUSTER_PORT = 7376
LOOPBACK = "127.0.0.0/8"
"""The stubs' containers have addresses of this machine, which all nodes reach."""


class Node:
    """One node. `engine` is its stub, once it runs."""

    def __init__(self, folder: Path, name: str, binary: str) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.name = name
        self.offset = free_offset(80, 443, 1936, CLUSTER_PORT)
        self.key_file = self.folder / "key"
        self.set_key(KEY)
        self.log = self.folder / "log"
        self.engine = StubEngine(host="")
        self._binary = binary

    @property
    def port(self) -> int:
        return 80 + self.offset

    @property
    def cluster_port(self) -> int:
        return CLUSTER_PORT + self.offset

    @property
    def address(self) -> str:
        """Where the others find it."""
        return f"127.0.0.1:{self.cluster_port}"

    @property
    def certificate(self) -> Path:
        return self.folder / "state" / "cluster" / "node.pem"

    def set_key(self, key: str) -> None:
        """Write the secret, readable by its owner."""
        self.key_file.write_text(key)
        self.key_file.chmod(0o600)

    @contextmanager
    def running_engine(self) -> Iterator[StubEngine]:
        """Run the node's engine until the block ends."""
        with run_stub_engine(self.folder) as engine:
            engine.name = self.name
            self.engine = engine
            yield engine

    @contextmanager
    def running(self, *others: Node, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """Run the proxy, which knows itself and the others by their addresses, until the block ends."""
        environment = self.environment(*others, **variables)
        with (
            self.log.open("a") as log,
            subprocess.Popen(
                [sys.executable, "-m", "proxy", "run"], env=environment, cwd=ROOT, stdout=log, stderr=log, text=True
            ) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()

    def environment(self, *others: Node, **variables: str) -> dict[str, str]:
        """Return the variables of the proxy."""
        return {
            "PATH": os.environ["PATH"],
            "DOCKER_HOST": f"unix://{self.folder / 'engine.sock'}",
            "PROXY_STATE_FOLDER": str(self.folder / "state"),
            "PROXY_HAPROXY": self._binary,
            "PROXY_PORT_OFFSET": str(self.offset),
            "PROXY_CLUSTER": ", ".join(node.address for node in (self, *others)),
            "PROXY_CLUSTER_KEY_FILE": str(self.key_file),
            "PROXY_ROUTED_NETWORKS": LOOPBACK,
            **variables,
        }

    def run(self, *command: str, others: tuple[Node, ...] = (), **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command that ends by itself."""
        return subprocess.run(
            [sys.executable, "-m", "proxy", *command],
            env=self.environment(*others, **variables),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def says(self, text: str) -> bool:
        """Return whether its log holds a text."""
        return text in self.log.read_text()

    def haproxy(self) -> RuntimeSocket:
        """Return the runtime API of its HAProxy."""
        return RuntimeSocket(self.folder / "state" / "haproxy.sock")
