"""Stubs of many other nodes of a cluster in one process: each has a TLS port on which it answers as a member does.

A hundred proxies with a HAProxy each do not fit on a machine of CI. One event loop serves all nodes here, with a stub of an
engine for each. `python -m tests.stub_nodes FOLDER COUNT` is that process (see `run_stub_nodes`).
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path

from proxy.adapters.cluster.trust import make_credentials
from proxy.core.containers.containers import Node
from proxy.core.containers.node_state import NodeState, format_state
from proxy.core.haproxy.cluster_section import STATE_PATH
from proxy.secret import Secret
from tests.stub_engine import StubContainer, StubEngine, asks_for_events

KEY = "a secret that only the stubs of nodes know"


class StubNodes:
    """The process. `addresses` are those of its nodes, in order."""

    def __init__(self, folder: Path, count: int) -> None:
        self.key_file = folder / "nodes.key"
        self.key_file.write_text(KEY)
        self.key_file.chmod(0o600)
        command = [sys.executable, "-m", "tests.stub_nodes", str(folder), str(count)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addresses: tuple[str, ...] = tuple(f"127.0.0.1:{port}" for port in self._hear())

    def load(self, node: int, containers: Iterable[StubContainer]) -> None:
        """Add these containers to a node without an event. Returns when it has them."""
        self._say("load", node, *containers)
        self._hear()

    def start(self, node: int, container: StubContainer) -> None:
        """Make a node report that a container has started."""
        self._say("start", node, container)

    def stop(self, node: int, container: StubContainer) -> None:
        """Make a node report that a container was told to stop, has ended and was removed."""
        self._say("stop", node, container)

    def requests(self) -> list[str]:
        """Return every request that the nodes got since the last call."""
        self._say("requests", 0)
        return list(map(str, self._hear()))

    def _say(self, action: str, node: int, *containers: StubContainer) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps([action, node, *map(asdict, containers)]) + "\n")
        self.process.stdin.flush()

    def _hear(self) -> list[object]:
        assert self.process.stdout
        return list(json.loads(self.process.stdout.readline()))


@contextmanager
def run_stub_nodes(folder: Path, count: int) -> Iterator[StubNodes]:
    """Run `count` nodes until the block ends."""
    nodes = StubNodes(folder, count)
    try:
        yield nodes
    finally:
        with nodes.process:
            assert nodes.process.stdin
            nodes.process.stdin.close()  # which ends it


class _Stream:
    """A stream of events that is written to a connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def put(self, text: str | None) -> None:
        if text is None:
            self._writer.close()
        elif not self._writer.is_closing():
            self._writer.write(f"{len(text):x}\r\n{text}\r\n".encode())


class _Node:
    """One node, as its proxy's HAProxy answers."""

    def __init__(self, number: int) -> None:
        self.engine = StubEngine(host="", name=f"node-{number}")
        node = Node(id=f"id-{number}", name=f"node-{number}", address="127.0.0.1")
        self._state = format_state(NodeState(instance=f"instance-{number}", node=node)).encode()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while target := await self._read_target(reader):
                self.engine.requests.append(f"GET {target}")
                if asks_for_events(target):
                    await self._tell_events(reader, writer)
                    return
                is_state = target == STATE_PATH
                status, body = (200, self._state) if is_state else self._ask_engine(target)
                head = f"HTTP/1.1 {status} stub\r\nDate: {formatdate(usegmt=True)}\r\nContent-Length: {len(body)}\r\n"
                writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        except (OSError, asyncio.IncompleteReadError):
            return  # the proxy has gone
        finally:
            writer.close()

    def _ask_engine(self, target: str) -> tuple[int, bytes]:
        status, document = self.engine.answer(target)
        return status, json.dumps(document).encode()

    async def _tell_events(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = _Stream(writer)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.engine.streams.append(stream)
        try:
            await reader.read()
        finally:
            self.engine.streams.remove(stream)

    @staticmethod
    async def _read_target(reader: asyncio.StreamReader) -> str:
        head = await reader.readuntil(b"\r\n\r\n")
        return head.split(b" ", 2)[1].decode()


async def _serve(folder: Path, count: int) -> None:
    """Serve the nodes, and carry out each line of standard input, until the input ends."""
    nodes = [_Node(number) for number in range(count)]
    context = _make_context(folder)
    servers = [await asyncio.start_server(node.converse, "127.0.0.1", 0, ssl=context, backlog=64) for node in nodes]
    _answer([server.sockets[0].getsockname()[1] for server in servers])
    loop, lines = asyncio.get_running_loop(), asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        action, number, *documents = json.loads(line)
        engine, containers = nodes[number].engine, [StubContainer(**document) for document in documents]
        if action == "load":
            engine.containers.update({container.id: container for container in containers})
            _answer([])
        elif action == "requests":
            _answer([request for node in nodes for request in node.engine.requests])
            for node in nodes:
                node.engine.requests.clear()
        for container in containers if action != "load" else ():
            {"start": engine.start, "stop": engine.stop}[action](container)
    os._exit(0)  # hundreds of open connections are nobody's concern any more


def _answer(values: list[object]) -> None:
    print(json.dumps(values), flush=True)


def _make_context(folder: Path) -> ssl.SSLContext:
    """Return a TLS context as HAProxy has it for the cluster's section."""
    credentials = make_credentials(Secret(KEY), datetime.now(UTC))
    certificate = folder / "nodes.pem"
    certificate.write_text(credentials.certificate.reveal())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=credentials.ca)
    context.load_cert_chain(certificate)
    return context


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
