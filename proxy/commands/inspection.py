"""Commands that only read and change nothing: `check`, `render` and `routes`.

They read the same sources and settings as the controller, build in a separate folder, and ask HAProxy to check the result.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tabulate import tabulate

from proxy.adapters.haproxy.running_files import read_running_files
from proxy.adapters.haproxy.runtime_socket import RuntimeSocket
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.commands.exit_codes import OK, PROBLEMS
from proxy.controller.inspection import Inspection
from proxy.controller.reporting import count
from proxy.core.haproxy.rendering import CERTIFICATE_FOLDER, CONFIG_FILE, Renderer
from proxy.core.haproxy.replies import parse_server_states
from proxy.core.model.model import Backend, RoutingModel, Server, ServerState
from proxy.errors import RuntimeApiError, StateError
from proxy.settings import ProxyMode, Settings
from proxy.wiring import make_parts, make_weight_file


def check(options: argparse.Namespace, settings: Settings, environment: Mapping[str, str]) -> int:
    """Print every problem, and whether HAProxy would load the configuration."""
    del options
    with _inspection(settings, environment) as (_, found):
        for problem in found.problems:
            print(f"problem: {problem}")
        for note in found.notes:
            print(f"note: {note}")
        number = len(found.problems)
        print(f"the configuration loads ({count(found.state.model)}); {number} problem{'s' * (number != 1)}")
    return PROBLEMS if found.problems else OK


def render(options: argparse.Namespace, settings: Settings, environment: Mapping[str, str]) -> int:
    """Print haproxy.cfg and the maps, without keys and passwords."""
    del options
    with _inspection(settings, environment) as (renderer, found):
        print(renderer.render_config(found.state.model, show_secrets=False))
        for name, text in sorted(found.state.files.items()):
            if name.endswith((".map", ".list")):
                print(f"# {name}\n{text}")
            elif name.startswith(CERTIFICATE_FOLDER):
                print(f"# {name} (hidden)\n")
        for problem in found.problems:
            print(f"problem: {problem}", file=sys.stderr)
    return OK


def routes(options: argparse.Namespace, settings: Settings, environment: Mapping[str, str]) -> int:
    """Print a table of routes in the order in which they are tried, and what is not routed and why."""
    del options
    with _inspection(settings, environment) as (_, found):
        rows = _rows(found.state.model, _read_states(settings))
        print(tabulate(rows, headers=["host", "path", "service", "servers", "weight", "state"], tablefmt="plain"))
        for problem in (*found.problems, *found.notes):
            print(f"\nnot routed: {problem}")
    return OK


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="proxy-")
    except OSError as error:
        raise StateError(f"there is no temporary folder to write to ({error.strerror}); mount one (--tmpfs /tmp)") from error


@contextmanager
def _inspection(settings: Settings, environment: Mapping[str, str]) -> Iterator[tuple[Renderer, Inspection]]:
    with _temporary_folder() as folder:
        overlays = [make_weight_file(settings)]
        parts = make_parts(settings, environment, Path(folder), overlays, None)
        running = read_running_files(StateLayout(folder=settings.runtime.state_folder))
        with parts.files:
            yield parts.inspector.renderer, parts.inspector.inspect(running.get(CONFIG_FILE, ""))


def _rows(model: RoutingModel, states: Mapping[tuple[str, str], str]) -> Iterable[tuple[str, str, str, str, str, str]]:
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
) -> Iterable[tuple[str, str, str, str, str, str]]:
    service = ", ".join(backend.services)
    for server in backend.servers or (None,):
        if server is None:
            yield host, path, service, "none", "", "503 to all"
        else:
            weight = "" if server.service_weight is None else str(server.service_weight)
            state = _state(server, states.get((backend.name, server.name)))
            yield host, path, service, server.name, weight, state
        host, path, service = "", "", ""


def _state(server: Server, running: str | None) -> str:
    wanted = f"{server.state}: {server.reason}" if server.state is not ServerState.READY else ""
    return wanted or running or "ready"


def _read_states(settings: Settings) -> Mapping[tuple[str, str], str]:
    """Return the running HAProxy's report on each server; empty if no HAProxy answers."""
    socket = RuntimeSocket(StateLayout(folder=settings.runtime.state_folder).runtime_socket)
    try:
        return parse_server_states(socket.send("show servers state"))
    except RuntimeApiError:
        return {}
