"""What the running HAProxy has loaded at its last start or reload, and what it can do.

In: the text of the configuration that it was started from. Out: `Loaded`, and why another text needs a reload. HAProxy can
add and remove backends at runtime (3.4) and servers, but tells nothing of the lines of a section; so each configuration has
a digest, which HAProxy tells (`show env`), and by which the text is found among the files that are kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from proxy.core.model.port_uses import PortUse

DIGEST_VARIABLE = "PROXY_CONFIG_DIGEST"
"""The environment variable, set by the configuration itself (`setenv`), through which HAProxy tells what it has loaded."""

_DIGEST_LINE = re.compile(rf"^    setenv {DIGEST_VARIABLE} ([0-9a-f]+)\n", re.MULTILINE)
_GLOBAL = re.compile(r"^global\b[^\n]*\n", re.MULTILINE)
_HEADER = re.compile(r"[a-z-]+(?: |$)")
_PROFILE = re.compile(r"defaults (profile_\S+) ")
_BACKEND = re.compile(r"backend (\S+) from (\S+)")
_PORT = re.compile(r"frontend port_(\d+) ")
_BIND = re.compile(r"^\s*bind :(\d+)", re.MULTILINE)
_TLS_BIND = re.compile(r"bind :\d+\S*(?: v6only)? ssl crt-list ")
_TCP_PORT = re.compile(r"listen tcp_(\d+) ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the running HAProxy has loaded, and can do.

    `sections` are (header -> lines), without servers and services. New backends can be made from `profiles`;
    `ports` have maps.
    """

    sections: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    profiles: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset()
    has_runtime_backends: bool = False

    @property
    def shows_certificates(self) -> bool:
        """Whether a port uses the list of certificates; HAProxy does not know the list otherwise."""
        return any(_TLS_BIND.match(line) for lines in self.sections.values() for line in lines)


def load_sections(config: str, *, has_runtime_backends: bool) -> Loaded:
    """Return what an HAProxy has that was started from `config`."""
    sections = {header: lines for header, lines in _sections(config) if not _is_service(header, lines)}
    return Loaded(
        sections=sections,
        profiles=frozenset(match[1] for header in sections if (match := _PROFILE.match(header))),
        ports=frozenset(int(match[1]) for header in sections if (match := _PORT.match(header))),
        has_runtime_backends=has_runtime_backends,
    )


def add_digest(config: str) -> str:
    """Return `config` with a line by which the running HAProxy tells which text it was started from."""
    digest = hashlib.sha256(config.encode()).hexdigest()[:32]
    return _GLOBAL.sub(lambda match: f"{match[0]}    setenv {DIGEST_VARIABLE} {digest}\n", config, count=1)


def read_digest(config: str) -> str:
    """Return the digest that stands in `config`; empty when there is none."""
    match = _DIGEST_LINE.search(config)
    return match[1] if match else ""


def reload_reasons(loaded: Loaded, wanted: str) -> Iterator[str]:
    """Say what of the configuration `wanted` only a reload can bring to an HAProxy that has `loaded`.

    Backends without lines of their own are left out: HAProxy itself tells which of them it has.
    """
    sections = dict(_sections(wanted))
    known = loaded.sections
    if not any(map(_hands_sessions_over, sections)):
        # What hands sessions over to a new worker may stay until the next reload when the last table of them has gone.
        known = {header: _without_peer(lines) for header, lines in known.items() if not _hands_sessions_over(header)}
    for header, lines in sections.items():
        if known.get(header) == lines or _is_service(header, lines):
            continue
        yield _describe(header, is_known=header in loaded.sections)
    for header in known:
        if header not in sections and not _PROFILE.match(header):
            yield _describe_gone(header)


def listening_ports(config: str) -> frozenset[int]:
    """Return the ports that an HAProxy that was started from `config` listens on, as they really are."""
    return frozenset(int(port) for port in _BIND.findall(config))


def port_uses(config: str) -> dict[int, PortUse]:
    """Return what an HAProxy that was started from `config` uses its ports for, as users write them."""
    uses: dict[int, PortUse] = {}
    for header, lines in _sections(config):
        is_tls = any(_TLS_BIND.match(line) for line in lines)
        if match := _PORT.match(header):
            uses[int(match[1])] = PortUse.HTTPS if is_tls else PortUse.HTTP
        elif match := _TCP_PORT.match(header):
            uses[int(match[1])] = PortUse.TCP_TLS if is_tls else PortUse.TCP
    return uses


def fixed_backends(config: str) -> frozenset[str]:
    """Return the names of what has servers in `config` and is no service: the operator's backends, the statistics page."""
    headers = (header.split() for header, lines in _sections(config) if not _is_service(header, lines))
    return frozenset(words[1] for words in headers if words[0] in ("backend", "listen", "frontend"))


def _is_service(header: str, lines: tuple[str, ...]) -> bool:
    """Whether the section is a backend of which the name says everything."""
    match = _BACKEND.match(header)
    return bool(match and match[2].startswith("profile_") and not lines)


def _hands_sessions_over(header: str) -> bool:
    return header.startswith("peers ")


def _without_peer(lines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(line for line in lines if not line.startswith("localpeer "))


def _describe(header: str, *, is_known: bool) -> str:
    if is_known:
        if match := _PORT.match(header) or _TCP_PORT.match(header):
            return f"{'TCP ' if 'tcp' in header.split()[1] else ''}port {match[1]} changes its settings"
        return f"section `{header}` has changed"
    if match := _PORT.match(header):
        return f"new listening port {match[1]}"
    if match := _TCP_PORT.match(header):
        return f"new TCP port {match[1]}"
    return f"section `{header}` is new"


def _describe_gone(header: str) -> str:
    if match := _PORT.match(header):
        return f"port {match[1]} is no longer used"
    if match := _TCP_PORT.match(header):
        return f"TCP port {match[1]} is no longer used"
    return f"section `{header}` is gone"


def _sections(config: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (header, lines) of each section, without servers, empty lines, comments and the digest."""
    header, lines = "", list[str]()
    for line in _DIGEST_LINE.sub("", config).splitlines():
        if line[:1].isalpha() and _HEADER.match(line):
            if header:
                yield header, tuple(lines)
            header, lines = line, []
        elif (stripped := line.strip()) and not stripped.startswith("#") and not _is_server(header, stripped):
            lines.append(stripped)
    if header:
        yield header, tuple(lines)


def _is_server(header: str, line: str) -> bool:
    """Whether the line is a server that comes and goes at runtime; the operator's own backends are fixed."""
    return line.startswith("server ") and header.startswith(("backend ", "listen tcp_")) and " from http" not in header
