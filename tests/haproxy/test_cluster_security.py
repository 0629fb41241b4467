"""The port of the cluster, attacked: whatever is not a `GET` of what members need ends in HAProxy.

The engine's socket gives its holder the whole machine. So each test looks at what the engine has seen.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.adapters.cluster.peer import CredentialFiles, make_context
from proxy.adapters.cluster.trust import make_credentials
from proxy.core.haproxy.cluster_section import MOST_CONNECTIONS_IN_10_SECONDS, MOST_CONNECTIONS_OF_A_SOURCE
from proxy.secret import Secret
from tests.eventually import eventually
from tests.haproxy.authority import Authority
from tests.haproxy.client import ask
from tests.haproxy.cluster import KEY, Node
from tests.haproxy.conftest import find_binary
from tests.stub_engine import StubContainer

pytestmark = pytest.mark.haproxy

ID = "a" * 64
OWN_QUESTIONS = ("GET /v1.44/info",)
"""What the node's own proxy may ask at any time."""


@pytest.fixture(scope="module", params=["HAPROXY_26", "HAPROXY_34"], ids=["2.6", "3.4"])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for all attacks: none of them leaves a trace."""
    binary = find_binary(request.param) or pytest.fail(f"{request.param} is unknown")
    node = Node(tmp_path_factory.mktemp(request.param), "target", binary)
    with node.running_engine() as engine:
        labels = {"aliyun.proxy.VIRTUAL_HOST": "shop.example"}
        engine.start(StubContainer(name="shop", service="shop", labels=labels, port=1))
        with node.running():
            eventually(lambda: ask(node.port, host="shop.example").status == 503 and engine.streams and engine.inspections)
            yield node


def seen(node: Node, begin: int) -> list[str]:
    """Return what the engine got since it had got `begin` requests, without what the node's own proxy asks."""
    return [one for one in node.engine.requests[begin:] if not one.startswith(OWN_QUESTIONS)]


def member(node: Node) -> ssl.SSLContext:
    """Return the context of a proxy that has the key."""
    state = node.certificate.parent
    return make_context(CredentialFiles(certificate=node.certificate, ca=state / "ca.pem"))


def exchange(node: Node, sent: bytes, context: ssl.SSLContext | None = None, source: str = "127.0.0.2") -> bytes:
    """Return what the port answers until it closes the connection, or to a request that asks for that."""
    plain = socket.create_connection(("127.0.0.1", node.cluster_port), timeout=20, source_address=(source, 0))
    with (context or member(node)).wrap_socket(plain) as connection, contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        connection.sendall(sent)
        return read_all(connection)
    return b""


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while part := connection.recv(65536):
            answer += part
    return answer


def request(line: str, *headers: str, body: str = "") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: docker", "Connection: close", *headers, "", body]).encode("latin-1")


def is_refused(answer: bytes) -> bool:
    """Return whether the answer is one of HAProxy's own that says no, or none at all."""
    return not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 501", b"HTTP/1.1 505"))


