"""Commands that look and change nothing: `check`, `render` and `routes`.

They read the same sources and settings as the controller, build in a folder of their own, and ask HAProxy to check.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tabulate import tabulate

from proxy.adapters.runtime_socket import RuntimeSocket
from proxy.adapters.state_files import StateLayout
from proxy.admission import Candidate
from proxy.core.commands import parse_server_states
from proxy.core.model import Backend, RoutingModel, Server, ServerState
from proxy.core.rendering import CERTIFICATE_FOLDER
from proxy.errors import Problem, RuntimeApiError
from proxy.exit_codes import OK, PROBLEMS
from proxy.reporting import count
from proxy.settings import ProxyMode, Settings
from proxy.wiring import Parts, make_parts


def check(options: argparse.Namespace, settings: Settings, environment: Mapping[str, str]) -> int:
    """Print every problem and whether the configuration would load."""
    del options
    with _candidate(settings, environment) as (_, candidate, problems):
        for problem in problems:
            print(f"problem: {problem}")
        for note in candidate.desired.model.notes:
            print(f"note: {note}")
        found = f"{len(problems)} problem{'s' * (len(problems) != 1)}"
        print(f"the configuration loads ({count(candidate.desired.model)}); {found}")
    return PROBLEMS if problems else OK


def render(options: argparse.Namespace, settings: Settings, environment: Mapping[str, str]) -> int:
    """Print haproxy.cfg and the maps; keys and passwords are left out."""
    del options
    with _candidate(settings, environment) as (parts, candidate, problems):
        print(parts.renderer.render_config(candidate.desired.model, show_secrets=False))
        for name, text in sorted(candidate.desired.files.items()):
            if name.endswith((".map", ".list")):
                print(f"# {name}\n{text}")
            elif name.startswith(CERTIFICATE_FOLDER):
                print(f"# {name} (hidden)\n")
        _print_problems(problems)
    return OK


def routes(options: argparse.Namespace, settings: Settings, environment: Mapping[str, str]) -> int:
    """Print a table of routes, in the order in which they are tried, and what is not routed and why."""
    del options
    with _candidate(settings, environment) as (_, candidate, problems):
        states = _read_states(settings)
        model = candidate.desired.model
        print(tabulate(_rows(model, states), headers=["host", "path", "service", "servers", "state"], tablefmt="plain"))
        for problem in (*problems, *model.notes):
            print(f"\nnot routed: {problem}")
    return OK


@contextmanager
def _candidate(
    settings: Settings, environment: Mapping[str, str]
) -> Iterator[tuple[Parts, Candidate, tuple[Problem, ...]]]:
    with tempfile.TemporaryDirectory(prefix="proxy-") as folder:
        parts = make_parts(settings, environment, Path(folder))
        candidate, problems = parts.reconciler.inspect()
        yield parts, candidate, problems


def _rows(model: RoutingModel, states: Mapping[tuple[str, str], str]) -> Iterable[tuple[str, str, str, str, str]]:
    backends = {backend.name: backend for backend in model.backends}
    for frontend in model.frontends:
        for route in frontend.routes:
            host = str(route.entry).removesuffix(route.entry.path)
            yield from _server_rows(host, route.entry.path or "*", backends[route.backend], states)
        if frontend.default_backend and (frontend.mode is ProxyMode.TCP or frontend.default_backend in backends):
            text = f"port {frontend.port}, else"
            yield from _server_rows(text, "*", backends[frontend.default_backend], states)
    for listener in model.listeners:
        yield from _server_rows(f"tcp port {listener.port}", "", listener.backend, states)


def _server_rows(
    host: str, path: str, backend: Backend, states: Mapping[tuple[str, str], str]
) -> Iterable[tuple[str, str, str, str, str]]:
    service = ", ".join(backend.services)
    for server in backend.servers or (None,):
        if server is None:
            yield host, path, service, "none", "503 to all"
        else:
            yield host, path, service, server.name, _state(server, states.get((backend.name, server.name)))
        host, path, service = "", "", ""


def _state(server: Server, running: str | None) -> str:
    wanted = f"{server.state}: {server.reason}" if server.state is not ServerState.READY else ""
    return wanted or running or "ready"


def _read_states(settings: Settings) -> Mapping[tuple[str, str], str]:
    """What the HAProxy that runs says of each server; nothing when none runs."""
    socket = RuntimeSocket(StateLayout(folder=settings.runtime.state_folder).runtime_socket)
    try:
        return parse_server_states(socket.send("show servers state"))
    except RuntimeApiError:
        return {}


def _print_problems(problems: Iterable[Problem]) -> None:
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
