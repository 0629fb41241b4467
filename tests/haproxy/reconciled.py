"""A real HAProxy with a real `Reconciler`. The test provides the containers; there is no engine, loop or waiting.

The test also moves the time, so it decides when routes that linger and removals end.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from proxy.adapters.haproxy.haproxy_process import HaproxyControl, HaproxyProgram
from proxy.adapters.haproxy.runtime_api import RuntimeApi
from proxy.adapters.haproxy.runtime_socket import MasterSocket, RuntimeSocket
from proxy.adapters.haproxy.state_files import StateFiles
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.controller import ports as control_port
from proxy.controller.assembly import Ports, assemble
from proxy.controller.background import AtOnce
from proxy.controller.observation import Observation
from proxy.controller.schedule import DuePass
from proxy.core.containers.containers import Container
from proxy.core.haproxy.file_names import CERTIFICATE_LIST
from proxy.core.haproxy.plans import Plan, Reload
from proxy.errors import ProxyError
from proxy.settings import Settings
from tests.builders import make_own_files, make_renderer
from tests.eventually import eventually
from tests.fakes import FakeProber, FakeSource
from tests.haproxy.places import Place
from tests.haproxy.running import run_haproxy

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
LONG_ENOUGH_SECONDS = 400.0
"""After this time every route that lingers and every removal has ended."""
ORDERED_MAPS = ("patterns.map", "wildcards.map")
FORCED_MAINT, FORCED_DRAIN = 1, 8
"""Bits of `srv_admin_state` (management guide, `show servers state`). 4 only says how the server was configured."""

State = dict[str, object]
"""What an HAProxy reports about itself, by subject."""


class Reconciled:
    """Change the containers with `apply`. `plans` has the plan of each pass. The containers run at `place`."""

    def __init__(self, binary: str, folder: Path, settings: Settings, place: Place | None = None) -> None:
        self.settings = settings
        self.plans: list[Plan] = []
        self.now = 0.0
        self._layout = layout = StateLayout(folder=folder)
        program = HaproxyProgram(binary, ENVIRONMENT)
        master = MasterSocket(layout.master_socket)
        haproxy = HaproxyControl(program, master, layout.server_state)
        self.takes_backends_at_runtime = program.version().has_runtime_backends
        self._command = program.master_command(layout.config, layout.master_socket)
        self.socket = RuntimeSocket(layout.runtime_socket)
        self._haproxy = haproxy
        self._source = FakeSource()
        if place:
            self._source.name = place.source
        self._put = place.put if place else lambda container: container
        self.prober = FakeProber()
        self._files = StateFiles(layout)
        self._reader = make_own_files(settings)
        self._faults: dict[str, ProxyError] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self.start_controller()

    def start_controller(self) -> None:
        """Start a controller that knows nothing."""
        self._source.invalidate()
        ports = Ports(
            control=cast("control_port.HaproxyControl", Failing(self._haproxy, self._faults)),
            runtime=RuntimeApi(self.socket),
            store=cast("control_port.StateStore", Failing(self._files, self._faults)),
            prober=self.prober,
            files=AtOnce(),
            checks=AtOnce(),
            make_renderer=partial(make_renderer, self.settings, self._layout.folder, self._reader.substitutes),
            read_own_files=self._reader.read,
            clock=lambda: self.now,
            wall_clock=time.time,
        )
        assembled = assemble(self.settings, Observation([self._source]), ports)
        self._desired, self._reconciler, self.pending = assembled.desired, assembled.reconciler, assembled.pending

    def restart_controller(self) -> None:
        """Another controller takes the folder over."""
        self._files.close()
        self._files = StateFiles(self._layout)
        self.start_controller()

    def kill_haproxy(self) -> None:
        """Kill master and workers, and start another one from the files, as the supervisor does."""
        assert self._process
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=20)
        self._layout.runtime_socket.unlink(missing_ok=True)
        self._start_haproxy()

    def fail(self, method: str, error: ProxyError) -> None:
        """Have the next call of a method of the store or the program raise `error`."""
        self._faults[method] = error

    def mend(self) -> None:
        """From now on nothing fails."""
        self._faults.clear()

    def send(self, command: str) -> str:
        """The reply to a command of somebody else."""
        return self.socket.send(command)

    def try_to_apply(self, containers: Sequence[Container]) -> None:
        """Have one pass, which may fail."""
        self._source.set(map(self._put, containers))
        self.now += 1.0
        with contextlib.suppress(ProxyError):
            self._pass(is_about_haproxy=True)

    def calm_down(self, containers: Sequence[Container]) -> None:
        """Have passes, full looks among them, until nothing is left to be done."""
        self._source.set(map(self._put, containers))
        for _ in range(4):
            self.now += LONG_ENOUGH_SECONDS
            self._pass(is_resync=True)
            self._pass()

    def _start_haproxy(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        eventually(lambda: self._haproxy.is_running() and self._layout.runtime_socket.exists())

    @contextmanager
    def run(self, containers: Sequence[Container]) -> Iterator[None]:
        """Run HAProxy from the files of `containers` until the block ends."""
        self._source.set(map(self._put, containers))
        self._pass(is_resync=True)
        try:
            self._start_haproxy()
            self._pass(is_resync=True)
            self.plans.clear()
            yield
        finally:
            if self._process:
                self._process.terminate()
                self._process.wait(timeout=20)
            self._files.close()

    def apply(self, containers: Sequence[Container], *, seconds: float = 1.0) -> None:
        """From now on exactly `containers` run. Make passes until all of them are applied."""
        self._source.set(map(self._put, containers))
        self.now += seconds
        for _ in range(2):  # the second pass applies which servers have answered
            self._pass()

    def settle(self) -> None:
        """Let time go by until no route lingers and no removal is left."""
        for _ in range(3):
            self.now += LONG_ENOUGH_SECONDS
            self._pass()

    def reload_reasons(self) -> list[str]:
        """Return the reasons of all reloads since HAProxy started."""
        return [reason for plan in self.plans if isinstance(plan, Reload) for reason in plan.reasons]

    def config(self) -> str:
        """Return the configuration on disk."""
        return self._layout.config.read_text()

    def maps(self) -> str:
        """Return all maps on disk."""
        return "".join(path.read_text() for path in sorted(self._layout.current.glob("maps/*.map")))

    def problems(self) -> list[str]:
        """Return the problems that users see."""
        return [str(problem) for problem in self._desired.problems()]

    def report(self) -> State:
        """Return what the running HAProxy reports about itself."""
        return report_state(self.socket)

    def report_fresh(self, binary: str, folder: Path) -> State:
        """Start an HAProxy from the present model, in `folder` and on the same ports, and return what it reports."""
        with run_haproxy(binary, folder, self._desired.model(), self.settings):
            return report_state(RuntimeSocket(folder / "haproxy.sock"))

    def _pass(self, *, is_resync: bool = False, is_about_haproxy: bool = False) -> None:
        due = DuePass(reasons=("test",), is_resync=is_resync, is_about_haproxy=is_about_haproxy)
        self.plans.append(self._reconciler.run_pass(due).plan)


class Failing:
    """Stands before an object; a method that `faults` names raises once."""

    def __init__(self, inner: object, faults: dict[str, ProxyError]) -> None:
        self._inner = inner
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        error = self._faults.pop(name, None)
        if error:
            raise error
        return getattr(self._inner, name)


def report_state(socket: RuntimeSocket) -> State:
    """Return backends, servers, maps and certificates, without memory addresses, order of creation and health."""
    maps = re.findall(r"^\S+ \((maps/[^)]+)\)", socket.send("show map"), re.MULTILINE)
    lists = re.findall(r"^\S+\.list$", socket.send("show ssl crt-list"), re.MULTILINE)
    listed = socket.send(f"show ssl crt-list {lists[0]}").splitlines() if lists else []
    names = [line for line in socket.send("show ssl cert").splitlines() if line and not line.startswith("#")]
    return {
        "backends": sorted(set(socket.send("show backend").split()) - {"#", "name"}),
        "servers": _servers(socket.send("show servers state")),
        "maps": {name: _rows(name, socket.send(f"show map {name}")) for name in sorted(set(maps))},
        CERTIFICATE_LIST: sorted(line for line in listed if not line.startswith("#")),
        "certificates": {name: _certificate(socket.send(f"show ssl cert {name}")) for name in sorted(names)},
    }


def differences(first: State, second: State, where: str = "") -> list[str]:
    """Return the differences between two reports, one line each."""
    found = []
    for key in sorted({*first, *second}):
        one, other = first.get(key), second.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            found += differences(one, other, f"{where}{key} ")
        elif one != other:
            found.append(f"{where}{key}: {one} is not {other}")
    return found


def _servers(reply: str) -> dict[str, tuple[str, ...]]:
    header, *rows = [line.split() for line in reply.splitlines()[1:] if line.strip()]
    columns = header[1:]
    found = {}
    for row in rows:
        values = dict(zip(columns, row, strict=False))
        weight, port = values["srv_uweight"], values["srv_port"]
        state = _administrative_state(int(values["srv_admin_state"]))
        found[f"{values['be_name']}/{values['srv_name']}"] = (f"{values['srv_addr']}:{port}", weight, state)
    return dict(sorted(found.items()))


def _administrative_state(bits: int) -> str:
    if bits & FORCED_MAINT:
        return "maint"
    return "drain" if bits & FORCED_DRAIN else "ready"


def _rows(name: str, reply: str) -> list[str]:
    rows = [line.partition(" ")[2] for line in reply.splitlines() if line.strip()]
    return rows if name.endswith(ORDERED_MAPS) else sorted(rows)


def _certificate(reply: str) -> list[str]:
    return [line for line in reply.splitlines() if line.startswith(("Serial", "SHA1", "Status"))]
