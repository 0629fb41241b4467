"""HAProxy chooses the same service as `reference_matcher`: for a table of examples, and for random entries."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest

from proxy.core.model.model import RoutingModel
from tests.builders import make_container, make_model, make_settings, with_labels
from tests.haproxy.product import Product
from tests.haproxy.running import RunningHaproxy, run_haproxy
from tests.ports import free_offset
from tests.reference_matcher import Entry, Request, choose

pytestmark = pytest.mark.haproxy

# entry, requests that match it, requests that do not
TABLE: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "http://domain.com",
        ("domain.com", "DOMAIN.com", "domain.com:80", "domain.com.", "Domain.com.:80"),
        ("www.domain.com", "domain.com.x"),
    ),
    ("domain.com", ("domain.com",), ("www.domain.com",)),
    ("domain.com:90", ("domain.com:90",), ("domain.com",)),
    ("*.domain.com", ("www.domain.com", "a.b.domain.com", "a.domain.com."), ("domain.com",)),
    ("*domain.com", ("www.domain.com", "domain.com", "anotherdomain.com"), ("www.abc.com",)),
    ("www.e*e.com", ("www.exxe.com", "www.ee.com"), ("www.axxa.com",)),
    ("www.domain.*", ("www.domain.com", "www.domain.org"), ("domain.com",)),
    ("*", ("any.example", "10.0.0.1", "domain.com/path?x=1"), ()),
    ("*/", ("domain.com/",), ("domain.com/abc",)),
    ("*/path", ("domain.com/path", "domain.org/path?u=user", "domain.com/PATH"), ("domain.com/path/",)),
    ("*/path/", ("domain.com/path/", "domain.org/path/?u=user"), ("domain.com/path", "domain.com/path/abc")),
    ("*/path/*", ("domain.com/path/", "domain.org/path/abc"), ("domain.com/abc/path/",)),
    ("*/*/path/*", ("domain.org/abc/path/", "domain.net/abc/path/123"), ("domain.com/path",)),
    ("*/*.js", ("domain.com/abc.js", "domain.org/path/abc.js"), ("domain.com/abc.css",)),
    ("*/*.do/", ("domain.com/abc.do/", "domain.org/path/abc.do/"), ("domain.com/abc.do",)),
    ("*/path/*.php", ("domain.com/path/abc.php",), ("domain.com/abc.php", "domain.com/root/abc.php")),
    ("*.domain.com/*.jpg", ("www.domain.com/abc.jpg", "abc.domain.com/123.jpg"), ("domain.com/abc.jpg",)),
    ("*/path, */path/", ("domain.com/path", "domain.org/path/"), ("domain.com/path/x",)),
    ("domain.com/path, domain.com/other/*", ("domain.com/path", "domain.com/other/x"), ("domain.com/", "x.com/path")),
)


def model_of(services: dict[str, tuple[str, int]], **variables: str) -> RoutingModel:
    """Return a model with one service per name. Each answers with its own name."""
    containers = [
        make_container(
            name,
            service=name,
            project="",
            labels=with_labels(
                VIRTUAL_HOST=text,
                VIRTUAL_HOST_WEIGHT=str(weight),
                EXTRA_SETTINGS=f"http-request return status 200 content-type text/plain string {name}",
            ),
        )
        for name, (text, weight) in services.items()
    ]
    model = make_model(*containers, settings=make_settings(**variables))
    assert not model.problems, model.problems
    return model


UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class Client:
    """Sends exactly the requests that a test describes, over one connection per port."""

    def __init__(self, haproxy: RunningHaproxy) -> None:
        self._haproxy = haproxy
        self._connections: dict[int, socket.socket] = {}

    def ask(self, request: Request) -> str | None:
        """Return the name of the service that answered; None for HAProxy's own 503."""
        connection = self._connections.get(request.port)
        if connection is None:
            connection = socket.create_connection(("127.0.0.1", self._haproxy.port(request.port)), timeout=10)
            self._connections[request.port] = connection
        upgrade = UPGRADE if request.is_websocket else ""
        method = "OPTIONS" if request.target == "*" else "GET"
        connection.sendall(f"{method} {request.target} HTTP/1.1\r\nHost: {request.host}\r\n{upgrade}\r\n".encode())
        head, body = self._read(connection)
        if b" 200 " in head.split(b"\r\n")[0]:
            return body.decode()
        assert b" 503 " in head.split(b"\r\n")[0], head
        self._connections.pop(request.port).close()
        return None

    @staticmethod
    def _read(connection: socket.socket) -> tuple[bytes, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536) or pytest.fail("connection closed")
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
        while lengths and len(body) < lengths[0]:
            body += connection.recv(65536) or pytest.fail("connection closed")
        return head, body

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()


def split_url(url: str) -> Request:
    host, slash, rest = url.partition("/")
    port = int(host.partition(":")[2] or 80)
    return Request(host=host, target=slash + rest or "/", port=port)


