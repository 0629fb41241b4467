"""Small backends for tests. Each answers with its own name and with the request that reached it.

They read and write HTTP by hand, over plain TCP. So they also see what is in front of a request (the PROXY protocol), and
the same server works behind HTTP and TCP ports.
"""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from proxy.core.containers.containers import Container
from tests.builders import make_container, with_labels

PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n"
"""How version 2 of the PROXY protocol begins."""
TCP_OVER_IPV4 = 0x11
SESSION_COOKIE = "JSESSIONID"
TEXT = "All work and no play makes Jack a dull boy. " * 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it reached a backend. `proxied` is the line of the PROXY protocol in front of it, if any.

    The header of version 2 is shown as the line with the word `PROXY2`.
    """

    method: str
    target: str
    headers: dict[str, str]
    proxied: str = ""


@dataclass(slots=True, kw_only=True)
class BackendServer:
    """A running backend. `/login` starts a session, `/text` is long, `/broken` fails, `/slow` waits for `release`.

    With `hangs_up` it reads each request and closes the connection without an answer.
    """

    name: str
    port: int
    address: str = "127.0.0.1"
    seen: list[Seen] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    hangs_up: bool = False

    def container(self, *, ports: tuple[int, ...] = (), project: str = "shop", **labels: str) -> Container:
        """Return the container that this backend stands for, with labels of custom routing given by their short names."""
        return make_container(
            self.name, ports=ports or (self.port,), project=project, address=self.address, labels=with_labels(**labels)
        )

    def targets(self) -> set[tuple[str, str]]:
        """Return (method, target) of all requests so far, including health checks."""
        return {(seen.method, seen.target) for seen in self.seen}


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    backend: BackendServer


class _Ipv6Server(_Server):
    address_family = socket.AF_INET6


class _Conversation(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        """Answer one request. A connection without a request (a check that only connects) gets no answer."""
        backend = self.server.backend
        seen = self._read()
        if seen is None:
            return
        backend.seen.append(seen)
        if backend.hangs_up:
            return
        if seen.target == "/slow":
            backend.release.wait(timeout=30)
        status = "503 Service Unavailable" if seen.target == "/broken" else "200 OK"
        content = TEXT if seen.target == "/text" else json.dumps({"headers": seen.headers, "proxied": seen.proxied})
        kind = "text/plain" if seen.target == "/text" else "application/json"
        cookie = f"Set-Cookie: {SESSION_COOKIE}=of-{backend.name}; Path=/\r\n" if seen.target == "/login" else ""
        head = f"HTTP/1.1 {status}\r\nServer-Name: {backend.name}\r\nContent-Type: {kind}\r\n{cookie}"
        self._write(f"{head}Content-Length: {len(content)}\r\nConnection: close\r\n\r\n{content}")

    def _read(self) -> Seen | None:
        lines: list[str] = []
        try:
            for line in self.rfile:
                if not lines and PROXY_V2.startswith(line):
                    lines.append(self._read_proxy_v2(line))
                    continue
                if not line.strip():
                    break
                lines.append(line.decode().rstrip("\r\n"))
        except OSError:
            return None
        proxied = lines.pop(0) if lines and lines[0].startswith("PROXY") else ""
        if not lines:
            return None
        method, target, *_ = lines[0].split()
        headers: dict[str, str] = {}
        for name, _, value in (line.partition(":") for line in lines[1:]):
            before = [headers[name.lower()]] if name.lower() in headers else []
            headers[name.lower()] = ", ".join([*before, value.strip()])
        return Seen(method=method, target=target, headers=headers, proxied=proxied)

    def _read_proxy_v2(self, start: bytes) -> str:
        assert start + self.rfile.read(len(PROXY_V2) - len(start)) == PROXY_V2
        _, family, length = struct.unpack("!BBH", self.rfile.read(4))
        rest = self.rfile.read(length)
        if family != TCP_OVER_IPV4:
            return "PROXY2 UNKNOWN"
        source, destination = (socket.inet_ntoa(rest[start : start + 4]) for start in (0, 4))
        return f"PROXY2 TCP4 {source} {destination} {' '.join(map(str, struct.unpack('!HH', rest[8:12])))}"

    def _write(self, text: str) -> None:
        try:
            self.wfile.write(text.encode())
        except OSError:
            return  # the client does not wait: a health check, or a timeout under test


@contextmanager
def run_backend(name: str, address: str = "127.0.0.1", port: int = 0) -> Iterator[BackendServer]:
    """Run a backend until the block ends, on a free port if none is given."""
    with (_Ipv6Server if ":" in address else _Server)((address, port), _Conversation) as server:
        server.backend = BackendServer(name=name, address=address, port=server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.backend
        finally:
            server.backend.release.set()
            server.shutdown()
            thread.join()
