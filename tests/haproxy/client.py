"""A visitor for tests: sends one request on a new connection, and returns the answer."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509

HOST = "shop.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer; `headers` by their names in lower case. `server` is the backend, empty for HAProxy itself."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def server(self) -> str:
        return self.headers.get("server-name", "")

    @property
    def forwarded(self) -> Mapping[str, str]:
        """The headers that the backend received, by their names in lower case."""
        found: dict[str, str] = self._told()["headers"]
        return found

    @property
    def proxied(self) -> str:
        """The line of the PROXY protocol that the backend received."""
        return str(self._told()["proxied"])

    @property
    def cookie(self) -> str:
        """`name=value` of the cookie that the answer sets."""
        return self.headers.get("set-cookie", "").partition(";")[0]

    def _told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told


def ask(
    port: int,
    path: str = "/",
    *,
    method: str = "GET",
    host: str = HOST,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    preamble: bytes = b"",
    address: str = "127.0.0.1",
    source: str = "",
) -> Answer:
    """Send one request to this machine, from the address `source` if there is one. The host is also the SNI.

    `preamble` is sent first (PROXY protocol).

    Raises OSError when there is no answer.
    """
    own = (source, 0) if source else None
    connection = http.client.HTTPConnection(address, port, timeout=20)
    try:
        plain = socket.create_connection((address, port), timeout=20, source_address=own)
        plain.sendall(preamble)
        connection.sock = tls.wrap_socket(plain, server_hostname=host.partition(":")[0]) if tls else plain
        connection.request(method, path, headers={"Host": host, **(headers or {})})
        response = connection.getresponse()
        body = response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"no answer that can be read: {error!r}") from error
    finally:
        connection.close()
    if response.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    return Answer(status=response.status, headers=_lower(response.headers), body=body.decode())


def _lower(headers: http.client.HTTPMessage) -> Mapping[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def any_tls() -> ssl.SSLContext:
    """Return a TLS context that accepts every certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def connect_tls(port: int, sni: str = HOST, *, tls: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    """Return a TLS connection to this machine. If `sni` is empty, no SNI is sent."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    return (tls or any_tls()).wrap_socket(plain, server_hostname=sni or None)


def shown_name(port: int, sni: str = HOST, *, tls: ssl.SSLContext | None = None) -> str:
    """Return the first name in the certificate that a visitor of `sni` is shown."""
    with connect_tls(port, sni, tls=tls) as connection:
        certificate = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
    return certificate.subject.rfc4514_string().removeprefix("CN=")


def basic_auth(user: str, password: str) -> Mapping[str, str]:
    """Return the header of HTTP basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