def bare(node: Node) -> ssl.SSLContext:
    """Return the context of somebody without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(node.certificate.parent / "ca.pem")
    return context


def try_exchange(node: Node, context: ssl.SSLContext, source: str = "127.0.0.2") -> bytes:
    """Return the answer to an ordinary question, or nothing where the connection is refused."""
    try:
        return exchange(node, request("GET /version"), context, source)
    except (ssl.SSLError, ConnectionError):
        return b""


def connect(node: Node, source: str, context: ssl.SSLContext | None = None) -> socket.socket:
    """Open a connection; without a context, there is no handshake."""
    plain = socket.create_connection(("127.0.0.1", node.cluster_port), timeout=20, source_address=(source, 0))
    return context.wrap_socket(plain) if context else plain


def count_closed(connections: list[socket.socket]) -> int:
    """Return how many of these connections the other side has closed."""
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLIN | select.POLLHUP)
    return len(poll.poll(0))


METHODS = ("POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE", "get", "GETS", "*")
ALLOWED = ("/version", "/containers/json", f"/containers/{ID}/json", "/events")
OTHER_PATHS = (
    *("/info", "/_ping", "/", "*", "", "/images/json", "/containers", "/containers/", "/containers/create", "/build"),
    *(f"/containers/{ID}", f"/containers/{ID}/logs", f"/containers/{ID}/attach/ws", f"/containers/{ID}/top"),
    *(f"/containers/{ID}/archive?path=/", f"/containers/{ID}/export", f"/containers/{ID}/json/..", "/exec/1/json"),
    *(f"/containers/{ID[1:]}/json", f"/containers/{ID}a/json", f"/containers/{ID.upper()}/json", "/containers/shop/json"),
    *("/swarm", "/secrets", "/configs", "/services/x", "/nodes/x", "/networks/x", "/plugins", "/volumes", "/system/df"),
    *("//version", "/./version", "/v1.41/../version", "/v1.41//version", "/v1.41/./version", "/x/../version"),
    *("/%2e%2e/version", "/v1.41/%2e%2e/version", "/v1.41%2fversion", "/v1.41/containers/%6Ason", "/%76ersion"),
    *("/version/", "/version//", "/VERSION", "/Version", "/version;x", "/version%00", "/version%0a", "/version%20"),
    *("/version\\..", "\\version", "/version#x", "/version%3fx", "/v1/version", "/v1.x/version", "/v1.41.2/version"),
    *("/v111.41/version", "/v1.4111/version", "/V1.41/version", "/v1.41version", "/v1.41/v1.41/version", "version"),
    *("/\xe9version", "/version\xff", "http://docker/version", "http://docker/containers/json", "http:///version"),
    *("unix:///version", "http://docker@evil/version", "docker:80/version", "//docker/version", "/" + "a" * 9000),
    *("/proxy/state/", "/proxy/state/../../version", "/proxy", "/v1.41/proxy/state"),
)
OTHER_QUERIES = (
    *(
        "/containers/json?size=1",
        "/containers/json?size=true",
        "/containers/json?%73ize=1",
        "/containers/json?size=0&size=1",
    ),
    *("/containers/json?size=1&size=0", "/containers/json?a;size=0&size=1", "/containers/json?SIZE=1", "/version?x=1"),
    *("/containers/json?a=1&size=1", "/containers/json?size=%31", "/containers/json?size", f"/containers/{ID}/json?size=1"),
    *("/containers/json?filters=%7b%7d?size=1", "/containers/json?all=1&&size=1", "/events?" + "x" * 9000),
)
CHUNKED = "Transfer-Encoding: chunked"
POST = "POST /containers/create HTTP/1.1\r\nHost: docker\r\n\r\n"
MESSAGES = {
    "body": request("GET /version", "Content-Length: 5", body="hello"),
    "no body": request("GET /version", "Content-Length: 0"),
    "chunks": request("GET /version", CHUNKED, body="5\r\nhello\r\n0\r\n\r\n"),
    "two lengths": request("GET /version", "Content-Length: 0", f"Content-Length: {len(POST)}", body=POST),
    "length and chunks": request("GET /version", f"Content-Length: {len(POST) + 5}", CHUNKED, body=f"0\r\n\r\n{POST}"),
    "chunks by another name": request("GET /version", "Transfer-Encoding: xchunked", body=f"0\r\n\r\n{POST}"),
    "chunks behind a tab": request("GET /version", "Transfer-Encoding:\tchunked", body=f"0\r\n\r\n{POST}"),
    "chunks before the colon": request("GET /version", "Transfer-Encoding : chunked", body=f"0\r\n\r\n{POST}"),
    "line feed in the path": request("GET /version\nPOST /containers/create"),
    "two hosts": request("GET /version", "Host: other"),
    "upgrade to tcp": request("GET /version", "Upgrade: tcp", "Connection: upgrade"),
    "websocket": request("GET /events", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="),
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9).replace(b"\0\0\0\0\0", b"\0\4\0\0\0", 1),
    "http/0.9": b"GET /version\r\n\r\n",
    "http/1.0": b"GET /version HTTP/1.0\r\n\r\n",
    "http/3.0": b"GET /version HTTP/3.0\r\nConnection: close\r\n\r\n",
    "no method": b" /version HTTP/1.1\r\n\r\n",
    "proxy protocol": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET /version HTTP/1.1\r\nHost: x\r\n\r\n",
    "headers without end": b"GET /version HTTP/1.1\r\n" + b"X: " + b"y" * 20_000 + b"\r\n\r\n",
    "many headers": request("GET /version", *(f"X-{number}: y" for number in range(500))),
    "zeros": bytes(1000),
}
CLEANED = {
    "upgrade to h2": request("GET /version", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__", "Connection: Upgrade"),
    "folded header": request("GET /version", "X: y", " Transfer-Encoding: chunked", body=f"0\r\n\r\n{POST}"),
    "zero in a header": request("GET /version", "X: a\0b"),
    "tab in the line": b"GET\t/version\tHTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n",
}
"""What some versions of HAProxy clean up and pass on as an ordinary question."""


def test_only_questions_of_members_get_to_the_engine(node: Node) -> None:
    begin = len(node.engine.requests)
    asked = ("/version", "/v1.44/containers/json", f"/v1.44/containers/{ID}/json", "/containers/json?filters=%7B%7D&size=0")

    answers = [exchange(node, request(f"GET {path}")) for path in asked]

    assert [b"HTTP/1.1 200"] * 2 + [b"HTTP/1.1 404", b"HTTP/1.1 200"] == [answer[:12] for answer in answers]
    assert {f"GET {path}" for path in asked} <= {*node.engine.requests[begin:]}


def test_another_request_is_refused(node: Node) -> None:
    attacks = {f"{method} {path}": request(f"{method} {path}") for method in METHODS for path in ALLOWED}
    attacks |= {f"GET {path}": request(f"GET {path}") for path in (*OTHER_PATHS, *OTHER_QUERIES)}
    attacks |= MESSAGES
    begin = len(node.engine.requests)

    answers = {
        name: exchange(node, sent, source=f"127.0.1.{number}") for number, (name, sent) in enumerate(attacks.items(), 1)
    }

    assert {} == {name[:60]: answer[:80] for name, answer in answers.items() if not is_refused(answer)}
    assert [] == seen(node, begin)


def test_smuggled_request_stays_outside(node: Node) -> None:
    """Requests that come together on one connection are judged one by one."""
    both = request("GET /version").replace(b"Connection: close\r\n", b"") + POST.encode() + request("GET /info")
    begin = len(node.engine.requests)

    answers = [exchange(node, sent) for sent in (*CLEANED.values(), both, both.replace(b"/version", b"/proxy/state"))]

    assert {"GET /version"} == {*seen(node, begin)}
    assert [1, 1] == [answer.count(b"HTTP/1.1 200") for answer in answers[-2:]]
    assert b"HTTP/1.1 403" in answers[-2]


def test_stranger_gets_no_connection(node: Node, tmp_path: Path) -> None:
    begin, now = len(node.engine.requests), datetime.now(UTC)
    contexts = {"no certificate": bare(node)}
    for name, key, made_at in (
        ("another key", f"{KEY}!", now),
        ("expired", KEY, now - timedelta(days=9)),
        ("not valid yet", KEY, now + timedelta(days=9)),
    ):
        contexts[name] = bare(node)
        file = tmp_path / "node.pem"
        file.write_text(make_credentials(Secret(key), made_at).certificate.reveal())
        contexts[name].load_cert_chain(file)
    contexts["signed by a member"] = bare(node)
    contexts["signed by a member"].load_cert_chain(Authority("a member", node.certificate.read_text()).client(tmp_path))
    contexts["another authority"] = bare(node)
    contexts["another authority"].load_cert_chain(Authority("routing proxy cluster").client(tmp_path))
    contexts["TLS 1.2"] = member(node)
    contexts["TLS 1.2"].minimum_version = contexts["TLS 1.2"].maximum_version = ssl.TLSVersion.TLSv1_2

    answers = {name: try_exchange(node, context) for name, context in contexts.items()}

    assert dict.fromkeys(contexts, b"") == answers
    assert [] == seen(node, begin)
    assert try_exchange(node, member(node)).startswith(b"HTTP/1.1 200")


def test_plain_http_gets_no_answer(node: Node) -> None:
    begin = len(node.engine.requests)

    with socket.create_connection(("127.0.0.1", node.cluster_port), timeout=20, source_address=("127.0.0.3", 0)) as plain:
        plain.sendall(request("GET /version"))
        answer = read_all(plain)

    assert not answer.startswith(b"HTTP/1.1 200")
    assert [] == seen(node, begin)


def test_flood_harms_neither_members_nor_visitors(node: Node) -> None:
    begin = len(node.engine.requests)
    with ExitStack() as stack:
        friend = stack.enter_context(connect(node, "127.0.0.4", member(node)))
        flood = [stack.enter_context(connect(node, "127.0.0.5")) for _ in range(3 * MOST_CONNECTIONS_OF_A_SOURCE)]
        eventually(lambda: count_closed(flood) >= 2 * MOST_CONNECTIONS_OF_A_SOURCE)

        assert 0 < len(flood) - count_closed(flood) <= MOST_CONNECTIONS_OF_A_SOURCE
        friend.sendall(request("GET /version"))
        assert read_all(friend).startswith(b"HTTP/1.1 200")
        assert try_exchange(node, member(node)).startswith(b"HTTP/1.1 200")
        assert ask(node.port, host="shop.example").status == 503
        for _ in range(2 * MOST_CONNECTIONS_IN_10_SECONDS):
            with contextlib.suppress(ConnectionError):
                connect(node, "127.0.0.6").close()
        assert try_exchange(node, member(node), "127.0.0.6") == b""

    assert {"GET /version"} == {*seen(node, begin)}
