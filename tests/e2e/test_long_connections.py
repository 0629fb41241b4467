"""Connections that last: they survive while containers come and go, and no request goes to a container that cannot answer.

One proxy (the image) serves the whole module. A download is as slow as the test reads it. Its body is larger than all
buffers on the way, so the backend is busy with it until the test has read the rest.
"""

from __future__ import annotations

import hashlib
import http.client
import itertools
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.e2e.engine import Container, docker, in_project, mount_socket, remove_containers
from tests.e2e.load import watched
from tests.e2e.running_state import server_states
from tests.e2e.site import Site, address_of, hostname_of, running_site
from tests.e2e.visitor import ADDRESS
from tests.eventually import eventually
from tests.wrk import start_load

pytestmark = pytest.mark.docker

GUESTS = 25
GUESTS_AT_A_TIME = 5
BODY_LENGTH = 64 * 1024 * 1024
PIECE = 256 * 1024
LATE = {"DELAY_LISTEN": "10"}
LOAD_SECONDS = 60
"""An upper limit; the load ends earlier, with its purpose."""
MAINTENANCE = 1
"""The state of a server that was set to `maint`."""


@pytest.fixture(scope="module")
def site(real_engine: None) -> Iterator[Site]:
    with running_site() as site:
        yield site


@pytest.fixture(scope="module")
def proxy(site: Site, prefix: str, proxy_image: None) -> Iterator[Container]:
    """A proxy that has no reason left for a reload: a service with the settings of all others is already served."""
    proxy = Container(f"{prefix}long-proxy")
    options = (*in_project(site.project, "proxy"), *mount_socket(), "-p", f"{site.port}:80")
    try:
        docker("run", "--detach", "--name", proxy.name, *options, "proxy")
        site.start("steady")
        eventually(lambda: site.serves("steady"), timeout=20)
        yield proxy
    finally:
        remove_containers(proxy.name)


class Download:
    """A long answer of a service. The test decides how much of it to read."""

    def __init__(self, site: Site, service: str) -> None:
        self._connection = http.client.HTTPConnection(ADDRESS, site.port, timeout=30)
        self._connection.request("GET", f"/bytes/{BODY_LENGTH}", headers={"Host": site.host(service)})
        self._response = self._connection.getresponse()
        self._hash = hashlib.sha256()
        self._length = 0

    def read_piece(self) -> bool:
        """Read a little more. Return whether there was more."""
        data = self._response.read(PIECE)
        self._hash.update(data)
        self._length += len(data)
        return bool(data)

    def read_rest(self) -> tuple[int, str]:
        """Read to the end. Return length and hash of the whole body."""
        while self.read_piece():
            pass
        return self._length, self._hash.hexdigest()

    def close(self) -> None:
        self._connection.close()


