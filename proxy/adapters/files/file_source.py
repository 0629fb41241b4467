"""Backends from a services file in Compose's vocabulary, for hosts without an engine and backends that are not containers.

In: a YAML file (`core/containers/services_file`), and the addresses of the host names in it (`host_names`). Out: `Snapshot`
with one container per address. If there is no valid file at the start, its last valid content is used. Reading does not wait
for the DNS, except for a moment at the start. It does not read the file again while its status is unchanged.
"""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import yaml

from proxy.adapters.files.host_names import Answer, HostNames
from proxy.adapters.files.kept_files import KeptFiles
from proxy.core.containers.containers import Container, Snapshot
from proxy.core.containers.services_file import FileService, ServicesFile, parse_services_file
from proxy.core.trigger import Trigger
from proxy.errors import THE_PROXY, Problem, SourceError

SETTLED_NS = 1_000_000_000
"""A file that was written less than this ago may be written again without a change of its status. The clock of a file
system has steps of a few milliseconds, and in some file systems of a second."""

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader that is written in C, if PyYAML has it. It is ten times as fast."""


class Watcher(Protocol):
    """Reports changes of the file: a `FileWatcher` for its path."""

    def watch(self, put: Callable[[Trigger], None]) -> None: ...
    def stop(self) -> None: ...


class _Status(NamedTuple):
    """Values of which one changes when a file is replaced or written to."""

    device: int
    inode: int
    modified_ns: int
    size: int


class FileSource:
    """The services that the file at `path` describes. A problem of one service affects only that service."""

    name = "file"

    def __init__(self, path: Path, watcher: Watcher, names: HostNames, kept: KeptFiles) -> None:
        self._path = path
        self._watcher = watcher
        self._names = names
        self._kept = kept
        self._kept_because = ""
        self._status: _Status | None = None
        self._digest = b""
        self._file = ServicesFile()
        self._fault = ""
        self._has_loaded = False
        self._hosts: frozenset[str] = frozenset()
        self._told: tuple[ServicesFile, Mapping[str, Answer]] | None = None
        self._snapshot = Snapshot()

    def read(self) -> Snapshot:
        """Return the services that are in the file now, with the addresses that are known by now.

        A name without an answer yet has no address. Raises `SourceError` when the file is missing or is not valid, and its
        content is not known from an earlier run.
        """
        self._load_or_take_kept()
        answers = self._names.answers(self._hosts)
        if self._told is None or self._told[0] is not self._file or self._told[1] != answers:
            self._snapshot = self._make_snapshot(answers)
            self._told = self._file, answers
        return self._snapshot

    def read_changes(self) -> Snapshot:
        """Return everything, or only the problems if nothing has changed since the last call. Raises as `read` does."""
        before = self._told
        snapshot = self.read()
        return snapshot if self._told is not before else Snapshot(problems=snapshot.problems, is_complete=False)

    def invalidate(self) -> None:
        """Make the next read open the file, whatever its status, and return everything."""
        self._status = None
        self._told = None

    def watch(self, put: Callable[[Trigger], None]) -> None:
        """Put a trigger for each change of the file, or of the addresses of a name, until `stop`."""
        self._names.watch(put)
        self._watcher.watch(put)

    def stop(self) -> None:
        """End `watch`."""
        self._names.stop()
        self._watcher.stop()

    def _load_or_take_kept(self) -> None:
        before = self._kept_because
        try:
            self._load()
            self._kept_because = ""
        except SourceError as error:
            if not (self._kept_because or (not self._has_loaded and self._take_kept())):
                raise
            self._kept_because = str(error)
        if self._kept_because != before:
            self._told = None

    def _take_kept(self) -> bool:
        """Take in what the file held in an earlier run; return whether that is known."""
        try:
            data = self._kept.copy_of(self._path).read_bytes()
        except OSError:
            return False
        fault, self._fault = self._fault, ""
        self._take_in(data)
        has_taken, self._fault = not self._fault, fault
        return has_taken

    def _load(self) -> None:
        """Read and parse the file if it has changed. Raises `SourceError` as long as it is missing or not valid."""
        status = self._read_status()
        if status != self._status:
            self._status = None
            data = self._read_data()
            digest = hashlib.sha256(data).digest()
            if digest != self._digest:
                self._take_in(data)
                self._digest = digest
                if not self._fault:
                    self._has_loaded = True
                    self._kept.write(self._path, data)
            self._status = status if time.time_ns() - status.modified_ns > SETTLED_NS else None
        if self._fault:
            raise SourceError(f"the services file {self._path}{self._fault}")

    def _take_in(self, data: bytes) -> None:
        try:
            self._file, self._fault = _parse(data), ""
        except ValueError as error:
            self._fault = str(error)
            return
        hosts = {host for service in self._file.services for host in service.hosts}
        self._hosts = frozenset(host for host in hosts if _as_address(host) is None)

    def _read_status(self) -> _Status:
        with self._explained():
            status = self._path.stat()
        return _Status(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)

    def _read_data(self) -> bytes:
        with self._explained():
            return self._path.read_bytes()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise SourceError(f"there is no services file {self._path}; create or mount it") from error
        except OSError as error:
            raise SourceError(f"cannot read the services file {self._path}: {error.strerror}") from error

    def _make_snapshot(self, answers: Mapping[str, Answer]) -> Snapshot:
        problems = list(self._file.problems)
        if self._kept_because:
            reason = f"{self._kept_because}. The services that it held last are used"
            problems.append(Problem(service=THE_PROXY, setting="PROXY_SERVICES_FILE", reason=reason))
        containers: list[Container] = []
        for service in self._file.services:
            addresses = _addresses_of(service, answers, problems)
            containers += [
                self._make_container(service, address, number) for number, address in enumerate(addresses, start=1)
            ]
        in_order = sorted(containers, key=lambda container: container.id)
        return Snapshot(containers=tuple(in_order), problems=tuple(problems))

    def _make_container(self, service: FileService, address: str, number: int) -> Container:
        name = f"{service.name}-{number}"
        return Container(
            id=f"{self._file.project}/{name}" if self._file.project else name,
            name=name,
            source=self.name,
            project=self._file.project,
            service=service.name,
            labels=service.labels,
            service_labels=service.deploy_labels,
            ports=service.ports,
            address=address,
        )


def _parse(data: bytes) -> ServicesFile:
    """Return the content of the file. Raises ValueError with the end of a sentence that begins with the file's name."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f" is not in UTF-8: {error}") from error
    if not text.strip():
        # A program that rewrites a file in place empties it first. That must not remove every route.
        raise ValueError(" is empty; write `services: {}` for no services")
    try:
        return parse_services_file(yaml.load(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}" if mark else ""
        raise ValueError(f"{line} is not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(f" is not valid YAML: {error}") from error
    except ValueError as error:
        raise ValueError(f" {error}") from error


def _addresses_of(service: FileService, answers: Mapping[str, Answer], problems: list[Problem]) -> list[str]:
    """Return the addresses of all hosts, each once. A host that cannot be resolved is added to `problems`."""
    addresses: dict[str, None] = {}
    for host in service.hosts:
        address, answer = _as_address(host), answers.get(host)
        if address:
            addresses[address] = None
        elif answer:
            addresses |= dict.fromkeys(answer.addresses)
            if not answer.addresses:
                reason = f"{answer}; check the name and the DNS"
                problems.append(Problem(service=service.name, setting="external.host", value=host, reason=reason))
    return list(addresses)


def _as_address(host: str) -> str | None:
    """Return an IP address in its usual spelling; None for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
