"""Load from wrk (Debian's package), bounded in time, and what it saw."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SCRIPT = """\
local hosts = {{ {hosts} }}
local number = 0
request = function()
  number = number % #hosts + 1
  return wrk.format("GET", "/", {{ ["Host"] = hosts[number], ["Connection"] = "{connection}" }})
end
"""


@dataclass(slots=True)
class Load:
    """Requests that were answered or not; complete once the load has ended."""

    requests: int = 0
    failed: int = 0


def install(*packages: str) -> None:
    """Install Debian's packages that are missing, without starting what they serve; says so."""
    missing = [package for package in packages if not shutil.which(package.removesuffix("-light"), path=f"{os.environ['PATH']}:/usr/sbin")]
    if missing:
        print(f"installing {', '.join(missing)}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=environment, check=True, timeout=300)


@contextmanager
def start_load(port: int, hosts: Sequence[str], *, seconds: float) -> Iterator[Load]:
    """Ask for all hosts while the block runs, on kept connections and on one per request; ends with the block at the latest."""
    load = Load()
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for connection in ("keep-alive", "close"):
            script = Path(folder) / f"{connection}.lua"
            script.write_text(SCRIPT.format(hosts=", ".join(f'"{host}"' for host in hosts), connection=connection))
            command = ["wrk", "-t1", "-c4", f"-d{seconds:.0f}s", "-s", str(script), f"http://127.0.0.1:{port}/"]
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        try:
            yield load
        finally:
            for process in processes:
                output, _ = process.communicate(timeout=seconds + 30)
                load.requests += _number(r"(\d+) requests in", output)
                load.failed += _number(r"Non-2xx or 3xx responses: (\d+)", output)
                load.failed += sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", output)))


def requests_per_second(port: int, host: str, *, seconds: int, cores: str) -> float:
    """Ask for one host on 32 kept connections, from these cores; returns the rate of good answers."""
    command = ["taskset", "-c", cores, "wrk", "-t1", "-c32", f"-d{seconds}s", "-H", f"Host: {host}", f"http://127.0.0.1:{port}/"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
    good = _number(r"(\d+) requests in", output) - _number(r"Non-2xx or 3xx responses: (\d+)", output)
    return good / seconds


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return int(match[1]) if match else 0
