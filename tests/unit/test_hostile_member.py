"""A member that has the key and tells what no engine would: it becomes a problem, and nothing else."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.adapters.cluster import peer
from proxy.adapters.cluster.member import Member, Status
from proxy.adapters.cluster.peer import Address, CredentialFiles, PeerContext
from proxy.adapters.engine import bounded_socket, docker_engine, told_events
from tests.credentials import write_credentials
from tests.eventually import eventually
from tests.stub_engine import StubContainer

STATE = {"instance": "other", "node": {"id": "n2", "name": "n2", "address": "10.0.0.2"}}
VERSION = {"ApiVersion": "1.44"}
GOOD = StubContainer(name="shop", service="shop", labels={"aliyun.proxy.VIRTUAL_HOST": "shop.example"}, port=80).listed()
DEEP = "[" * 200_000

Send = Callable[[ssl.SSLSocket], None]


def answer(document: object, *headers: str, status: str = "200 OK") -> Send:
    """Return an ordinary answer; a text is sent as it is."""
    body = (
        document
        if isinstance(document, bytes)
        else (document if isinstance(document, str) else json.dumps(document)).encode()
    )
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""])
    return lambda connection: connection.sendall(head.encode() + body)


def endless(head: str, part: bytes, pause_seconds: float = 0.0) -> Send:
    """Return an answer that goes on until the other side closes the connection."""

    def send(connection: ssl.SSLSocket) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\n{head}".encode())
        while not is_over.wait(pause_seconds):
            connection.sendall(part)

    is_over = threading.Event()
    return send


CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"


class HostilePeer:
    """Answers each path as it is told. `asked` are the paths that somebody has asked for."""

    def __init__(self, files: CredentialFiles) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate)
        self.answers: dict[str, Send] = {
            "/proxy/state": answer(STATE),
            "version": answer(VERSION),
            "containers/json": answer([GOOD]),
            "events": endless(CHUNKED, b"", 0.05),
        }
        self.asked: list[str] = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), self._context.wrap_socket(plain, server_side=True) as connection:
            text = b""
            while part := connection.recv(65536):
                text += part
                if b"\r\n\r\n" in text:
                    path = text.split(b" ")[1].decode()
                    self.asked.append(path)
                    text = b""
                    next(send for end, send in self.answers.items() if path.partition("?")[0].endswith(end))(connection)


@pytest.fixture
def files(tmp_path: Path) -> CredentialFiles:
    return write_credentials(tmp_path)


@pytest.fixture
def hostile(files: CredentialFiles, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostilePeer]:
    """Run the peer; bounds of size are small, so that it meets them at once."""
    for module, name, value in (
        (bounded_socket, "LARGEST_ANSWER_BYTES", 1 << 20),
        (docker_engine, "LARGEST_EVENT_BYTES", 1 << 16),
        (told_events, "MOST_EVENTS", 100),
    ):
        monkeypatch.setattr(module, name, value)
    hostile = HostilePeer(files)
    yield hostile
    hostile.close()


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait hardly at all for an answer, too."""
    monkeypatch.setattr(peer, "STATE_SECONDS", 0.2)
    monkeypatch.setattr(bounded_socket, "ANSWER_SECONDS", 0.2)


def make_member(hostile: HostilePeer, files: CredentialFiles) -> Member:
    return Member(hostile.address, PeerContext(files), frozenset(), lambda instance: instance == "own", lambda trigger: None)


def without(*keys: str) -> dict[str, object]:
    return {key: value for key, value in GOOD.items() if key not in keys}


def attached(**endpoint: object) -> dict[str, object]:
    return {**GOOD, "NetworkSettings": {"Networks": {"net": {"NetworkID": "x", **endpoint}}}}


