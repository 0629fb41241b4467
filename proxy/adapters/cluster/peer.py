"""Another proxy of the cluster, asked over TLS: for its own state, and for what its engine runs.

In: address and port, this proxy's certificate. Out: `NodeState`, an engine as `DockerSource` asks it. Both sides prove with
their certificates that they have the cluster's key. Names are not compared: any address may be a member's.
"""

from __future__ import annotations

import http.client
import os
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import docker
import requests
from urllib3 import PoolManager

from proxy.adapters.engine.bounded_socket import BoundedSocket
from proxy.adapters.engine.docker_engine import DockerEngine, keep_alive
from proxy.adapters.engine.docker_view import SHAPE_ERRORS
from proxy.adapters.engine.engine_faults import TIMEOUT_SECONDS, root_cause
from proxy.core.containers.node_state import MAX_LENGTH, NodeState, parse_state
from proxy.core.haproxy.cluster_section import STATE_PATH
from proxy.errors import SourceError

STATE_SECONDS = 3.0
"""How long another proxy may take to tell its state: HAProxy answers that from memory."""
OTHER_KEY = "it has another key than this proxy; give all of them the same secret (PROXY_CLUSTER_KEY_FILE)"
MOST_CONTAINERS = 20_000
"""Of how many containers one node may tell: twice the most that are tried (docs/scale.md)."""
_API_VERSION = re.compile(r"\d{1,2}\.\d{1,3}")
FIRST_VERSION = "1.24"
"""The version of the API that is spoken until the engine has told its own."""
_OF_OTHER_KEY = ("issuer", "self-signed", "self signed", "signature failure", "unknown ca", "alert")
"""Words of OpenSSL where one side does not trust the other's certificate."""
_NOT_OPEN = "no proxy of a cluster answers there; start it with PROXY_CLUSTER and the same PROXY_CLUSTER_PORT"


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where another proxy offers its engine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialFiles:
    """This proxy's certificate with its key, and the cluster's CA. They are written before anybody is asked."""

    certificate: Path
    ca: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What another proxy has said, and by how many seconds its clock is ahead of this one's."""

    state: NodeState
    clock_offset: float


