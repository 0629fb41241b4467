"""A stub of a Docker engine. It speaks the part of the engine's HTTP API that the proxy uses, on a Unix socket.

It runs nothing. Its containers are entries whose address belongs to this machine, where a test or a benchmark has a real
server. The stub's methods say which container "starts" or "stops", and it reports that as events. It serves for ten
thousand services, which no machine of CI can run as containers, and for times that are measured from the moment of the
event. Like a real engine, it can be a separate process: `python -m tests.stub_engine FOLDER` (see `run_stub_process`).
"""

from __future__ import annotations

import http.server
import json
import re
import socketserver
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

API_VERSION = "1.44"
NETWORK = "stub"
_INSPECTION = re.compile(r"(?:/v[\d.]+)?/containers/([^/]+)/json")
_LIST = re.compile(r"(?:/v[\d.]+)?/containers/json")
_EVENTS = re.compile(r"(?:/v[\d.]+)?/events")
_INFO = re.compile(r"(?:/v[\d.]+)?/info")
_VERSION = re.compile(r"(?:/v[\d.]+)?/version")
_SWARM = re.compile(r"(?:/v[\d.]+)?/(services|nodes)")


@dataclass(frozen=True, slots=True, kw_only=True)
class StubContainer:
    """A container that the stub reports as running, with one port at an address of this machine."""

    name: str
    service: str
    labels: Mapping[str, str]
    port: int
    address: str = "127.0.0.1"
    project: str = "stub"
    created: int = 1_700_000_000
    variables: tuple[str, ...] = ()
    swarm_service: str = ""
    """The id of its service, where it belongs to a stack of a Swarm and not to Compose. `project` is then the stack."""

    @property
    def id(self) -> str:
        return f"{self.name}/{self.created}".encode().hex().ljust(64, "0")[:64]

    def listed(self) -> dict[str, Any]:
        """Return its entry in `GET /containers/json`."""
        return {
            "Id": self.id,
            "Names": [f"/{self.name}"],
            "Image": "stub",
            "Created": self.created,
            "State": "running",
            "Status": "Up 1 second",
            "Labels": self.all_labels(),
            "Ports": [{"PrivatePort": self.port, "Type": "tcp"}],
            "HostConfig": {"NetworkMode": NETWORK},
            "NetworkSettings": self._networks(),
        }

    def inspected(self) -> dict[str, Any]:
        """Return the document of `GET /containers/{id}/json`."""
        networks = self._networks()
        created = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(self.created))
        return {
            "Id": self.id,
            "Name": f"/{self.name}",
            "Created": created,
            "State": {"Status": "running"},
            "Config": {"Labels": self.all_labels(), "Env": [*self.variables]},
            "HostConfig": {"NetworkMode": NETWORK},
            "NetworkSettings": {**networks, "Ports": {f"{self.port}/tcp": None}},
        }

    def all_labels(self) -> dict[str, str]:
        """Return its labels and those that Compose, or the Swarm, gives it. Events carry them too."""
        own = {"com.docker.compose.project": self.project, "com.docker.compose.service": self.service}
        if self.swarm_service:
            own = {
                "com.docker.stack.namespace": self.project,
                "com.docker.swarm.service.name": f"{self.project}_{self.service}",
                "com.docker.swarm.service.id": self.swarm_service,
            }
        return {**own, **self.labels}

    def _networks(self) -> dict[str, Any]:
        return {"Networks": {NETWORK: {"IPAddress": self.address, "Gateway": ""}}}


class StubStream(Protocol):
    """An open stream of events; None ends it."""

    def put(self, text: str | None) -> None: ...


