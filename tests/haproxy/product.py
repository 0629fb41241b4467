"""The product without engine and controller: it takes variables and labelled containers, and gives a running HAProxy."""

from __future__ import annotations

import csv
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.core.containers.containers import Container
from proxy.core.labels.labels import parse_container
from proxy.core.model.model import RoutingModel
from tests.builders import make_model, make_settings, read_certificates
from tests.haproxy.backend_server import BackendServer, run_backend
from tests.haproxy.client import Answer, ask
from tests.haproxy.places import Place
from tests.haproxy.running import RunningHaproxy, run_haproxy
from tests.ports import free_low_port, free_offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A running HAProxy with the model that it runs."""

    haproxy: RunningHaproxy
    model: RoutingModel
    problems: tuple[str, ...]
    """The problems that users see, including those of labels."""

    def ask(self, path: str = "/", *, port: int = 80, **options: Any) -> Answer:
        """Send one request to a port, given by the number that users write. The options are those of `client.ask`."""
        return ask(self.haproxy.port(port), path, **options)

    def servers(self, count: int = 6, **options: Any) -> list[str]:
        """Return which backends answer `count` requests, one after the other."""
        return [self.ask(**options).server for _ in range(count)]

    def info(self, field: str) -> str:
        """Return a field of `show info`."""
        lines = (line.partition(": ") for line in self.haproxy.runtime("show info").splitlines())
        return next(value for name, _, value in lines if name == field)

    def stat(self, column: str, server: str) -> str:
        """Return a column of `show stat`, for the first server whose name begins with `server`."""
        header, *rows = csv.reader(self.haproxy.runtime("show stat").lstrip("# ").splitlines())
        row = next(row for row in rows if row and row[1].startswith(server))
        return row[header.index(column)]


class Product:
    """Starts backends and HAProxies for one test, and stops them at its end."""

    def __init__(self, binary: str, folder: Path, stack: ExitStack, place: Place) -> None:
        self._binary = binary
        self._place = place
        self._folder = folder
        self._stack = stack
        self.tcp_port = free_low_port()
        """A port on which backends at different addresses can listen, with HAProxy in front of them."""
        self.port_offset = free_offset(80, 81, 443, 444, 1936, 9000, self.tcp_port)

    def backend(self, name: str = "web-1", address: str = "127.0.0.1", port: int = 0) -> BackendServer:
        """Return a running backend that stands for the container `name`, on a free port if none is given."""
        return self._place.note(self._stack.enter_context(run_backend(name, address, port)))

    def serve(self, *containers: Container, **variables: str) -> Serving:
        """Run HAProxy with what `containers` and `variables` ask for."""
        settings = make_settings(PROXY_PORT_OFFSET=str(self.port_offset), **self._place.variables, **variables)
        containers = tuple(map(self._place.put, containers))
        model = make_model(*containers, settings=settings, certificates=read_certificates(settings))
        extra = settings.routing.extra_settings
        of_labels = [problem for one in containers for problem in parse_container(one, extra_settings=extra)[1]]
        haproxy = self._stack.enter_context(run_haproxy(self._binary, self._folder, model, settings))
        problems = tuple(str(problem) for problem in (*of_labels, *model.problems))
        return Serving(haproxy=haproxy, model=model, problems=problems)
