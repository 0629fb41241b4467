"""A Docker engine: one that already answers, or else a private one that shares nothing with others.

The private engine is started without a service manager. It lives until `down` ends it or the machine stops, and keeps its
images when it is stopped. Its sockets, data, bridge and address range belong to the checkout.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from tests.real import host_network, machine, processes, programs
from tests.real.host_network import Before, Range
from tests.real.places import Places
from tests.real.steps import StepError, answer, last_lines, require_root, run

_PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Engine:
    """An engine that answers at `host`, a value for DOCKER_HOST."""

    host: str
    version: str
    is_private: bool


def provide(places: Places) -> Engine:
    """Return the engine that the current settings reach, else the private one, which is started unless it runs."""
    found = find(places)
    if found is None:
        require_root("to start a Docker engine (no engine answers)")
        _start(places)
        found = find(places)
    if found is None:
        raise StepError(f"the engine at {private_host(places)} does not answer")
    return found


def find(places: Places) -> Engine | None:
    """Return the engine that answers now: by the current settings, or else the private one."""
    own_host = private_host(places)
    if version := _answering_by_settings():
        host = os.environ.get("DOCKER_HOST") or _host_of_context()
        return Engine(host, version, is_private=host == own_host)
    if version := _ask_version(own_host):
        return Engine(own_host, version, is_private=True)
    return None


def install_programs() -> str:
    """Install what is missing of engine and client. The Swarm's engines need it even where an engine answers."""
    wanted = dict(programs.ENGINE)
    if machine.program("docker") is None and answer("apt-cache", "show", "docker-cli"):
        wanted["docker"] = "docker-cli"  # newer Debian releases have a separate package for the client
    return programs.provide(wanted)


def stop(places: Places) -> str:
    """Stop the private engine if it runs, and remove what it leaves on the host."""
    if not _settings_file(places).exists():
        return "no private engine was started from this checkout"
    require_root("to stop the private engine")
    pid = _running_pid(places)
    if pid is not None:
        processes.end(pid, signal.SIGTERM)
    _remove_leftovers(places)
    return f"stopped the engine (pid {pid})" if pid else "the engine was not running; removed its leftovers"


def _start(places: Places) -> None:
    if _running_pid(places) is not None:
        raise StepError(f"dockerd runs but does not answer; see {places.engine / 'dockerd.log'}")
    if _settings_file(places).exists():  # it was killed and not stopped
        _remove_leftovers(places)
    addresses = host_network.free_range()
    mtu = host_network.uplink_mtu()
    for folder in (places.engine, places.engine_run):
        folder.mkdir(parents=True, exist_ok=True)
    Before.read().save(places.engine / "before.json")
    _settings_file(places).write_text(json.dumps(_settings(places, addresses, mtu), indent=2))
    # The engine would go back to the addresses that its bridge had at an earlier start, which may be another one's by now.
    shutil.rmtree(places.engine / "data" / "network", ignore_errors=True)
    host_network.make_bridge(_bridge(places), addresses, mtu)
    _launch(places)


def _settings(places: Places, addresses: Range, mtu: int) -> dict[str, object]:
    return {
        "hosts": [private_host(places)],
        "data-root": str(places.engine / "data"),
        "exec-root": str(places.engine_run),
        "pidfile": str(places.engine / "dockerd.pid"),
        "bridge": _bridge(places),
        "mtu": mtu,
        "default-address-pools": [{"base": addresses.pool, "size": 24}],
        "shutdown-timeout": 5,
    }


def _launch(places: Places) -> None:
    dockerd = machine.program("dockerd")
    if dockerd is None:
        raise StepError("the package docker.io has no program dockerd")
    log = places.engine / "dockerd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(dockerd), "--config-file", str(_settings_file(places))],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # it keeps running when the terminal that started it closes
        )
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _ask_version(private_host(places)) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise StepError(f"dockerd did not start\n{last_lines(log.read_text(errors='replace'))}")
        time.sleep(0.1)


def _running_pid(places: Places) -> int | None:
    """Return the process id of our dockerd, if the process in the pid file was really started with our settings file."""
    try:
        pid = int((places.engine / "dockerd.pid").read_text())
    except (OSError, ValueError):
        return None
    words = processes.command_line(pid)
    is_ours = bool(words) and words[0].endswith("dockerd") and str(_settings_file(places)) in words
    return pid if is_ours else None


def _remove_leftovers(places: Places) -> None:
    settings = json.loads(_settings_file(places).read_text())
    pool = IPv4Network(settings["default-address-pools"][0]["base"])
    addresses = Range(pool.supernet())
    processes.end_orphans(places.engine_run)
    host_network.remove_mounts(places.engine, places.engine_run)
    shutil.rmtree(places.engine_run, ignore_errors=True)
    bridges = host_network.remove_bridges(addresses)
    host_network.remove_rules(addresses, [*bridges, settings["bridge"]], Before.load(places.engine / "before.json"))
    for name in ("dockerd.pid", "before.json", "daemon.json"):
        (places.engine / name).unlink(missing_ok=True)


def _answering_by_settings() -> str | None:
    return answer("docker", "version", "--format", "{{.Server.Version}}")


def _ask_version(host: str) -> str | None:
    return answer("docker", "--host", host, "version", "--format", "{{.Server.Version}}")


def _host_of_context() -> str:
    return run("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}").strip()


def private_host(places: Places) -> str:
    return f"unix://{places.engine_run / 'docker.sock'}"


def _settings_file(places: Places) -> Path:
    return places.engine / "daemon.json"


def _bridge(places: Places) -> str:
    return f"real-{places.key}"