@dataclass(slots=True, kw_only=True)
class StubEngine:
    """The stub's containers and its open streams. Any thread may call its methods."""

    host: str
    containers: dict[str, StubContainer] = field(default_factory=dict)
    streams: list[StubStream] = field(default_factory=list)
    inspections: int = 0
    looks: int = 0
    lists: int = 0
    is_broken: bool = False
    """It answers every request with an error."""
    is_free: threading.Event = field(default_factory=threading.Event)
    """While it is not set, no request is answered."""
    name: str = "stub"
    """The name of its machine, which is its id, too."""
    requests: list[str] = field(default_factory=list)
    """Every request that it got: method and path."""
    left_out: set[str] = field(default_factory=set)
    """Containers that the next whole list lacks, although they run."""
    services: dict[str, Mapping[str, str]] | None = None
    """The services of the Swarm by id, with their own labels, where the engine is a manager's."""
    down_nodes: set[str] = field(default_factory=set)
    has_leader: bool = True
    """Without one, managers answer nothing."""

    def __post_init__(self) -> None:
        self.is_free.set()

    def cut_streams(self) -> None:
        """Close all streams of events."""
        for stream in [*self.streams]:
            stream.put(None)

    def list_all(self) -> list[dict[str, Any]]:
        """Return the whole list, once without those that are to be left out."""
        self.lists += 1
        left_out, self.left_out = self.left_out, set()
        return [container.listed() for container in [*self.containers.values()] if container.id not in left_out]

    def start(self, container: StubContainer) -> None:
        """Report that a container has started."""
        self.containers[container.id] = container
        self._tell("start", container)

    def signal(self, container: StubContainer) -> None:
        """Report that a container was told to stop. It still runs."""
        self._tell("kill", container, signal="15")

    def stop(self, container: StubContainer) -> None:
        """Report that a container was told to stop, has ended and was removed."""
        self.signal(container)
        self.containers.pop(container.id, None)
        for action in ("die", "destroy"):
            self._tell(action, container)

    def set_service(self, service_id: str, labels: Mapping[str, str]) -> None:
        """Report that a service of the Swarm has these labels."""
        assert self.services is not None
        action = "update" if service_id in self.services else "create"
        self.services[service_id] = labels
        self._tell_swarm("service", action, service_id)

    def set_down(self, node: str) -> None:
        """Report that a node of the Swarm is down."""
        self.down_nodes.add(node)
        self._tell_swarm("node", "update", node)

    def list_swarm(self, what: str, ids: Iterable[str]) -> tuple[int, object]:
        """Return the answer to the question for all services, for these, or for all nodes, with its status first."""
        if self.services is None:
            return 503, {"message": "This node is not a swarm manager."}
        if not self.has_leader:
            return 500, {"message": "The swarm does not have a leader."}
        if what == "nodes":
            return 200, [{"ID": node, "Status": {"State": "down"}} for node in sorted(self.down_nodes)]
        found = [key for key in self.services if key in ids or not ids]
        return 200, [{"ID": key, "Spec": {"Name": key, "Labels": {**self.services[key]}}} for key in found]

    def _tell_swarm(self, kind: str, action: str, actor: str) -> None:
        document = {"Type": kind, "Action": action, "Actor": {"ID": actor, "Attributes": {}}, "scope": "swarm"}
        self._say({**document, "time": int(time.time())})

    def answer(self, target: str) -> tuple[int, object]:
        """Return the status and the document of the answer to `GET target`."""
        path = urllib.parse.urlsplit(target).path
        if self.is_broken:
            return 500, {"message": "something is wrong"}
        if _VERSION.fullmatch(path):
            return 200, {"Version": "stub", "ApiVersion": API_VERSION, "MinAPIVersion": "1.24"}
        if _INFO.fullmatch(path):
            swarm = {"ControlAvailable": self.services is not None}
            return 200, {"ID": self.name, "Name": self.name, "Swarm": swarm}
        if _LIST.fullmatch(path):
            return 200, self._list(_asked_ids(target))
        if match := _INSPECTION.fullmatch(path):
            self.inspections += 1
            container = self.containers.get(match[1])
            return (200, container.inspected()) if container else (404, {"message": "no such container"})
        if match := _SWARM.fullmatch(path):
            return self.list_swarm(match[1], _asked_ids(target) or ())
        return 404, {"message": "not in the stub"}

    def _list(self, ids: list[str] | None) -> list[dict[str, Any]]:
        if ids is None:
            return self.list_all()
        self.looks += 1
        return [self.containers[container_id].listed() for container_id in ids if container_id in self.containers]

    def _tell(self, action: str, container: StubContainer, **attributes: str) -> None:
        document = {
            "Type": "container",
            "Action": action,
            "Actor": {"ID": container.id, "Attributes": {**container.all_labels(), "name": container.name, **attributes}},
            "time": int(time.time()),
        }
        self._say(document)

    def _say(self, document: Mapping[str, Any]) -> None:
        text = json.dumps(document) + "\n"
        for stream in self.streams:
            stream.put(text)


