"""An HTTP, WebSocket and TCP backend for tests. It answers with its own name and with what it was asked.

It runs inside the image `proxy-test/backend` (and anywhere else with Python), so it uses only the standard library. One
event loop serves everything. It is fast enough for thousands of requests per second, and so small that a hundred can run.

Environment: PORTS (HTTP, default 80), TCP_PORTS_LISTEN (sends NAME and a newline, then echoes), NAME (default: the host
name), DELAY_LISTEN (seconds until it listens). Ports are separated by commas or spaces.

Paths: /status/CODE, /slow/SECONDS, /bytes/COUNT (each byte is its position modulo 251), /set-cookie/NAME/VALUE, /health
(answers with the code that POST /health/CODE set, 200 at first; /fail switches it between 200 and 503). Every other path
gets 200. A WebSocket upgrade works on any path. After SIGTERM it ends as soon as the answers to the requests in flight have
arrived.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CONTINUATION, _CLOSE, _PING, _PONG = 1, 2, 0, 8, 9, 10
_CHUNK = bytes(range(251)) * 261  # a prime length, so that a lost, doubled or swapped buffer breaks the pattern
_NO_BODY = {204, 304}


@dataclass
class Request:
    """One request. `body_length` is counted while the body is read and dropped."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body_length: int = 0

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")

    @property
    def parts(self) -> list[str]:
        return self.path.partition("?")[0].strip("/").split("/")

    @property
    def wants_close(self) -> bool:
        return "close" in self.header("connection").lower()

    @property
    def is_websocket(self) -> bool:
        return self.header("upgrade").lower() == "websocket"


