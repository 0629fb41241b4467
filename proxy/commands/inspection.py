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
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.commands.exit_codes import NO_ANSWER, OK, PROBLEMS
from proxy.commands.running import Running, look
from proxy.controller.inspection import Inspection
from proxy.controller.reporting import count
from proxy.core.haproxy.file_names import CERTIFICATE_FOLDER, CONFIG_FILE
from proxy.core.haproxy.rendering import Renderer
from proxy.core.haproxy.served import describe_state, unserved_routes, unserved_servers
from proxy.core.labels.misspellings import find_own_misspellings
from proxy.core.model.model import Backend, RoutingModel, Server
from proxy.errors import THE_PROXY, StateError
from proxy.printable import printable
from proxy.settings import ProxyMode, Settings
from proxy.wiring import make_parts

_HEADERS = ("host", "path", "service", "servers", "weight", "state")


def check(options: argparse.Namespace, settings: Settings, environment: Mapping[str, str]) -> int:
    """Print every problem, and whether HAProxy would load the configuration.

    What the running HAProxy does not serve is a problem, too.
    """
    del options
    with _inspection(settings, environment) as (_, found):
        model = found.state.model
        running = look(settings.runtime.state_folder, model)
        problems = [*found.problems, *running.faults]
        if running.served:
            problems += unserved_routes(model, running.served, port_offset=settings.haproxy.port_offset)
            problems += unserved_servers(model, running.served, running.reasons)
        problems = list(dict.fromkeys(problems))
        for problem in problems:
            print(f"problem: {problem}")
        for note in (*find_own_misspellings(environment), *found.notes):
            print(f"note: {note}")
        number = len(problems)
        print(f"the configuration loads ({count(model)}); {number} problem{'s' * (number != 1)}")
    _tell_start(running)
    return NO_ANSWER if running.faults else PROBLEMS if problems else OK


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
        model = found.state.model
        running = look(settings.runtime.state_folder, model)
        cells = [[printable(cell) for cell in row] for row in _rows(model, running)]
        print(tabulate(cells, headers=_HEADERS, tablefmt="plain"))
        faults = [*running.faults]
        if running.served:
            faults += unserved_routes(model, running.served, port_offset=settings.haproxy.port_offset)
        served = {server.container for server in _servers(model)}
        for problem in (*faults, *found.problems, *find_own_misspellings(environment), *found.notes):
            is_routed = problem.service == THE_PROXY or problem.container in served
            word = "not routed" if not is_routed else "note" if problem.is_note else "problem"
            print(f"\n{word}: {problem}")
    _tell_start(running)
    return NO_ANSWER if running.faults else OK


def _tell_start(running: Running) -> None:
    if not running.was_started and running.served is None:
        print("proxy: no proxy has been started here, so nothing is served; see `proxy run`", file=sys.stderr)


def _servers(model: RoutingModel) -> Iterator[Server]:
    for backend in (*model.backends, *(listener.backend for listener in model.listeners)):
        yield from backend.servers


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="proxy-")
    except OSError as error:
        raise StateError(f"there is no temporary folder to write to ({error.strerror}); mount one (--tmpfs /tmp)") from error


@contextmanager
def _inspection(settings: Settings, environment: Mapping[str, str]) -> Iterator[tuple[Renderer, Inspection]]:
    with _temporary_folder() as folder:
        parts = make_parts(settings, environment, Path(folder), None)
        running = read_running_files(StateLayout(folder=settings.runtime.state_folder))
        with parts.files:
            yield parts.inspector.renderer, parts.inspector.inspect(running.get(CONFIG_FILE, ""))


def _rows(model: RoutingModel, running: Running) -> Iterable[tuple[str, str, str, str, str, str]]:
    backends = {backend.name: backend for backend in model.backends}
    for frontend in model.frontends:
        for route in frontend.routes:
            host = str(route.entry).removesuffix(route.entry.path)
            yield from _server_rows(host, route.entry.path or "*", backends[route.backend], running)
        if frontend.default_backend and (frontend.mode is ProxyMode.TCP or frontend.default_backend in backends):
            text = f"port {frontend.port}, else"
            yield from _server_rows(text, "*", backends[frontend.default_backend], running)
    for listener in model.listeners:
        yield from _server_rows(f"tcp port {listener.port}", "", listener.backend, running)


def _server_rows(host: str, path: str, backend: Backend, running: Running) -> Iterable[tuple[str, str, str, str, str, str]]:
    service = ", ".join(backend.services)
    for server in backend.servers or (None,):
        if server is None:
            yield host, path, service, "none", "", "503 to all"
        else:
            weight = "" if server.service_weight is None else str(server.service_weight)
            state = describe_state(backend.name, server, running.served, running.reasons)
            where = f"{server.name} on node {server.node}" if server.node else server.name
            yield host, path, service, where, weight, state
        host, path, service = "", "", ""