def asks_for_events(target: str) -> bool:
    """Return whether `GET target` is answered with the stream of events."""
    return bool(_EVENTS.fullmatch(urllib.parse.urlsplit(target).path))


def _asked_ids(target: str) -> list[str] | None:
    """Return the ids that the list is filtered by; None without a filter."""
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query)
    ids = json.loads(query.get("filters", ["{}"])[0]).get("id")
    return None if ids is None else list(ids)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64
    engine: StubEngine


class _Conversation(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def parse_request(self) -> bool:
        """Note the request, whatever it is (see http.server)."""
        is_understood = super().parse_request()
        self.server.engine.requests.append(f"{self.command} {self.path}" if is_understood else self.requestline)
        return is_understood

    def do_GET(self) -> None:
        engine = self.server.engine
        engine.is_free.wait()
        if asks_for_events(self.path) and not engine.is_broken:
            self._stream(engine)
        else:
            self._answer(*engine.answer(self.path))

    def address_string(self) -> str:
        return "stub"

    def log_message(self, *arguments: object) -> None:
        """Log nothing; the proxy has its own log."""

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, engine: StubEngine) -> None:
        stream: SimpleQueue[str | None] = SimpleQueue()
        engine.streams.append(stream)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        try:
            while (text := stream.get()) is not None:
                self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
        except OSError:
            return  # the proxy has gone
        finally:
            engine.streams.remove(stream)


@contextmanager
def run_stub_engine(folder: Path) -> Iterator[StubEngine]:
    """Run a stub whose socket is in `folder` until the block ends. `host` is a value for DOCKER_HOST."""
    path = folder / "engine.sock"
    with _Server(str(path), _Conversation) as server:
        server.engine = StubEngine(host=f"unix://{path}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.engine
        finally:
            server.engine.cut_streams()
            server.shutdown()
            thread.join()


class StubProcess:
    """A stub in a separate process. `host` is a value for DOCKER_HOST."""

    def __init__(self, folder: Path) -> None:
        self.host = f"unix://{folder / 'engine.sock'}"
        self.containers: dict[str, StubContainer] = {}
        command = [sys.executable, "-m", "tests.stub_engine", str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def load(self, containers: Iterable[StubContainer]) -> None:
        """Add these containers without reporting an event. Returns when the stub has them."""
        self.containers = {container.id: container for container in containers}
        self._say("load", *self.containers.values())
        assert self.process.stdout
        self.process.stdout.readline()

    def start(self, container: StubContainer) -> None:
        """Make the stub report that a container has started."""
        self.containers[container.id] = container
        self._say("start", container)

    def stop(self, container: StubContainer) -> None:
        """Make the stub report that a container was told to stop, has ended and was removed."""
        self.containers.pop(container.id, None)
        self._say("stop", container)

    def _say(self, action: str, *containers: StubContainer) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps([action, *map(asdict, containers)]) + "\n")
        self.process.stdin.flush()


@contextmanager
def run_stub_process(folder: Path) -> Iterator[StubProcess]:
    """Run a stub whose socket is in `folder` as a process until the block ends."""
    stub = StubProcess(folder)
    try:
        yield stub
    finally:
        with stub.process:
            assert stub.process.stdin
            stub.process.stdin.close()  # which ends it


def _obey(folder: Path) -> None:
    """Run a stub that carries out each line of standard input, until the input ends."""
    with run_stub_engine(folder) as engine:
        for line in sys.stdin:
            action, *documents = json.loads(line)
            containers = [StubContainer(**document) for document in documents]
            if action == "load":
                engine.containers.update({container.id: container for container in containers})
                print("loaded", flush=True)
            for container in containers if action != "load" else ():
                {"start": engine.start, "stop": engine.stop}[action](container)


if __name__ == "__main__":
    _obey(Path(sys.argv[1]))
