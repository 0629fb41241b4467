"""The whole program in a folder, with a services file instead of an engine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from proxy.adapters.haproxy.runtime_socket import MasterSocket
from proxy.core.haproxy.replies import Processes, parse_processes
from proxy.errors import RuntimeApiError
from tests.builders import with_labels
from tests.eventually import eventually
from tests.haproxy.backend_server import BackendServer

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The whole program in a folder. The services file is `services.yml` there."""

    folder: Path
    environment: Mapping[str, str]
    offset: int

    def write_services(self, **services: tuple[BackendServer, Mapping[str, str]]) -> None:
        """Write the services file. Each name has a backend and its labels (see `with_labels`)."""
        document = {
            name: {
                "labels": {**with_labels(**labels)},
                "external": {"host": backend.address, "ports": [backend.port]},
            }
            for name, (backend, labels) in services.items()
        }
        draft = self.folder / "services.new"
        draft.write_text(json.dumps({"name": "shop", "services": document}))  # JSON is YAML
        draft.replace(self.folder / "services.yml")

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command that ends by itself."""
        environment = {**self.environment, **variables}
        return subprocess.run(
            self._command(*command), env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )

    @contextmanager
    def running(self, *, within: Sequence[str] = (), **variables: str) -> Iterator[subprocess.Popen[str]]:
        """Run `proxy run` until the block ends, started by the command `within`. Its output goes to `log`."""
        with (
            self.log.open("w") as log,
            subprocess.Popen(
                [*within, *self._command("run")],
                env={**self.environment, **variables},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                text=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()

    def controller_pid(self) -> int:
        """The process of the controller that was started last."""
        found = re.findall(r"controller runs as process (\d+)", self.log.read_text())
        return int(found[-1])

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def current(self) -> Path:
        return self.folder / "state" / "current"

    @staticmethod
    def _command(*words: str) -> list[str]:
        return [sys.executable, "-m", "proxy", *words]


def read_processes(program: Program) -> Processes:
    """The master of the running HAProxy, and its workers."""

    def read() -> Processes | None:
        try:
            return parse_processes(MasterSocket(program.folder / "state" / "master.sock").send("show proc"))
        except RuntimeApiError:
            return None

    found = eventually(read)
    assert found
    return found
