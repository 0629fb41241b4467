"""The runtime API of the worker that serves: its identity, what it has, and commands that change it.

In: commands as values. Out: no error if all were accepted, or an error that names the refused command. Rules: every
exchange that changes something begins with the question which worker answers. If it is not the expected one, nothing is
sent to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from proxy.core.haproxy.file_names import CERTIFICATE_LIST
from proxy.core.haproxy.loaded import DIGEST_VARIABLE
from proxy.core.haproxy.reported import (
    Reported,
    Worker,
    parse_certificate_files,
    parse_fingerprint,
    parse_listed,
    parse_map,
    parse_map_files,
    parse_servers,
    parse_worker,
)
from proxy.core.haproxy.runtime_commands import Action, Command, ReplaceMap
from proxy.core.haproxy.served import DOWN, STATISTICS, Place, Served, parse_statistics
from proxy.errors import CommandRefusedError, WorkerReplacedError

_VERSION = re.compile(r"New version created: (\d+)")


SendAll = Callable[[Sequence[tuple[str, str]]], list[str]]
"""Sends commands, each with its payload, and returns the replies."""


class CommandSocket(Protocol):
    """The worker's runtime socket."""

    def session(self) -> AbstractContextManager[SendAll]:
        """Return a context with a function that sends commands over one connection. It raises RuntimeApiError."""


class RuntimeApi:
    """HAProxy's runtime API. Every method raises RuntimeApiError if nothing answers."""

    def __init__(self, socket: CommandSocket) -> None:
        self._socket = socket

    def identify(self) -> Worker:
        """Return the identity of the worker that answers."""
        with self._socket.session() as send_all:
            return _identify(send_all)

    def report(self, worker: Worker) -> Reported:
        """Return everything that `worker` reports about itself. Raises WorkerReplacedError if another one answers."""
        with self._session(worker) as send_all:
            backends, servers, maps, stored, listed = _ask(
                send_all,
                ["show backend", "show servers state", "show map", "show ssl cert", f"show ssl crt-list {CERTIFICATE_LIST}"],
            )
            files, certificates = parse_map_files(maps), parse_certificate_files(stored)
            rows = _ask(send_all, [f"show map {file}" for file in files])
            details = _ask(send_all, [f"show ssl cert {name}" for name in certificates])
        return Reported(
            servers=parse_servers(backends, servers),
            maps={file: parse_map(reply) for file, reply in zip(files, rows, strict=True)},
            certificates={name: parse_fingerprint(reply) for name, reply in zip(certificates, details, strict=True)},
            listed=parse_listed(listed),
        )

    def read_served(self, map_files: Sequence[str] = ()) -> Served:
        """Return what the worker that answers serves, with the rows of these maps. All is asked for in one request."""
        with self._socket.session() as send_all:
            statistics, *rows = _ask(send_all, [STATISTICS, *(f"show map {file}" for file in map_files)])
        frontends, servers = parse_statistics(statistics)
        by_file = {file: frozenset(parse_map(reply)) for file, reply in zip(map_files, rows, strict=True)}
        return Served(frontends=frontends, servers=servers, rows=by_file)

    def read_down(self) -> Mapping[Place, str]:
        """Return the servers that their health checks have taken out, with the reason."""
        with self._socket.session() as send_all:
            (statistics,) = _ask(send_all, [STATISTICS])
        _, servers = parse_statistics(statistics, only=f",{DOWN}")
        return {place: ": ".join(filter(None, status)) for place, status in servers.items() if status.state == "down"}

    def execute(self, stages: Iterable[Sequence[Action]], worker: Worker) -> None:
        """Carry out the stages in order. Raises CommandRefusedError, which names the command, if one is refused.

        The commands of a stage are sent together, so those after a refused one may have been carried out too. If a worker
        other than `worker` answers, raises WorkerReplacedError and sends nothing.
        """
        with self._session(worker) as send_all:
            for stage in stages:
                for commands in _runs(stage, send_all):
                    replies = _send(commands, send_all)
                    for command, reply in zip(commands, replies, strict=True):
                        if not command.is_accepted(reply):
                            raise CommandRefusedError(f"`{command.text}`: {' '.join(reply.split()) or 'no reply'}")

    def attempt(self, commands: Sequence[Command], worker: Worker) -> Sequence[bool]:
        """Carry out every command, and return for each whether HAProxy has accepted it.

        If a worker other than `worker` answers, raises WorkerReplacedError and sends nothing.
        """
        with self._session(worker) as send_all:
            replies = _send(commands, send_all)
        return [command.is_accepted(reply) for command, reply in zip(commands, replies, strict=True)]

    @contextmanager
    def _session(self, worker: Worker) -> Iterator[SendAll]:
        with self._socket.session() as send_all:
            found = _identify(send_all)
            if found != worker:
                raise WorkerReplacedError(f"process {found.pid} answers instead of process {worker.pid}")
            yield send_all


def _identify(send_all: SendAll) -> Worker:
    return parse_worker(*_ask(send_all, ["show info", f"show env {DIGEST_VARIABLE}"]))


def _ask(send_all: SendAll, commands: Sequence[str]) -> list[str]:
    return send_all([(command, "") for command in commands]) if commands else []


def _send(commands: Sequence[Command], send_all: SendAll) -> list[str]:
    return send_all([(command.text, command.payload.reveal()) for command in commands]) if commands else []


def _runs(actions: Sequence[Action], send_all: SendAll) -> Iterator[Sequence[Command]]:
    """Yield the commands of a stage in runs that can be sent together. A map's new version must be requested first."""
    run: list[Command] = []
    for action in actions:
        if isinstance(action, Command):
            run.append(action)
            continue
        yield run
        yield action.commands(_prepare(action, send_all))
        run = []
    yield run


def _prepare(action: ReplaceMap, send_all: SendAll) -> str:
    (reply,) = send_all([(f"prepare map {action.file}", "")])
    match = _VERSION.search(reply)
    if not match:
        raise CommandRefusedError(f"`prepare map {action.file}`: {reply.strip() or 'no reply'}")
    return match[1]
