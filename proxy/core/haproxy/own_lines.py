"""The host names and files in the proxy's own settings, and what stands for them while they are not there.

In: `Settings`, and `Substitutes`: the addresses of names, and the copies of files. Out: settings and text that HAProxy loads
whatever has gone away. HAProxy resolves names and opens files at each start and reload, and refuses the whole configuration
if one of them is missing.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from proxy.grammar.syntax import split_words
from proxy.settings import HaproxySettings, RoutingSettings, Settings
from proxy.settings.value_parsers import is_address

STANDARD_OUTPUT = "stdout"

_HOST = re.compile(r"(?:(?:udp|tcp|ip)v?[46]?@)?(?P<host>[A-Za-z0-9][\w.-]*)(?P<port>:[\w+-]*)?", re.ASCII)
_NO_HOST = re.compile(r"global|stdout|stderr", re.ASCII)
_SERVERS = ("server", "server-template")
_PATH = re.compile(r"(?<![\w./@-])/[^\s,;()'\"\\]+")
"""A path in a line: HAProxy has it as a word, or as an argument of a function such as `map(/file)`."""
_KEEPS_ITS_ADDRESS, _NO_ADDRESS = "init-addr last,libc,none", "init-addr last,none"
"""HAProxy then starts although the name of a server cannot be resolved. Without an address the server gets no requests.
While it is known that the name has no address, HAProxy does not wait for the DNS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitutes:
    """What stands for names and files of the settings. `addresses` has each name that can be resolved.

    `files` has the copy of each file that is missing.
    """

    addresses: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def put_files(self, config: str) -> str:
        """Return the configuration with copies in place of the files that are missing."""
        return _PATH.sub(lambda match: self.files.get(match[0], match[0]), config) if self.files else config


def log_hosts(settings: Settings) -> frozenset[str]:
    """Return the names of log servers."""
    targets = [settings.haproxy.log_target, *(target for line in _lines(settings) if (target := _log_target(line)))]
    return frozenset(host for target in targets if (host := _name_in(target)))


def server_hosts(settings: Settings) -> frozenset[str]:
    """Return the names of servers in the operator's own backends."""
    lines = (line for lines in settings.routing.additional_backends.values() for line in lines)
    return frozenset(host for line in lines if (host := _server_host(line)))


def file_paths(settings: Settings) -> frozenset[str]:
    """Return everything in the operator's lines that may be the path of a file."""
    routing, haproxy = settings.routing, settings.haproxy
    texts = [routing.balance, routing.health_check or "", routing.extra_route_settings, *haproxy.options]
    texts += [text for texts in haproxy.extra_bind_settings.values() for text in texts]
    return frozenset(path for text in (*texts, *_lines(settings)) for path in _PATH.findall(text))


def adapt(settings: Settings, substitutes: Substitutes) -> Settings:
    """Return the settings as HAProxy can load them now: log servers by their address, servers that may have none."""
    addresses = substitutes.addresses
    return dataclasses.replace(
        settings,
        haproxy=_adapt_haproxy(settings.haproxy, addresses),
        routing=_adapt_routing(settings.routing, addresses),
    )


def _adapt_haproxy(haproxy: HaproxySettings, addresses: Mapping[str, str]) -> HaproxySettings:
    host = _name_in(haproxy.log_target)
    target = _with_address(haproxy.log_target, addresses) if host in addresses else STANDARD_OUTPUT
    return dataclasses.replace(
        haproxy,
        log_target=target if host else haproxy.log_target,
        extra_global_settings=_adapt_lines(haproxy.extra_global_settings, addresses),
        extra_default_settings=_adapt_lines(haproxy.extra_default_settings, addresses),
    )


def _adapt_routing(routing: RoutingSettings, addresses: Mapping[str, str]) -> RoutingSettings:
    frontends = {port: _adapt_lines(lines, addresses) for port, lines in routing.extra_frontend_settings.items()}
    backends = {name: _adapt_lines(lines, addresses) for name, lines in routing.additional_backends.items()}
    return dataclasses.replace(routing, extra_frontend_settings=frontends, additional_backends=backends)


def _adapt_lines(lines: Iterable[str], addresses: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(adapted for line in lines if (adapted := _adapt_line(line, addresses)))


def _adapt_line(line: str, addresses: Mapping[str, str]) -> str:
    """Return a line that HAProxy can load; empty where it logs to a server that has no address."""
    if target := _log_target(line):
        host = _name_in(target)
        if not host:
            return line
        return line.replace(target, _with_address(target, addresses), 1) if host in addresses else ""
    if host := _server_host(line):
        return f"{line} {_KEEPS_ITS_ADDRESS if host in addresses else _NO_ADDRESS}"
    return line


def _lines(settings: Settings) -> Iterator[str]:
    yield from settings.haproxy.extra_global_settings
    yield from settings.haproxy.extra_default_settings
    for group in (settings.routing.extra_frontend_settings, settings.routing.additional_backends):
        for lines in group.values():
            yield from lines


def _log_target(line: str) -> str:
    """Return the target of a `log` line, such as `logs.example.com:514`; empty for another line."""
    words = split_words(line)
    return words[1] if len(words) > 1 and words[0] == "log" and words[1] in line else ""


def _server_host(line: str) -> str:
    """Return the name of a server line's host; empty where the line has none, or says itself how to resolve it."""
    words = split_words(line)
    place = 3 if words[0] == "server-template" else 2
    if words[0] not in _SERVERS or len(words) <= place or {"init-addr", "resolvers"} & {*words}:
        return ""
    return _name_in(words[place])


def _name_in(target: str) -> str:
    """Return the host name in `host[:port]`; empty for an address, a path and anything else."""
    match = _HOST.fullmatch(target)
    if not match or _NO_HOST.fullmatch(target) or is_address(match["host"]):
        return ""
    return match["host"]


def _with_address(target: str, addresses: Mapping[str, str]) -> str:
    host = _name_in(target)
    address = addresses[host]
    return (f"[{address}]" if ":" in address else address) + target.rpartition(host)[2]
