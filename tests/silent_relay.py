"""A relay to an engine that can fall silent, like a NAT that forgets: connections stay open, but carry no more data."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK = 65536


class SilentRelay:
    """Relays TCP connections of this machine to the Unix socket at `target`. `host` is a value for DOCKER_HOST."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._ends: list[socket.socket] = []
        self._silenced: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def fall_silent(self) -> None:
        """Relay no more data on the connections that are open now. New connections work."""
        self._silenced = set(self._ends)

    def close(self) -> None:
        """End all connections, and accept no new ones."""
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):  # the other side has already ended it
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._target))
                self._ends += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):  # cut by `close`, or by the other direction
            while data := source.recv(CHUNK):
                if source not in self._silenced:
                    sink.sendall(data)
            if source not in self._silenced:
                sink.shutdown(socket.SHUT_WR)


@contextmanager
def silent_relay(target: Path) -> Iterator[SilentRelay]:
    """Run a relay to the engine's socket until the block ends."""
    relay = SilentRelay(target)
    try:
        yield relay
    finally:
        relay.close()
