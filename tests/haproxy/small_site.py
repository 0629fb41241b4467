"""A small hand-written configuration in a state folder, for tests of the HAProxy process and not of its routing."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from proxy.adapters.haproxy.runtime_socket import RuntimeSocket
from proxy.adapters.haproxy.state_layout import StateLayout
from tests.builders import make_pem
from tests.ports import free_port

CONFIG = """\
global
    default-path config
    stats socket {layout.runtime_socket} mode 600 level admin expose-fd listeners
    server-state-file {layout.server_state}
    hard-stop-after 60s
defaults
    mode http
    load-server-state-from-file global
    timeout connect 1s
    timeout client 30s
    timeout server 1s
frontend plain
    bind 127.0.0.1:{port}
    use_backend %[req.hdr(host),lower,map_str(maps/hosts.map,none)]
frontend secure
    bind 127.0.0.1:{tls_port} ssl crt-list certificates.list
    use_backend one
backend one
    http-request return status 200 content-type text/plain string one
backend two
    http-request return status 200 content-type text/plain string two
backend none
    http-request deny deny_status 404
backend weighted
    server first 127.0.0.1:9 weight 100
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallSite:
    """One plain and one TLS port. The answer of `a.test` comes from a map, so it shows which files are in force."""

    layout: StateLayout
    port: int
    tls_port: int

    def files(self, *, answer: str = "one", name: str = "first.test", more: str = "") -> Mapping[str, str]:
        """Return a set of files: what `a.test` answers, the name in the certificate, and the end of the configuration."""
        config = CONFIG.format(layout=self.layout, port=self.port, tls_port=self.tls_port)
        return {
            "haproxy.cfg": config + more,
            "maps/hosts.map": f"a.test {answer}\n",
            "certificates.list": "certs/shop.pem\n",
            "certs/shop.pem": make_pem(name),
        }

    def fetch(self) -> str:
        """Return the answer of `a.test`. Raises OSError when there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/", headers={"Host": "a.test"})
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def certificate_name(self) -> str:
        """Return the name in the certificate that the TLS port shows."""
        pem = ssl.get_server_certificate(("127.0.0.1", self.tls_port), timeout=5)
        return x509.load_pem_x509_certificate(pem.encode()).subject.rfc4514_string().removeprefix("CN=")

    def runtime(self, command: str, payload: str = "") -> str:
        """Return the reply of the worker's runtime socket."""
        return RuntimeSocket(self.layout.runtime_socket).send(command, payload)

    def begin_request(self) -> socket.socket:
        """Return a connection on which HAProxy has read the beginning of a request, and waits for the rest."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n")
        return connection


def finish_request(connection: socket.socket) -> str:
    """Send the rest of a request and return the whole response. Closes the connection."""
    with connection:
        connection.sendall(b"Connection: close\r\n\r\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def make_site(folder: Path) -> SmallSite:
    """Return a site in `folder`, on free ports."""
    return SmallSite(layout=StateLayout(folder=folder), port=free_port(), tls_port=free_port())
