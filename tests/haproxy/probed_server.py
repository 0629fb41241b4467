"""A backend that counts its probes. A test can make its probe fail while it still answers visitors."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PROBE_PATH = "/ping"


class ProbedServer:
    """`probes` counts the probes since the last change of `is_healthy`, good and bad."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_healthy = True
        self.probes = 0

    def set_health(self, *, is_healthy: bool) -> None:
        """From the next probe on, answer it with 200 or 500."""
        self.is_healthy, self.probes = is_healthy, 0


@contextmanager
def run_probed_server(name: str) -> Iterator[tuple[ProbedServer, int]]:
    """Yield the server and its port. It runs until the block ends."""
    probed = ProbedServer(name)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_probe = self.path == PROBE_PATH
            probed.probes += is_probe
            self.send_response(200 if probed.is_healthy or not is_probe else 500)
            self.send_header("Server-Name", name)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield probed, server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
