"""How another proxy is asked."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.adapters.cluster.peer import Address, CredentialFiles, PeerClient, PeerContext
from proxy.core.containers.containers import Node
from proxy.core.containers.node_state import NodeState, format_state
from tests.credentials import write_credentials

STATE = NodeState(instance="one", node=Node(id="1", name="node1"))


@pytest.fixture
def files(tmp_path: Path) -> CredentialFiles:
    return write_credentials(tmp_path)


@pytest.fixture
def port(files: CredentialFiles) -> Iterator[int]:
    """A member that closes each connection after one answer, and says nothing of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(files.ca)
    context.load_cert_chain(files.certificate)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                with context.wrap_socket(accepted, server_side=True) as connection:
                    connection.recv(65536)
                    text = format_state(STATE)
                    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_member_that_has_closed_an_idle_connection_is_asked_again(files: CredentialFiles, port: int) -> None:
    client = PeerClient(Address("127.0.0.1", port), PeerContext(files))

    assert [STATE, STATE, STATE] == [client.read_state().state for _ in range(3)]
    client.close()


def test_members_share_a_context_until_the_certificate_is_renewed(files: CredentialFiles) -> None:
    context = PeerContext(files)
    first = context.get()

    assert ssl.CERT_REQUIRED is first.verify_mode
    assert first is context.get()

    os.utime(files.certificate, ns=(1, 1))
    assert first is not context.get()
