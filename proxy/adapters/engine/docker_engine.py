"""One engine, asked through docker-py's low-level client; its errors become `SourceError` with advice.

In: `DOCKER_HOST`, `DOCKER_TLS_VERIFY`, `DOCKER_CERT_PATH`. Out: Docker's documents as they come. Nothing is sent before
the first question. After an error, a new connection is made and the API version is asked for again, since another version of
the engine may have replaced it.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast

import docker
import requests
import urllib3
from docker.errors import DockerException, NotFound
from docker.utils import kwargs_from_env
from urllib3.connection import HTTPConnection

from proxy.adapters.engine import podman
from proxy.adapters.engine.bounded_socket import BoundedSocket
from proxy.adapters.engine.docker_view import SHAPE_ERRORS
from proxy.adapters.engine.engine_faults import TIMEOUT_SECONDS, explain, root_cause
from proxy.core.containers.engine_address import engine_address
from proxy.core.containers.podman_json import is_podman
from proxy.errors import SourceError

LIST_LAG_SECONDS = 1
"""How far back the first stream of events begins. The engine's list may not show yet what an event told just before."""

KEEPALIVE_IDLE_SECONDS, KEEPALIVE_INTERVAL_SECONDS, KEEPALIVE_PROBES = 10, 5, 3
"""After how much silence the kernel asks the other side of a TCP connection for a sign of life, how often, and how many
times before it counts as dead (tcp(7)): 25 s in all. Else a stream that a NAT has forgotten is silent for ever."""
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECONDS),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES),
    # The same bound for what was sent and is not acknowledged; without it, 15 minutes of repetitions.
    (
        socket.IPPROTO_TCP,
        socket.TCP_USER_TIMEOUT,
        1000 * (KEEPALIVE_IDLE_SECONDS + KEEPALIVE_PROBES * KEEPALIVE_INTERVAL_SECONDS),
    ),
)

_ENGINE_ERRORS = (DockerException, urllib3.exceptions.HTTPError, OSError)
CHUNK_BYTES = 1 << 16
LARGEST_EVENT_BYTES = 16 << 20
"""An event carries all labels of its container."""
_ENTRY = re.compile(r"[\s,]*(?=\{)")
"""What stands before each entry of a list."""
_EVENT_FILTERS = {
    "type": ["container", "network", "service", "node"],  # the last two are told by the managers of a Swarm
    "event": [
        "create",  # of a service: its labels are known before its first container runs
        *("start", "die", "kill", "stop", "pause", "unpause", "rename", "destroy", "health_status", "update"),
        *("connect", "disconnect"),
        *("died", "remove"),  # Podman's filter knows "die" and "destroy" by these names
    ],
}


class EventStream:
    """An open stream of events. One thread reads it. Another may call `close`, which ends the reading."""

    def __init__(self, address: str, response: requests.Response) -> None:
        self._address = address
        self._response = response
        # Kept from the start, since the reading thread drops the connection when the stream ends.
        connection = response.raw.connection
        self._socket: socket.socket | None = connection.sock if connection is not None else None

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Yield each event as it comes until the engine ends the stream; raise `SourceError` when the connection breaks."""
        try:
            for line in self._lines():
                yield json.loads(line)
        except (*_ENGINE_ERRORS, ValueError, RecursionError) as error:
            cause = root_cause(error)
            reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else "connection closed"
            raise SourceError(f"the engine at {self._address} ended its stream of events: {reason}") from error
        finally:
            self._response.close()

    def _lines(self) -> Iterator[bytes]:
        """Yield each line that is not empty, as soon as it comes."""
        self._expect_event()
        rest = b""
        for chunk in self._response.iter_content(CHUNK_BYTES):  # less, where less has come
            *lines, rest = (rest + chunk).split(b"\n")
            if lines:
                self._expect_event()
            elif len(rest) > LARGEST_EVENT_BYTES:
                raise ValueError("an event does not end")
            yield from filter(bytes.strip, lines)

    def _expect_event(self) -> None:
        """Let the other side be silent as long as it likes, but not send anything for ever without an event."""
        if isinstance(self._socket, BoundedSocket):
            self._socket.bound(None, 2 * LARGEST_EVENT_BYTES)

    def close(self) -> None:
        """End the stream, also when a read blocks in another thread."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()  # over ssh, this ends the ssh process; shutdown does nothing there


class _Threads(threading.local):
    """The client of the thread that looks at it."""

    client: docker.APIClient | None = None