def whole_body() -> tuple[int, str]:
    pattern = bytes(range(251))
    return BODY_LENGTH, hashlib.sha256((pattern * (BODY_LENGTH // len(pattern) + 1))[:BODY_LENGTH]).hexdigest()


@dataclass(slots=True, kw_only=True)
class Stay:
    """The results of a visitor who stayed with one service: of a WebSocket, on which each message waits for the echo of the
    last one, and of a download. `in_flight` is the number of requests that the backend was busy with at the end. `reloads`
    are the reasons of all reloads meanwhile.
    """

    download: Download
    sent: list[str] = field(default_factory=list)
    echoed: list[str] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)
    in_flight: int = 0
    body: tuple[int, str] = (0, "")
    reloads: list[str] = field(default_factory=list)

    def talk(self, websocket: ClientConnection) -> None:
        while not self.is_over.is_set():
            self.sent.append(f"message {len(self.sent)}")
            try:
                websocket.send(self.sent[-1])
                self.echoed.append(str(websocket.recv(timeout=10)))
            except (WebSocketException, TimeoutError) as error:
                self.echoed.append(repr(error))
                self.is_over.set()

    def wait_for_messages(self) -> None:
        wanted = len(self.echoed) + 20
        eventually(lambda: len(self.echoed) >= wanted or self.is_over.is_set())


@contextmanager
def visitor_who_stays(site: Site, proxy: Container, service: str) -> Iterator[Stay]:
    """Keep a WebSocket and a download open, both to the only container of a service, until the block ends."""
    reloads_before = reloads(proxy)
    plain = socket.create_connection((ADDRESS, site.port))
    with (
        connect(f"ws://{site.host(service)}/", sock=plain) as websocket,
        closing(Download(site, service)) as download,
        ThreadPoolExecutor(1) as pool,
    ):
        stay = Stay(download=download)
        talk = pool.submit(stay.talk, websocket)
        try:
            stay.wait_for_messages()
            yield stay
            stay.wait_for_messages()
            stay.in_flight = site.told(service)["in_flight"] - 1  # without this request itself
            stay.body = download.read_rest()
        finally:
            stay.is_over.set()
        talk.result()
    stay.reloads = reloads(proxy)[len(reloads_before) :]


@pytest.fixture(scope="module")
def stay(site: Site, proxy: Container) -> Stay:
    """The results of a visitor of one service while all other services came and went."""
    with visitor_who_stays(site, proxy, "steady") as stay, ThreadPoolExecutor(GUESTS_AT_A_TIME) as workers:
        guests = [workers.submit(come_and_go, site, f"guest{number}") for number in range(GUESTS)]
        for guest in as_completed(guests):
            guest.result()
            stay.download.read_piece()
    return stay


def come_and_go(site: Site, service: str) -> None:
    site.start(service)
    eventually(lambda: site.serves(service), timeout=20)
    site.stop(service)


def reloads(proxy: Container) -> list[str]:
    return re.findall(r" reload: (.*) \(because of", proxy.logs())


def test_websocket_lives_on_while_other_services_come_and_go(stay: Stay) -> None:
    assert stay.sent == stay.echoed
    assert [] == stay.reloads


def test_long_download_lives_on_while_other_services_come_and_go(stay: Stay) -> None:
    assert 1 == stay.in_flight
    assert whole_body() == stay.body
    assert [] == stay.reloads


def test_long_connections_survive_their_own_services_scaling(site: Site, proxy: Container) -> None:
    first = site.start("scaled")
    eventually(lambda: site.serves("scaled"))

    with visitor_who_stays(site, proxy, "scaled") as stay:
        extra = site.start("scaled")
        eventually(lambda: site.hostname("scaled") == hostname_of(extra))
        stay.wait_for_messages()
        site.stop("scaled", -1)
        seen = {site.hostname("scaled") for _ in range(10)}

    assert {hostname_of(first)} == seen
    assert stay.sent == stay.echoed
    assert (1, whole_body(), []) == (stay.in_flight, stay.body, stay.reloads)


def test_download_from_a_container_that_is_told_to_stop_is_finished(site: Site, proxy: Container) -> None:
    """Its server gets no new request, and HAProxy keeps it until the last answer has been sent."""
    first = site.start("shop")
    eventually(lambda: site.serves("shop"))
    first_address = address_of(first)

    with (
        ThreadPoolExecutor(1) as pool,
        closing(Download(site, "shop")) as download,
        start_load(site.port, site.host("shop"), seconds=LOAD_SECONDS, expects='"name": "shop"') as load,
    ):
        second = site.start("shop")
        eventually(lambda: site.hostname("shop") == hostname_of(second))
        stopping = pool.submit(first.stop, timeout=LOAD_SECONDS)
        eventually(lambda: states(proxy, first_address) == [MAINTENANCE])
        seen = {site.hostname("shop") for _ in range(50)}
        first.reload()
        status = first.status
        body = download.read_rest()
        stopping.result()

    first.reload()
    assert ("running", {hostname_of(second)}) == (status, seen)
    assert (whole_body(), 0) == (body, first.attrs["State"]["ExitCode"])
    assert (0, True) == (load.failed, load.requests > 100), load
    eventually(lambda: states(proxy, first_address) == [])


def states(proxy: Container, address: str) -> list[int]:
    """Return the states set by command of the servers at an address."""
    return [state for server, state in server_states(proxy).items() if server.endswith(f" {address}:80")]


def test_late_listener_gets_no_request_before_it_listens(site: Site, proxy: Container) -> None:
    """Another replica answers instead. If there is none, the answer is 503, even if a wildcard's service could answer."""
    site.start("late")
    site.start("any", VIRTUAL_HOST=f"*.{site.project}.example")
    eventually(lambda: site.serves("late"))
    eventually(lambda: site.serves("alone"))

    with (
        start_load(site.port, site.host("late"), seconds=LOAD_SECONDS, expects='"name": "late"') as load,
        watched(site.port, site.host("alone")) as seen,
    ):
        replica = site.start("late", LATE)
        site.start("alone", LATE)
        replica_address = address_of(replica)
        eventually(lambda: states(proxy, replica_address) == [MAINTENANCE])
        eventually(lambda: site.hostname("late") == hostname_of(replica), timeout=20)
        eventually(lambda: seen.count("alone") > 20, timeout=20)

    assert (0, True) == (load.failed, load.requests > 100), load
    assert ["any", "503", "alone"] == [answer for answer, _ in itertools.groupby(seen)]
