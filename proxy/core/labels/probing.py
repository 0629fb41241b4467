"""Probes of simple routing (`aliyun.probe.*`): how a container is probed, and which health follows from its answers.

In: the text of the labels, then the answers, one at a time. Out: `Probe`, and the `Health` that follows. No I/O here:
`adapters/probes` runs the commands, and also a URL's probe until its first good answer; then HAProxy's checks take over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from proxy.core.containers.containers import Health
from proxy.grammar.syntax import quote
from proxy.grammar.virtual_host import parse_port

INTERVAL_SECONDS = 2
FAILURES_UNTIL_DOWN = 2
SUCCESSES_UNTIL_UP = 2
"""Two equal answers in a row decide. Traffic stops after two intervals, and a single slow answer changes nothing."""
DEFAULT_TIMEOUT_SECONDS = 2.0
MAX_PATH_LENGTH = 1024

_GRAVITY = (Health.NONE, Health.HEALTHY, Health.STARTING, Health.UNHEALTHY)
_URL = re.compile(r"(?P<scheme>[a-z]+)://(?P<host>[^/:?#]+)(?::(?P<port>[^/?#]*))?(?P<path>[/?].*)?", re.IGNORECASE)
_SECONDS = re.compile(r"\d{1,5}(?:\.\d{1,3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What HAProxy probes. With a `path`: GET over HTTP, healthy on 2xx or 3xx. Without: a connection to the port."""

    port: int
    path: str = ""

    @property
    def host(self) -> str:
        """The Host header of the probe."""
        return "container" if self.port == 80 else f"container:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How a container is probed: by `target`, or by `command`, which a shell in the container runs (0 is healthy)."""

    target: Target | None = None
    command: str = ""
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    initial_delay_seconds: float = 0.0

    def server_options(self) -> str:
        """Return the check options of a server line; empty for a command, which HAProxy cannot run."""
        if self.target is None:
            return ""
        counts = f"fall {FAILURES_UNTIL_DOWN} rise {SUCCESSES_UNTIL_UP}"
        return f"check port {self.target.port} inter {INTERVAL_SECONDS}s {counts}"

    def backend_lines(self) -> tuple[str, ...]:
        """Return the backend's lines that belong to the check (manual, `option httpchk`, `timeout check`)."""
        if self.target is None:
            return ()
        lines = [f"timeout check {round(self.timeout_seconds * 1000)}ms"]
        if self.target.path:
            lines += [
                "option httpchk",
                f"http-check send meth GET uri {quote(self.target.path)} ver HTTP/1.1 hdr Host {self.target.host}",
                "http-check expect status 200-399",
            ]
        return tuple(lines)


@dataclass(slots=True, kw_only=True)
class ProbeRecord:
    """The health after the answers so far. It starts as `STARTING`, or as `NONE` for a container that is trusted without a
    test: that one counts as healthy until its first bad answer."""

    health: Health = Health.STARTING
    _streak: int = field(default=0, init=False)

    def add(self, *, is_good: bool) -> Health:
        """Add an answer and return the health that follows. The first answer decides alone; later, several in a row do."""
        agrees = is_good == (self.health is Health.HEALTHY)
        if self.health in (Health.STARTING, Health.NONE):
            self._streak = 0
            self.health = _health(is_good=is_good, before=self.health)
        elif agrees:
            self._streak = 0
        else:
            self._streak += 1
            if self._streak >= (SUCCESSES_UNTIL_UP if is_good else FAILURES_UNTIL_DOWN):
                self._streak = 0
                self.health = Health.HEALTHY if is_good else Health.UNHEALTHY
        return self.health


def combine(engine: Health, probe: Health) -> Health:
    """Return the worse of the engine's HEALTHCHECK and the probe: a container is healthy only if both say so."""
    return max(engine, probe, key=_GRAVITY.index)


def parse_target(text: str) -> Target:
    """Parse `http://container[:port]/path` or `tcp://container:port`. Raises ValueError with the reason."""
    match = _URL.fullmatch(text)
    if not match:
        raise ValueError("is not http://container[:port]/path or tcp://container:port")
    scheme, path = match["scheme"].lower(), match["path"] or ""
    if match["host"].lower() != "container":
        raise ValueError(f"has the host {match['host']!r}; write the word `container` instead")
    if scheme == "http":
        port = parse_port(match["port"]) if match["port"] is not None else 80
        return Target(port=port, path=_parse_path(path))
    if scheme != "tcp":
        raise ValueError(f"has the scheme {scheme!r}; write http or tcp")
    if match["port"] is None or path not in ("", "/"):
        raise ValueError("is not tcp://container:port, with a port and no path")
    return Target(port=parse_port(match["port"]))


def parse_command(text: str) -> str:
    """Return `text` as a shell command. Raises ValueError if it contains a zero byte."""
    if "\x00" in text:
        raise ValueError("contains a zero byte")
    return text


def parse_timeout(text: str) -> float:
    """Parse a time in seconds, greater than 0. Raises ValueError with the reason."""
    seconds = parse_delay(text)
    if seconds <= 0:
        raise ValueError("is not a time; write seconds, such as 2")
    return seconds


def parse_delay(text: str) -> float:
    """Parse a time in seconds, 0 or more. Raises ValueError with the reason."""
    if not _SECONDS.fullmatch(text):
        raise ValueError("is not a number of seconds from 0 to 99999")
    return float(text)


def _parse_path(path: str) -> str:
    path = path if path.startswith("/") else f"/{path}"
    if len(path) > MAX_PATH_LENGTH:
        raise ValueError(f"has a path of {len(path)} characters, more than {MAX_PATH_LENGTH}")
    if not re.fullmatch(r"[!-~]+", path) or "#" in path:
        raise ValueError(f"has the path {path!r}, which contains blanks, # or characters that need percent-encoding")
    return path


def _health(*, is_good: bool, before: Health) -> Health:
    """Return the health after a first answer. A bad answer leaves a container that is starting in `STARTING`."""
    if is_good:
        return Health.HEALTHY
    return Health.STARTING if before is Health.STARTING else Health.UNHEALTHY