@pytest.mark.parametrize(("entry", "matching", "others"), TABLE, ids=[row[0] for row in TABLE])
def test_entry_matches_what_the_table_says(
    entry: str, matching: tuple[str, ...], others: tuple[str, ...], haproxy_binary: str, tmp_path: Path
) -> None:
    offset = str(free_offset(80, 90, 1936))
    model = model_of({"web": (entry, 0), "aside": ("port-90.example:90", 0)}, PROXY_PORT_OFFSET=offset)

    with run_haproxy(haproxy_binary, tmp_path, model, make_settings(PROXY_PORT_OFFSET=offset)) as haproxy:
        client = Client(haproxy)
        answers = {url: client.ask(split_url(url)) for url in (*matching, *others)}
        client.close()

    assert {**dict.fromkeys(matching, "web"), **dict.fromkeys(others)} == answers


WITHOUT_PATH = {
    "options-of-the-server": "OPTIONS * HTTP/1.1\r\nHost: a.com",
    "options-of-a-url": "OPTIONS http://A.com.:80 HTTP/1.1\r\nHost: A.com.:80",
    "connect": "CONNECT a.com:80 HTTP/1.1\r\nHost: a.com:80",
    "connect-with-a-dot": "CONNECT a.com.:443 HTTP/1.1\r\nHost: a.com.",
}


@pytest.mark.parametrize("head", WITHOUT_PATH.values(), ids=WITHOUT_PATH)
def test_request_without_a_path_reaches_the_entry_without_a_path(product: Product, head: str) -> None:
    """Other entries of the same host have paths, one of them covers all paths."""
    entries = {"rest": "a.com", "below": "a.com/*", "x": "a.com/x", "any": "*"}
    containers = [product.backend(f"{name}-1").container(VIRTUAL_HOST=entry) for name, entry in entries.items()]
    serving = product.serve(*containers)

    with socket.create_connection(("127.0.0.1", serving.haproxy.port(80)), timeout=10) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode())
        answer = connection.recv(65536).decode().lower()

    assert "server-name: rest-1" in answer


HOSTS = ("a.com", "b.a.com", "c.b.a.com", "ab.com", "a.org", "b.org")
DOMAIN_PATTERNS = (*HOSTS, *HOSTS, "*", "*.a.com", "*a.com", "*.com", "a.*", "*b*", "b.*.com", "*.b.a.com")
PATHS = ("/", "/p", "/p/", "/p/q", "/p/q/", "/p/x.js", "/x.js", "/X.JS", "/q/p/x", "/pq", "/p/q/r?a=/p", "/p?x.js", "*")
PATH_PATTERNS = (
    "",
    "",
    "",
    "/",
    "/*",
    "/p",
    "/p/",
    "/p/*",
    "/p*",
    "/p/q",
    "/p/q/*",
    "/*.js",
    "/p/*.js",
    "/*/x",
    "*/q/*",
    "/*p*",
)
ENTRIES_PER_ROUND, REQUESTS_PER_ROUND, ROUNDS = 40, 500, 20


def draw_entries(rng: random.Random) -> dict[str, tuple[str, int]]:
    services: dict[str, tuple[str, int]] = {}
    taken: set[str] = set()
    weights = rng.choice(((0,), (0, 0, 0, 5), (-1, 0, 1)))
    for number in range(ENTRIES_PER_ROUND):
        path = rng.choice(PATH_PATTERNS).removeprefix("*")
        entry = f"{rng.choice(('http', 'http', 'http', 'ws'))}://{rng.choice(DOMAIN_PATTERNS)}{path}"
        if entry not in taken:
            taken.add(entry)
            services[f"s{number}"] = (entry, rng.choice(weights))
    return services


def draw_request(rng: random.Random) -> Request:
    host = rng.choice((*HOSTS, "other.net", "A.com", "a.com:8080", "xa.com", "a.com.", "B.a.COM.:80"))
    return Request(host=host, target=rng.choice(PATHS), is_websocket=rng.random() < 0.3)


def test_random_entries_and_requests_are_routed_as_the_reference_says(haproxy_binary: str, tmp_path: Path) -> None:
    """10,000 requests a run against 20 sets of entries. The message of a failure contains the seed of the set."""
    seed = random.SystemRandom().randrange(2**32)
    asked = 0
    for number in range(ROUNDS):
        rng = random.Random(seed + number)
        services = draw_entries(rng)
        offset = str(free_offset(80, 1936))
        settings = make_settings(PROXY_PORT_OFFSET=offset)
        folder = tmp_path / str(number)
        folder.mkdir()
        entries = [Entry(text, name, weight) for name, (text, weight) in services.items()]
        with run_haproxy(haproxy_binary, folder, model_of(services, PROXY_PORT_OFFSET=offset), settings) as haproxy:
            client = Client(haproxy)
            for _ in range(REQUESTS_PER_ROUND):
                request = draw_request(rng)
                answer = client.ask(request)
                expected = choose(entries, request)
                assert expected == answer, f"seed {seed + number}: {request} among {services}"
                asked += 1
            client.close()

    assert asked == ROUNDS * REQUESTS_PER_ROUND
