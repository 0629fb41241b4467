"""An engine's socket that a test can remove: a Unix socket that relays to the real one until it is closed."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK = 65536


class Relay:
    """Relays connections on `path` to `target`. `close` removes the socket's file and cuts every connection."""

    def __init__(self, path: Path, target: str) -> None:
        self._path = path
        self._target = target
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o666)  # the proxy runs as another user
        self._listener.listen()
        self._open: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """End all connections, and refuse new ones. A second call does nothing."""
        self._path.unlink(missing_ok=True)
        for end in self._open:
            with contextlib.suppress(OSError):  # the other side has already ended it
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in self._open:
            end.close()
        self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            self._open += [client, server]
            for source, sink in ((client, server), (server, client)):
                thread = threading.Thread(target=_copy, args=(source, sink))
                thread.start()
                self._threads.append(thread)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # cut by `close`, or by the other direction
        while data := source.recv(CHUNK):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def relayed_engine(folder: Path, target: str) -> Iterator[Relay]:
    """Make a socket `docker.sock` in `folder` that leads to the engine until it is closed."""
    folder.chmod(0o755)
    relay = Relay(folder / "docker.sock", target)
    try:
        yield relay
    finally:
        relay.close()
