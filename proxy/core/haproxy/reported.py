"""What a running HAProxy says that it has: backends, servers, map rows, certificates.

In: replies of the runtime API (management guide, section 9.3). Out: `Reported`. A reply in a form that is not understood
raises `RuntimeApiError`. Order of creation and health are left out: they are no part of the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from proxy.core.haproxy.file_names import CERTIFICATE_FOLDER, MAP_FOLDER
from proxy.core.haproxy.replies import parse_version, select_states
from proxy.core.model.matching import Row
from proxy.core.model.model import ServerState
from proxy.errors import RuntimeApiError

_MAP = re.compile(rf"^\S+ \(({re.escape(MAP_FOLDER)}/[^)]+)\)", re.MULTILINE)
_FINGERPRINT = re.compile(r"^SHA1 FingerPrint: ([0-9A-F]+)$", re.MULTILINE)
_COLUMNS = ("be_name", "srv_name", "srv_addr", "srv_port", "srv_uweight", "srv_admin_state")
_FORCED_MAINTENANCE, _FORCED_DRAIN = 0x01, 0x08
"""Bits of `srv_admin_state` for what a command or the configuration asked for (management guide, `show servers state`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One worker process. Its number alone could be another one's after a restart, so its start time goes with it."""

    pid: int
    started_at: int
    has_runtime_backends: bool = False
    config_digest: str = ""
    """Which configuration it was started from (see `loaded`); empty where that is not told."""


class ReportedServer(NamedTuple):
    """Where a server is and what it was told to do."""

    address: str
    port: int
    weight: int
    state: ServerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """Everything of a model that HAProxy tells of itself."""

    servers: Mapping[str, Mapping[str, ReportedServer]] = field(default_factory=dict)
    """By backend, then by name. A backend without servers is there, too."""
    maps: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    """Rows by file, in their order."""
    certificates: Mapping[str, str] = field(default_factory=dict)
    """SHA-1 fingerprint of the first certificate by file; empty where nothing was stored under the name yet."""
    listed: frozenset[str] = frozenset()
    """Files of certificates that are shown to visitors."""


def parse_worker(info: str, environment: str) -> Worker:
    """Read who answers out of `show info` and `show env` of one variable."""
    fields = dict(line.partition(": ")[::2] for line in info.splitlines())
    try:
        pid, started_at = int(fields["Pid"]), int(fields.get("Start_time_sec", 0))
    except (KeyError, ValueError):
        raise RuntimeApiError(f"`show info` does not tell the process: {info[:200]!r}") from None
    return Worker(
        pid=pid,
        started_at=started_at,
        has_runtime_backends=parse_version(fields.get("Version", "")).has_runtime_backends,
        config_digest=environment.strip().partition("=")[2],
    )


def parse_servers(backends: str, states: str) -> Mapping[str, Mapping[str, ReportedServer]]:
    """Read `show backend` and `show servers state`."""
    found: dict[str, dict[str, ReportedServer]] = {
        name: {} for line in backends.splitlines() if (name := line.strip()) and not name.startswith("#")
    }
    for backend, name, address, port, weight, bits in select_states(states, _COLUMNS):
        found.setdefault(backend, {})[name] = ReportedServer(address, int(port), int(weight), _state(int(bits)))
    return found


def _state(bits: int) -> ServerState:
    if bits & _FORCED_MAINTENANCE:
        return ServerState.MAINT
    return ServerState.DRAIN if bits & _FORCED_DRAIN else ServerState.READY


def parse_map_files(reply: str) -> Sequence[str]:
    """Read the names of our maps out of `show map`."""
    return tuple(dict.fromkeys(_MAP.findall(reply)))


def parse_map(reply: str) -> tuple[Row, ...]:
    """Read `show map FILE`: each line is a reference, a key, and a value."""
    rows = (line.split(" ", 2) for line in reply.splitlines() if line.strip())
    return tuple((row[1], row[2]) for row in rows if len(row) == 3)


def parse_certificate_files(reply: str) -> Sequence[str]:
    """Read the names of our certificates out of `show ssl cert`; those of unfinished transactions begin with `*`."""
    names = (line.strip() for line in reply.splitlines())
    return tuple(dict.fromkeys(name for name in names if name.lstrip("*").startswith(f"{CERTIFICATE_FOLDER}/")))


def parse_fingerprint(reply: str) -> str:
    """Read the SHA-1 fingerprint out of `show ssl cert FILE`; empty where there is none."""
    match = _FINGERPRINT.search(reply)
    return match[1] if match else ""


def parse_listed(reply: str) -> frozenset[str]:
    """Read `show ssl crt-list FILE`: the files of a list."""
    lines = (line.strip() for line in reply.splitlines())
    return frozenset(line.split()[0].partition(":")[0] for line in lines if line and not line.startswith("#"))