class PeerContext:
    """The TLS context for all members: it shows this proxy's certificate and trusts only the cluster's CA.

    One for each connection would take a millisecond to make. A new one is made when the files have changed. Any thread may
    use it.
    """

    def __init__(self, files: CredentialFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._read_at: tuple[int, ...] = ()
        self._context: ssl.SSLContext | None = None

    def get(self) -> ssl.SSLContext:
        """Return the context. Raises OSError while there are no files that can be used."""
        with self._lock:
            changed_at = tuple(os.stat(path).st_mtime_ns for path in (self._files.certificate, self._files.ca))
            if self._context is None or changed_at != self._read_at:
                self._context, self._read_at = make_context(self._files), changed_at
            return self._context


class PeerClient:
    """Asks one proxy for its state. Any thread may use it; each request is one after the other."""

    def __init__(self, address: Address, context: PeerContext) -> None:
        self._address = address
        self._context = context
        self._lock = threading.RLock()
        self._connection: http.client.HTTPSConnection | None = None

    def read_state(self) -> Told:
        """Return what the proxy tells of itself. Raises SourceError that says why it cannot be asked."""
        with self._lock:
            try:
                return self._ask()
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.close()
                raise SourceError(f"the proxy at {self._address} cannot be asked: {explain_peer(error)}") from error

    def close(self) -> None:
        """Close the connection, once nobody waits for an answer; the next question opens another one."""
        with self._lock:
            if self._connection:
                self._connection.close()
            self._connection = None

    def _ask(self) -> Told:
        is_kept = self._connection is not None
        try:
            return self._exchange()
        except (OSError, http.client.HTTPException):
            if not is_kept:
                raise
            self.close()  # the other side may have closed a connection that was idle
            return self._exchange()

    def _exchange(self) -> Told:
        if self._connection is None:
            connection = http.client.HTTPSConnection(
                self._address.host, self._address.port, timeout=STATE_SECONDS, context=self._context.get()
            )
            connection.connect()
            self._connection = connection
        self._connection.request("GET", STATE_PATH)
        if isinstance(self._connection.sock, BoundedSocket):
            self._connection.sock.bound(STATE_SECONDS, 4 * MAX_LENGTH)
        response = self._connection.getresponse()
        text, now = response.read(2 * MAX_LENGTH).decode(), time.time()
        if response.status != http.HTTPStatus.OK:
            raise ValueError(f"it answers {response.status}")
        date = response.headers.get("Date", "")
        offset = parsedate_to_datetime(date).timestamp() - now if date else 0.0
        return Told(state=parse_state(text), clock_offset=offset)


def make_engine(address: Address, context: PeerContext) -> DockerEngine:
    """Return the engine of another proxy."""

    def connect() -> docker.APIClient:
        try:
            client = _Client(f"https://{address}", context.get())
            try:
                client.learn_version()
            except BaseException:
                client.close()
                raise
        except (docker.errors.DockerException, OSError, *SHAPE_ERRORS) as error:
            cause = root_cause(error)
            raise ConnectionError(explain_peer(cause)) from error
        return client

    return _PeerEngine({"DOCKER_HOST": f"https://{address}"}, connect)


class _PeerEngine(DockerEngine):
    """An engine that may be anybody's who has the key: it may not tell of containers without end."""

    def list_containers(self) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of the list (see `DockerEngine`)."""
        for number, entry in enumerate(super().list_containers()):
            if number == MOST_CONTAINERS:
                raise SourceError(f"the engine at {self.address} tells of more than {MOST_CONTAINERS} containers")
            yield entry


class _Client(docker.APIClient):
    """A client that trusts only the cluster's CA, not what the environment names, and goes nowhere else."""

    def __init__(self, base_url: str, context: ssl.SSLContext) -> None:
        super().__init__(base_url=base_url, version=FIRST_VERSION, timeout=TIMEOUT_SECONDS)
        self.trust_env = False
        self.max_redirects = 0
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self.mount("https://", _Adapter(context))
        keep_alive(self)

    def learn_version(self) -> None:
        """Speak the version of the API that the engine speaks."""
        version = self.version(api_version=False)["ApiVersion"]
        if not _API_VERSION.fullmatch(version):
            raise ValueError(f"{version!r:.40} is not a version of the API")
        self._version = version


class _Adapter(requests.adapters.HTTPAdapter):
    """Takes certificate and CA from a context that is ready, and nothing that a session says of them.

    The name in the certificate is not compared: the CA has signed only members.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: object) -> None:
        """Make the pool of connections (see requests)."""
        self.poolmanager = PoolManager(
            num_pools=connections, maxsize=maxsize, block=block, assert_hostname=False, ssl_context=self._context
        )

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> Any:
        """Return a connection, made with nothing but the context (see requests)."""
        return self.poolmanager.connection_from_url(request.url)

    def cert_verify(self, *_args: Any, **_kwargs: Any) -> None:
        """Leave the connection as it is: its context has everything."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Return the answer (see requests). Compressed, a small one could become larger than the memory."""
        if "Content-Encoding" in resp.headers:
            resp.close()
            raise requests.ConnectionError("the answer is compressed, which nobody has asked for")
        return super().build_response(req, resp)


def make_context(files: CredentialFiles) -> ssl.SSLContext:
    """Return the TLS context of a client that shows this proxy's certificate and trusts only the cluster's CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = BoundedSocket
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cafile=files.ca)
    context.load_cert_chain(files.certificate)
    return context


def _explain_tls(text: str) -> str:
    lower = text.lower()
    if "expired" in lower or "not yet valid" in lower:
        return "the clocks of the two nodes differ by more than a day; set them right (NTP)"
    if any(word in lower for word in _OF_OTHER_KEY):
        return OTHER_KEY
    return f"the TLS handshake failed ({text})"


def explain_peer(error: BaseException) -> str:
    """Return why a member cannot be asked, and what to do."""
    text = str(error)
    if isinstance(error, ssl.SSLError) or "SSL" in text or "certificate" in text.lower():
        return _explain_tls(text)
    if isinstance(error, ConnectionRefusedError):
        return f"connection refused: {_NOT_OPEN}"
    if isinstance(error, FileNotFoundError):
        return "this proxy has no certificate of the cluster yet; it makes one when it is started, from a key that is right"
    if isinstance(error, TimeoutError):
        return "no answer; check that the network lets the proxies reach each other on the cluster port"
    return getattr(error, "strerror", None) or text or type(error).__name__