STATES: Mapping[str, Send] = {
    "silence": lambda _: None,
    "byte by byte": endless("Content-Length: 9000\r\n\r\n", b" ", 0.05),
    "header byte by byte": endless("X: ", b"y", 0.05),
    "without end": endless("\r\n", b" " * 10_000),
    "deep": answer('{"node": ' + "[" * 20_000),
    "no JSON": answer("<html>"),
    "a list": answer([STATE]),
    "no node": answer({"instance": "x", "node": "n2"}),
    "not UTF-8": answer(b'{"instance": "\xff"}'),
    "an error": answer(STATE, status="500 Broken"),
    "another place": answer("", "Location: http://127.0.0.1:1/", status="302 Found"),
    "a date that cannot be": answer(STATE, "Date: Fri, 99 Zzz 99999 99:99:99 +9999999"),
    "no HTTP": lambda connection: connection.sendall(bytes(100)),
}
VERSIONS: Mapping[str, Send] = {
    "silence": lambda _: None,
    "a list": answer([1]),
    "a number": answer({"ApiVersion": 1.44}),
    "a path": answer({"ApiVersion": "1.44/../../proxy/state?"}),
    "deep": answer(DEEP),
    "another place": answer("", "Location: https://127.0.0.1:1/version", status="302 Found"),
    "compressed": answer(gzip.compress(json.dumps(VERSION).encode()), "Content-Encoding: gzip"),
}
LISTS: Mapping[str, Send] = {
    "silence": lambda _: None,
    "byte by byte": endless("Content-Length: 9000\r\n\r\n", b" ", 0.05),
    "without end": endless(CHUNKED, b"100\r\n" + b" " * 256 + b"\r\n"),
    "chunk without end": endless(CHUNKED + "f" * 9 + "\r\n", b" " * 10_000),
    "length of a chunk without end": endless(CHUNKED, b"0" * 10_000),
    "deep": answer(f'[{{"Id": {DEEP}'),
    "no list": answer({"Id": "x"}),
    "numbers": answer([1, 2]),
    "compressed": answer(gzip.compress(b"[" + b" " * 10_000_000 + b"]"), "Content-Encoding: gzip"),
    "too many": answer("[" + ",".join(["{}"] * 300_000) + "]"),
    "no id": answer([without("Id")]),
    "id is a list": answer([{**GOOD, "Id": ["x"]}]),
    "id is long": answer([{**GOOD, "Id": "x" * 10_000}]),
    "names are numbers": answer([{**GOOD, "Names": [1]}]),
    "labels are a list": answer([{**GOOD, "Labels": ["x"]}]),
    "label is a number": answer([{**GOOD, "Labels": {"aliyun.proxy.VIRTUAL_HOST": 5}}]),
    "label is no text": answer([{**GOOD, "Labels": {"aliyun.proxy.VIRTUAL_HOST": "\ud800"}}]),
    "age is infinite": answer(json.dumps([{**GOOD, "Created": float("inf")}])),
    "age is huge": answer([{**GOOD, "Created": 10**30}]),
    "port is huge": answer([{**GOOD, "Ports": [{"PrivatePort": 10**9, "Type": "tcp"}]}]),
    "port is a text": answer([{**GOOD, "Ports": [{"PrivatePort": "http", "Type": "tcp"}]}]),
    "ports are a text": answer([{**GOOD, "Ports": "80"}]),
    "networks are a list": answer([{**GOOD, "NetworkSettings": {"Networks": []}}, 5]),
    "address is a line": answer([attached(IPAddress="10.0.0.1:80\n  server evil 10.0.0.1")]),
    "address has words": answer([attached(GlobalIPv6Address="fe80::1%x check")]),
    "address is a name": answer([attached(IPAddress="metadata.internal")]),
    "gateway is a number": answer([attached(IPAddress="10.0.0.1", Gateway=7)]),
    "state is a list": answer([{**GOOD, "State": ["running"]}]),
}


def look_at(hostile: HostilePeer, files: CredentialFiles) -> Member:
    member = make_member(hostile, files)
    member.look_once()
    member.client.close()
    return member


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize("name", STATES)
def test_state_that_no_member_tells_is_a_fault(hostile: HostilePeer, files: CredentialFiles, name: str) -> None:
    hostile.answers["/proxy/state"] = STATES[name]

    member = look_at(hostile, files)

    assert (Status.LOST, None) == (member.status, member.told)
    assert member.fault


@pytest.mark.parametrize(
    ("end", "name"),
    [("version", name) for name in VERSIONS] + [("containers/json", name) for name in LISTS],
)
def test_answer_that_no_engine_gives_is_a_fault(
    hostile: HostilePeer, files: CredentialFiles, monkeypatch: pytest.MonkeyPatch, end: str, name: str
) -> None:
    if name in ("silence", "byte by byte"):
        monkeypatch.setattr(bounded_socket, "ANSWER_SECONDS", 0.2)
    hostile.answers[end] = (VERSIONS if end == "version" else LISTS)[name]

    member = look_at(hostile, files)

    assert Status.LOST is member.status
    assert member.told
    assert any(end in path for path in hostile.asked)
    assert {} == member.take()


def test_honest_member_is_believed(hostile: HostilePeer, files: CredentialFiles) -> None:
    member = look_at(hostile, files)

    assert Status.FOLLOWED is member.status
    assert [GOOD["Id"]] == [*member.take()]


def event(**changes: object) -> bytes:
    document = {"Type": "container", "Action": "start", "Actor": {"ID": "x", "Attributes": {"aliyun.a": "b"}}, "time": 1}
    text = json.dumps({**document, **changes}).encode() + b"\n"
    return b"%x\r\n%s\r\n" % (len(text), text)


EVENTS: Mapping[str, bytes] = {
    "flood": event() * 50,
    "flood of what is of no interest": event(Type="image") * 50,
    "line without end": b"1000\r\n" + b"x" * 4096 + b"\r\n",
    "length of a chunk without end": b"0" * 10_000,
    "no JSON": b"4\r\nxxx\n\r\n",
    "a number": b"2\r\n7\n\r\n",
    "deep": b"%x\r\n%s\n\r\n" % (20_001, b"[" * 20_000),
    "actor is a list": event(Actor=["x"]),
    "id is a list": event(Actor={"ID": ["x"] * 20}),
    "name is a number": event(Actor={"ID": "x", "Attributes": {"name": 5}}),
    "time is a text": event(time="now"),
    "time is infinite": event(time=float("inf")),
}


@pytest.mark.parametrize("name", EVENTS)
def test_stream_that_no_engine_has_is_ended_and_opened_again(
    hostile: HostilePeer, files: CredentialFiles, name: str
) -> None:
    good = hostile.answers["events"]
    hostile.answers["events"] = endless(CHUNKED, EVENTS[name])
    member = make_member(hostile, files)

    member.start()
    eventually(lambda: sum("/events" in path for path in hostile.asked) > 1)
    hostile.answers["events"] = good

    eventually(lambda: Status.FOLLOWED is member.status and GOOD["Id"] in member.take())
    member.stop()
    member.client.close()