@dataclass
class Answer:
    """The answer to send: either `payload`, or `stream_length` bytes of the pattern."""

    status: int = 200
    payload: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    stream_length: int | None = None

    def head(self, *, close: bool) -> bytes:
        length = len(self.payload) if self.stream_length is None else self.stream_length
        phrase = HTTPStatus(self.status).phrase if self.status in set(HTTPStatus) else "Unknown"
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{name}: {value}" for name, value in self.headers)]
        if self.status not in _NO_BODY:
            lines.append(f"Content-Length: {length}")
        lines.append(f"Connection: {'close' if close else 'keep-alive'}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Backend:
    """What all connections share: the name, the health, and the number of requests in flight."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hostname = socket.gethostname()
        self.health = 200
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_stopping = False

    async def serve_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        try:
            while not self._is_stopping:
                request = await _read_head(reader)
                if request is None:
                    break
                if request.is_websocket:
                    await _echo_websocket(request, reader, writer)
                    break
                if not await self._serve_request(request, port, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # the client went away, or did not speak HTTP
        finally:
            writer.close()

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(f"{self.name}\n".encode())
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # the client went away
        finally:
            writer.close()

    async def finish_requests(self) -> None:
        """Wait until no request is in flight. Idle connections may stay open."""
        self._is_stopping = True
        await self._idle.wait()

    async def _serve_request(
        self, request: Request, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request. Return whether the connection may carry another one."""
        self._in_flight += 1
        self._idle.clear()
        try:
            if request.header("expect"):
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            async for data in _read_body(request, reader):
                request.body_length += len(data)
            answer = await self._answer(request, port)
            close = request.wants_close or self._is_stopping
            await _send(answer, writer, close=close, has_body=request.method != "HEAD")
            if self._is_stopping:
                writer.write_eof()
                await reader.read()  # until the client has everything; the kernel's rest is lost with the container
            return not close
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _answer(self, request: Request, port: int) -> Answer:
        match request.parts:
            case ["status", code]:
                return self._describe(request, port, status=int(code))
            case ["slow", seconds]:
                await asyncio.sleep(float(seconds))
            case ["bytes", count]:
                return Answer(stream_length=int(count), headers=(("Content-Type", "application/octet-stream"),))
            case ["set-cookie", name, value]:
                return self._describe(request, port, headers=(("Set-Cookie", f"{name}={value}; Path=/"),))
            case ["health", code] if request.method == "POST":
                self.health = int(code)
            case ["health"]:
                return self._describe(request, port, status=self.health)
            case ["fail"]:
                self.health = 503 if self.health == 200 else 200
        return self._describe(request, port)

    def _describe(
        self, request: Request, port: int, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()
    ) -> Answer:
        described = {
            "name": self.name,
            "hostname": self.hostname,
            "port": port,
            "method": request.method,
            "path": request.path,
            "headers": request.headers,
            "body_length": request.body_length,
            "in_flight": self._in_flight,
        }
        payload = b"" if status in _NO_BODY else json.dumps(described).encode() + b"\n"
        return Answer(status, payload, (("Content-Type", "application/json"), *headers))


async def _read_head(reader: asyncio.StreamReader) -> Request | None:
    """Return the next request on the connection; None at its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    split_lines = (line.partition(":") for line in lines)
    return Request(method, path, [(name, value.strip()) for name, _, value in split_lines])


async def _read_body(request: Request, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    if "chunked" in request.header("transfer-encoding").lower():
        while size := int((await reader.readline()).partition(b";")[0], 16):
            yield (await reader.readexactly(size + 2))[:-2]
        while (await reader.readline()).strip():
            pass  # trailers
        return
    missing = int(request.header("content-length") or 0)
    while missing:
        data = await reader.read(min(missing, 65536))
        if not data:
            raise ConnectionError("the request's body ends too early")
        missing -= len(data)
        yield data


async def _send(answer: Answer, writer: asyncio.StreamWriter, *, close: bool, has_body: bool) -> None:
    head = answer.head(close=close)
    if not has_body:
        writer.write(head)
    elif answer.stream_length is None:
        writer.write(head + answer.payload)
    else:
        writer.write(head)
        missing = answer.stream_length
        while missing:
            data = _CHUNK[:missing]
            writer.write(data)
            missing -= len(data)
            await writer.drain()
    await writer.drain()


async def _echo_websocket(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept the handshake of RFC 6455 and send each message's frames back, until the client closes."""
    key = request.header("sec-websocket-key").encode()
    accept = base64.b64encode(hashlib.sha1(key + _WEBSOCKET_GUID).digest()).decode()
    head = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
    writer.write("\r\n".join([*head, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode())
    while True:
        first, second = await reader.readexactly(2)
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8))
        mask = await reader.readexactly(4)  # a client's frames are always masked
        payload = _unmask(await reader.readexactly(length), mask)
        opcode = first & 0x0F
        if opcode == _PING:
            writer.write(_frame(0x80 | _PONG, payload))
        elif opcode in (_TEXT, _BINARY, _CONTINUATION, _CLOSE):
            writer.write(_frame(first, payload))
        await writer.drain()
        if opcode == _CLOSE:
            return


def _unmask(payload: bytes, mask: bytes) -> bytes:
    length = len(payload)
    repeated = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(length)


def _frame(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes([first, length]) + payload
    if length < 65536:
        return bytes([first, 126]) + length.to_bytes(2) + payload
    return bytes([first, 127]) + length.to_bytes(8) + payload


def _ports(setting: str, default: str) -> list[int]:
    return [int(port) for port in os.environ.get(setting, default).replace(",", " ").split()]


async def main() -> None:
    """Serve until SIGTERM (or SIGINT), then finish the requests in flight."""
    backend = Backend(os.environ.get("NAME") or socket.gethostname())
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    delay = float(os.environ.get("DELAY_LISTEN") or 0)
    if delay:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asked_to_stop.wait(), delay)
    wanted = [(backend.serve_http, port) for port in _ports("PORTS", "80")]
    wanted += [(backend.serve_tcp, port) for port in _ports("TCP_PORTS_LISTEN", "")]
    servers = [await asyncio.start_server(serve, port=port, backlog=1024) for serve, port in wanted]
    print(f"{backend.name} listens on {len(servers)} ports")
    await asked_to_stop.wait()
    for server in servers:
        server.close()
    await backend.finish_requests()


if __name__ == "__main__":
    asyncio.run(main())
