"""Requests as a visitor sends them: to a port of this machine or of a node, with a host name that the test chooses."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

ADDRESS = "127.0.0.1"
TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to a request. Names of headers are in lower case. `certificate` is the name in the server's certificate.

    `set_cookies` are all lines of that header; `headers` has only the last one.
    """

    status: int
    headers: Mapping[str, str]
    body: str
    certificate: str = ""
    set_cookies: tuple[str, ...] = ()


def fetch(
    port: int, path: str = "/", *, host: str = "", headers: Mapping[str, str] | None = None, address: str = ADDRESS
) -> Answer:
    """Send one request on a new connection. Raises OSError when there is no answer."""
    connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_SECONDS)
    try:
        return exchange(connection, path, host=host, headers=headers)
    finally:
        connection.close()


def fetch_tls(port: int, path: str = "/", *, host: str = "") -> Answer:
    """Send one request over TLS, with `host` as server name. The certificate is returned, but not verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection((ADDRESS, port), timeout=TIMEOUT_SECONDS)
    with plain, context.wrap_socket(plain, server_hostname=host or None) as secured:
        certificate = _common_name(secured.getpeercert(binary_form=True) or b"")
        connection = http.client.HTTPConnection(ADDRESS, port)
        connection.sock = secured
        return exchange(connection, path, host=host, certificate=certificate)


def exchange(
    connection: http.client.HTTPConnection,
    path: str,
    *,
    host: str = "",
    headers: Mapping[str, str] | None = None,
    certificate: str = "",
) -> Answer:
    """Send one request on an open connection and read the whole answer."""
    connection.request("GET", path, headers={**({"Host": host} if host else {}), **(headers or {})})
    response = connection.getresponse()
    received = {name.lower(): value for name, value in response.getheaders()}
    body = response.read().decode("utf-8", errors="replace")
    set_cookies = tuple(response.headers.get_all("Set-Cookie") or ())
    return Answer(status=response.status, headers=received, body=body, certificate=certificate, set_cookies=set_cookies)


def basic_auth(user: str, password: str) -> Mapping[str, str]:
    """Return the header of HTTP basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def is_nginx(answer: Answer) -> bool:
    """Return whether the answer is nginx's own page."""
    return answer.status == 200 and "Welcome to nginx" in answer.body


def server_name(answer: Answer) -> str:
    """Return the server that an answer of nginxdemos/hello names. Fails if it is another kind of answer."""
    assert answer.status == 200, answer
    names = [line for line in answer.body.splitlines() if line.startswith("Server name: ")]
    assert names, answer
    return names[0].removeprefix("Server name: ")


def _common_name(der: bytes) -> str:
    names = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
