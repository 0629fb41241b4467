"""Simple routing without engine and controller: it takes labelled containers and gives a running HAProxy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from proxy.core.containers.containers import Container
from tests.builders import make_container
from tests.haproxy.backend_server import BackendServer, run_backend
from tests.haproxy.places import Place, Where
from tests.haproxy.product import Serving
from tests.haproxy.running import run_haproxy
from tests.ports import free_offset
from tests.simple import simple_model, simple_settings


@dataclass(frozen=True, slots=True)
class SimpleSite:
    """Starts backends and HAProxies for one test."""

    binary: str
    folder: Path
    stack: ExitStack
    place: Place

    def backend(self, name: str = "web-1") -> BackendServer:
        """Return a running backend that stands for the container `name`."""
        return self.place.note(self.stack.enter_context(run_backend(name)))

    def serve(self, *containers: Container, **variables: str) -> Serving:
        """Run HAProxy with what `containers` ask for."""
        variables = {**self.place.variables, **variables, "PROXY_PORT_OFFSET": str(free_offset(80, 1936))}
        model = simple_model(*map(self.place.put, containers), **variables)
        folder = self.folder / variables["PROXY_PORT_OFFSET"]
        folder.mkdir()
        haproxy = self.stack.enter_context(run_haproxy(self.binary, folder, model, simple_settings(**variables)))
        return Serving(haproxy=haproxy, model=model, problems=tuple(map(str, model.problems)))


RunSimple = Callable[..., Serving]


@contextmanager
def simple_site(binary: str, folder: Path, where: Where = Where.OWN_ENGINE) -> Iterator[SimpleSite]:
    """Yield a site. Everything that it starts ends with the block."""
    with ExitStack() as stack:
        yield SimpleSite(binary, folder, stack, Place(where, stack))


def played_by(backend: BackendServer, addresses: str, **labels: str) -> Container:
    """Return the container that `backend` stands for. Its port serves `addresses`. Labels are as in `tests.simple`."""
    named = {f"aliyun.{key.replace('__', '.')}": value.replace("PORT", str(backend.port)) for key, value in labels.items()}
    routed = {f"aliyun.routing.port_{backend.port}": addresses}
    return make_container(backend.name, ports=(backend.port,), labels={**routed, **named})
