"""Load from wrk (Debian's package) for a limited time, and its results."""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SCRIPT = """\
local workers = {{}}
function setup(thread) table.insert(workers, thread) end
function init() wrong = 0; told = "" end
request = function() return wrk.format("GET", "/", {{ ["Host"] = "{host}", ["Connection"] = "{connection}" }}) end
function response(status, headers, body)
  if status ~= 200 or not string.find(body, [[{expects}]], 1, true) then
    wrong = wrong + 1
    told = status .. " " .. string.sub(body, 1, 80)
  end
end
function done()
  for _, thread in ipairs(workers) do print("wrong: " .. thread:get("wrong") .. " " .. thread:get("told")) end
end
"""


@dataclass(slots=True)
class Load:
    """The number of requests, and of those that failed or got another status or text. Complete when the load has ended."""

    requests: int = 0
    failed: int = 0
    reports: list[str] = field(default_factory=list)


@contextmanager
def start_load(port: int, host: str, *, seconds: float, expects: str = "", scheme: str = "http") -> Iterator[Load]:
    """Send requests for a host while the block runs, on lasting connections and on one connection per request.

    Answers must contain `expects`. The load ends with the block, and after `seconds` at the latest. With `https`, every
    certificate is accepted.
    """
    load = Load()
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for connection in ("keep-alive", "close"):
            script = Path(folder) / f"{connection}.lua"
            script.write_text(SCRIPT.format(host=host, connection=connection, expects=expects))
            command = [
                "wrk",
                "-t1",
                "-c2",
                "--timeout",
                "10s",
                f"-d{seconds:.0f}s",
                "-s",
                str(script),
                f"{scheme}://127.0.0.1:{port}/",
            ]
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        try:
            yield load
        finally:
            for process in processes:
                process.send_signal(signal.SIGINT)  # on this signal it reports its results so far
            for process in processes:
                _read_report(process.communicate(timeout=seconds + 30)[0], load)


def requests_per_second(port: int, host: str, *, seconds: int, cores: str) -> float:
    """Send requests for one host on 32 lasting connections, from these cores. Returns the rate of good answers."""
    command = [
        "taskset",
        "-c",
        cores,
        "wrk",
        "-t1",
        "-c32",
        f"-d{seconds}s",
        "-H",
        f"Host: {host}",
        f"http://127.0.0.1:{port}/",
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
    return (_number(r"(\d+) requests in", output) - _number(r"Non-2xx or 3xx responses: (\d+)", output)) / seconds


def _read_report(output: str, load: Load) -> None:
    load.requests += _number(r"(\d+) requests in", output)
    load.failed += _number(r"wrong: (\d+)", output)
    load.failed += sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", output)))
    load.reports.append(" ".join(output.split()))


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return int(match[1]) if match else 0