class DockerEngine:
    """The engine at `address`, which need not answer yet. Each thread that asks, and each stream, has its own connection.

    `connect` makes a client for an engine that `environment` alone cannot describe.
    """

    def __init__(self, environment: Mapping[str, str], connect: Callable[[], docker.APIClient] | None = None) -> None:
        self.address = engine_address(environment)
        self._environment = environment
        self._connect = connect or self._new_client
        self._threads = _Threads()
        self._is_podman = False  # as the last list said; all are listed after every connect

    def list_containers(self) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of `GET /containers/json`, each parsed only when it is asked for; with Podman, inspections, too.

        All of them parsed take ten times the memory of their text, and Python would never give it back. `SourceError` is
        raised when the engine cannot be asked.
        """
        with self.question() as client:
            response = _get(client, "containers/json")
            self._is_podman = is_podman(response.headers)
            if self._is_podman:
                yield from [*podman.list_containers(client)]
                return
        yield from self._parse(response, "containers")

    def find_container(self, container_id: str) -> Mapping[str, Any] | None:
        """Return the entry of one container in the list, or None where it is not listed; with Podman, its inspection.

        An inspection would wait for the container's lock, which the engine holds for 200 ms and more while it connects or
        disconnects a network [tried: 20.10]. `SourceError` is raised when the engine cannot be asked.
        """
        with self.question() as client:
            if self._is_podman:
                return podman.find_container(client, container_id)
            entries = client.containers(filters={"id": container_id})
            return next((cast(Mapping[str, Any], entry) for entry in entries if entry.get("Id") == container_id), None)

    def inspect_container(self, container: str) -> Mapping[str, Any] | None:
        """Return the document of `GET /containers/{id}/json`, or None where the engine knows no such container.

        `SourceError` is raised when the engine cannot be asked.
        """
        with self.question() as client:
            try:
                return cast(Mapping[str, Any], client.inspect_container(container))
            except NotFound:
                return None

    def list_services(self, ids: Collection[str] = ()) -> Iterator[Mapping[str, Any]]:
        """Yield the documents of `GET /services` of a Swarm, which only managers answer: of all services, or of these.

        `SourceError` is raised when the engine cannot be asked, or refuses.
        """
        return self._list("services", {"filters": json.dumps({"id": [*ids]})} if ids else {})

    def list_nodes(self) -> Iterator[Mapping[str, Any]]:
        """Yield the documents of `GET /nodes` of a Swarm, which only managers answer.

        `SourceError` is raised when the engine cannot be asked, or refuses.
        """
        return self._list("nodes", {})

    def read_info(self) -> Mapping[str, Any]:
        """Return the document of `GET /info`. `SourceError` is raised when the engine cannot be asked, or refuses."""
        with self.question() as client:
            return cast(Mapping[str, Any], client.info())

    def open_events(self, since: int | None) -> EventStream:
        """Return the stream of events, from `since` (the engine's clock, seconds) or from a moment before now.

        What happens after this returns is in the stream, and what a list asked after it may not show yet. `SourceError` is
        raised when the engine cannot be asked.
        """
        try:
            client = self._connect()
            start = since or _read_clock(client) - LIST_LAG_SECONDS
            parameters = {"filters": json.dumps(_EVENT_FILTERS), "since": str(start)}
            url = f"{client.base_url}/v{client.api_version}/events"
            response = client.get(url, params=parameters, stream=True, timeout=(TIMEOUT_SECONDS, None))
            response.raise_for_status()
        except _ENGINE_ERRORS as error:
            raise SourceError(explain(self.address, error)) from error
        return EventStream(self.address, response)

    def _list(self, what: str, parameters: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        with self.question() as client:
            response = _get(client, what, parameters)
        yield from self._parse(response, what)

    def _parse(self, response: requests.Response, what: str) -> Iterator[Mapping[str, Any]]:
        try:
            yield from parse_list(response.content.decode())
        except (ValueError, RecursionError) as error:
            raise SourceError(f"the engine at {self.address} does not answer with a list of {what}: {error}") from error

    @contextlib.contextmanager
    def question(self) -> Iterator[docker.APIClient]:
        """Yield a client to ask with; what goes wrong meanwhile is raised as `SourceError`."""
        try:
            if self._threads.client is None:
                self._threads.client = self._connect()
            yield self._threads.client
        except SHAPE_ERRORS as error:
            self._drop_client()
            text = f"the engine at {self.address} answers in a way that is not understood: {error!r:.200}"
            raise SourceError(text) from error
        except _ENGINE_ERRORS as error:
            self._drop_client()
            raise SourceError(explain(self.address, error)) from error

    def _drop_client(self) -> None:
        if self._threads.client:
            self._threads.client.close()
        self._threads.client = None

    def _new_client(self) -> docker.APIClient:
        arguments = kwargs_from_env({**self._environment, "DOCKER_HOST": self.address})
        is_ssh = self.address.startswith("ssh://")
        client = docker.APIClient(version="auto", timeout=TIMEOUT_SECONDS, use_ssh_client=is_ssh, **arguments)
        if self.address.startswith("unix://"):
            # The proxies that the environment names do not apply to a socket, and to look for them takes a fifth of a call.
            client.trust_env = False
        elif not is_ssh:
            keep_alive(client)
        return client


def _get(client: docker.APIClient, path: str, parameters: Mapping[str, str] | None = None) -> requests.Response:
    url = f"{client.base_url}/v{client.api_version}/{path}"
    response = client.get(url, params=parameters, timeout=TIMEOUT_SECONDS)
    response.raise_for_status()
    return response


def _read_clock(client: docker.APIClient) -> int:
    """Return the engine's time in seconds, which may differ from this machine's; this machine's if it does not say."""
    response = client.get(f"{client.base_url}/version", timeout=TIMEOUT_SECONDS)
    try:
        return int(parsedate_to_datetime(response.headers.get("Date", "")).timestamp())
    except ValueError:
        return int(time.time())


def keep_alive(client: docker.APIClient) -> None:
    """Have all TCP connections of the client notice that the other side is dead.

    Over ssh, docker-py runs `ssh` without a way to give it options: there it takes `ServerAliveInterval` in ssh_config(5).
    """
    connections = cast(requests.adapters.HTTPAdapter, client.get_adapter(client.base_url)).poolmanager
    connections.connection_pool_kw["socket_options"] = [*HTTPConnection.default_socket_options, *_KEEPALIVE]
    connections.clear()  # the connection on which the API version was asked for has other options


def parse_list(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a JSON list, one at a time; raise ValueError where the text is not a list of objects."""
    decoder, position = json.JSONDecoder(), 1
    while match := _ENTRY.match(text, position):
        entry, position = decoder.raw_decode(text, match.end())
        yield entry
    if not text.startswith("[") or text[position:].strip() != "]":
        raise ValueError(f"it begins {text[:20]!r} and ends {text[-20:]!r}")
