"""Backends from a services file in Compose's vocabulary, where there is no engine or the backends are no containers.

In: a YAML file (`core/containers/services_file`), and the DNS for host names in it. Out: `Snapshot` with one container per
address. A name that cannot be resolved for a while keeps the addresses it had.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import yaml

from proxy.core.containers.containers import Container, Snapshot
from proxy.core.containers.services_file import FileService, ServicesFile, parse_services_file
from proxy.core.trigger import Trigger
from proxy.errors import Problem, SourceError

RESOLVE_SECONDS = 30.0
"""How long the addresses of a name are taken as known, so that not every pass waits for the DNS."""


class Watcher(Protocol):
    """What tells of changes of the file: a `FileWatcher` for its path."""

    def watch(self, put: Callable[[Trigger], None]) -> None: ...
    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resolved:
    """What the DNS said of a host name, and when (monotonic clock)."""

    at_seconds: float
    addresses: tuple[str, ...]
    fault: str = ""


def resolve_host(host: str) -> tuple[str, ...]:
    """Return all addresses of a host name or of an address itself, sorted; raise `OSError` when there are none."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(sorted({str(entry[4][0]) for entry in found}))


class FileSource:
    """The services that the file at `path` describes. A problem of one costs only it."""

    name = "file"

    def __init__(self, path: Path, watcher: Watcher, resolve: Callable[[str], tuple[str, ...]] = resolve_host) -> None:
        self._path = path
        self._watcher = watcher
        self._resolve = resolve
        self._text: str | None = None
        self._file = ServicesFile()
        self._resolved: dict[str, _Resolved] = {}

    def read(self) -> Snapshot:
        """Return the services as the file has them now; raise `SourceError` when it is missing or is no YAML."""
        text = self._read_text()
        if text != self._text:
            self._file = self._parse(text)
            self._text = text
        problems = list(self._file.problems)
        containers: list[Container] = []
        for service in self._file.services:
            addresses = self._addresses_of(service, problems)
            containers += [
                self._make_container(service, address, number) for number, address in enumerate(addresses, start=1)
            ]
        in_order = sorted(containers, key=lambda container: container.id)
        return Snapshot(containers=tuple(in_order), problems=tuple(problems))

    def read_changes(self) -> Snapshot:
        """Return everything: there is little, and the caller compares."""
        return self.read()

    def invalidate(self) -> None:
        """Nothing to forget: each read compares the file's text, and keeps the addresses of a name that fails."""

    def watch(self, put: Callable[[Trigger], None]) -> None:
        """Put a trigger for each change of the file, until `stop`."""
        self._watcher.watch(put)

    def stop(self) -> None:
        """End `watch`."""
        self._watcher.stop()

    def _read_text(self) -> str:
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise SourceError(f"there is no services file {self._path}; create or mount it") from error
        except OSError as error:
            raise SourceError(f"cannot read the services file {self._path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise SourceError(f"the services file {self._path} is not in UTF-8: {error}") from error
        if not text.strip():
            # Who rewrites a file in place empties it first; that must not take every route away.
            raise SourceError(f"the services file {self._path} is empty; write `services: {{}}` for no services")
        return text

    def _parse(self, text: str) -> ServicesFile:
        try:
            return parse_services_file(yaml.safe_load(text))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f" line {mark.line + 1}" if mark else ""
            raise SourceError(f"the services file {self._path}{line} is not valid YAML: {error.problem}") from error
        except yaml.YAMLError as error:
            raise SourceError(f"the services file {self._path} is not valid YAML: {error}") from error
        except ValueError as error:
            raise SourceError(f"the services file {self._path} {error}") from error

    def _addresses_of(self, service: FileService, problems: list[Problem]) -> list[str]:
        """Return the addresses of all hosts, each once; a host without any is added to `problems`."""
        addresses: dict[str, None] = {}
        for host in service.hosts:
            resolved = self._resolve_cached(host)
            addresses |= dict.fromkeys(resolved.addresses)
            if not resolved.addresses:
                reason = f"cannot be resolved ({resolved.fault}); check the name and the DNS"
                problems.append(Problem(service=service.name, setting="external.host", value=host, reason=reason))
        return list(addresses)

    def _resolve_cached(self, host: str) -> _Resolved:
        known = self._resolved.get(host)
        if known is None or time.monotonic() - known.at_seconds > RESOLVE_SECONDS:
            try:
                known = _Resolved(at_seconds=time.monotonic(), addresses=self._resolve(host))
            except OSError as error:
                addresses = known.addresses if known else ()
                known = _Resolved(at_seconds=time.monotonic(), addresses=addresses, fault=error.strerror or str(error))
            self._resolved[host] = known
        return known

    def _make_container(self, service: FileService, address: str, number: int) -> Container:
        name = f"{service.name}-{number}"
        return Container(
            id=f"{self._file.project}/{name}" if self._file.project else name,
            name=name,
            source=self.name,
            project=self._file.project,
            service=service.name,
            labels=service.labels,
            ports=service.ports,
            address=address,
        )
