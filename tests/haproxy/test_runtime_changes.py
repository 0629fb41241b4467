"""The effect of single changes on an HAProxy that serves: no reload unless one is needed, and no connection is cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.core.containers.containers import Container
from tests.builders import make_container, make_pem, make_settings, one_line, with_labels
from tests.eventually import eventually
from tests.haproxy.backend_server import BackendServer, run_backend
from tests.haproxy.client import any_tls, ask, shown_name
from tests.haproxy.conftest import find_binary
from tests.haproxy.reconciled import Reconciled
from tests.haproxy.small_site import finish_request
from tests.ports import free_offset

pytestmark = pytest.mark.haproxy

EXTRA_PORT = 8081
MANY = 60
TLS_HANDSHAKE = b"\x16"
"""The first byte of a TLS connection."""


class Site:
    """A reconciled HAProxy with one service, `always`, that answers for `shop.example`, plain and with TLS."""

    def __init__(self, binary: str, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        self.offset = free_offset(80, 443, 1936, EXTRA_PORT)
        settings = make_settings(PROXY_PORT_OFFSET=str(self.offset), ADDITIONAL_SERVICES="*")
        self.haproxy = Reconciled(binary, folder, settings)
        self.always = self.backend("always-1").container(
            VIRTUAL_HOST="shop.example, https://shop.example", SSL_CERT=one_line(make_pem("shop.example"))
        )
        stack.enter_context(self.haproxy.run([self.always]))

    def backend(self, name: str) -> BackendServer:
        return self._stack.enter_context(run_backend(name))

    def apply(self, *containers: Container, seconds: float = 1.0) -> None:
        """From now on `always` and `containers` run."""
        self.haproxy.apply([self.always, *containers], seconds=seconds)

    def server(self, host: str, path: str = "/") -> str:
        """Return who answers, or the status if HAProxy itself does."""
        answer = ask(80 + self.offset, path, host=host)
        return answer.server or str(answer.status)


@pytest.fixture
def site(haproxy_binary: str, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(haproxy_binary, tmp_path / "state", stack)


@pytest.fixture
def modern_site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(find_binary("HAPROXY_34") or pytest.fail("HAPROXY_34 is unknown"), tmp_path / "state", stack)


def test_new_service_serves_at_once_and_takes_a_reload_only_where_haproxy_is_old(site: Site) -> None:
    site.apply(site.backend("new-1").container(VIRTUAL_HOST="new.example"))

    assert "new-1" == site.server("new.example")
    assert [] == site.haproxy.reload_reasons() or not site.haproxy.takes_backends_at_runtime


@pytest.mark.parametrize(
    ("label", "line", "shown"),
    [
        ("EXTRA_ROUTE_SETTINGS", "send-proxy", "PROXY"),
        ("EXTRA_ROUTE_SETTINGS", "send-proxy-v2", "PROXY2"),
        ("EXTRA_SETTINGS", "default-server send-proxy", "PROXY"),
    ],
)
def test_server_that_wants_the_proxy_protocol_can_be_added(site: Site, label: str, line: str, shown: str) -> None:
    """Its health checks speak it, too. Else the container would close them, and count as down."""
    labels: dict[str, Any] = {label: line, "HEALTH_CHECK": "check inter 50ms", "HTTP_CHECK": "GET /check"}
    backends = [site.backend(name) for name in ("new-1", "new-2")]
    containers = [backend.container(VIRTUAL_HOST="new.example", **labels) for backend in backends]
    site.apply(containers[0])
    site.haproxy.plans.clear()

    site.apply(*containers)

    eventually(lambda: ("GET", "/check") in backends[1].targets())
    assert {"new-1", "new-2"} == {site.server("new.example") for _ in range(4)}
    assert {shown} == {seen.proxied.partition(" ")[0] for backend in backends for seen in backend.seen}
    assert (label == "EXTRA_SETTINGS") == bool(site.haproxy.reload_reasons())


def test_health_checks_of_a_server_that_is_added_use_tls_as_its_requests_do(site: Site) -> None:
    labels = {"EXTRA_ROUTE_SETTINGS": "ssl verify none", "HEALTH_CHECK": "check inter 50ms rise 1 fall 1"}
    with tls_listener() as (port, handshakes):
        containers = [
            make_container(name, ports=(port,), address=address, labels=with_labels(VIRTUAL_HOST="new.example", **labels))
            for name, address in (("new-1", "127.0.0.1"), ("new-2", "127.0.0.2"))
        ]
        site.apply(containers[0])
        site.haproxy.plans.clear()

        site.apply(*containers)

        eventually(lambda: "127.0.0.2" in handshakes)
    assert [] == site.haproxy.reload_reasons()


@contextmanager
def tls_listener() -> Iterator[tuple[int, set[str]]]:
    """Listen until the block ends, and note at which addresses of this machine a TLS handshake has begun."""
    handshakes: set[str] = set()
    with socket.create_server(("0.0.0.0", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        if connection.recv(1) == TLS_HANDSHAKE:
                            handshakes.add(connection.getsockname()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1], handshakes
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    "late",
    [
        {"VIRTUAL_HOST": "https://a.example:80"},
        {"VIRTUAL_HOST": "wss://a.example:80"},
        {"TCP_PORTS": "80/ssl"},
        {"VIRTUAL_HOST": "http://a.example:443"},
        {"TCP_PORTS": "443"},
        {"TCP_PORTS": "1936"},
    ],
    ids=lambda labels: next(iter(labels.values())),
)
def test_newcomer_that_wants_another_use_of_a_port_changes_nothing(site: Site, late: dict[str, str]) -> None:
    before = site.haproxy.config()
    newcomer = make_container("a-1", ports=(80, 443, 1936), labels=with_labels(required="true", **late))

    site.apply(newcomer)
    site.haproxy.restart_controller()
    site.apply(newcomer)

    assert "always-1" == site.server("shop.example")
    assert "always-1" == ask(443 + site.offset, host="shop.example", tls=any_tls()).server
    assert [] == site.haproxy.reload_reasons() or not site.haproxy.takes_backends_at_runtime
    assert binds(before) == binds(site.haproxy.config())
    told = [problem for problem in site.haproxy.problems() if " use" in problem]
    assert ["service shop:a: "] == [problem[:16] for problem in told]


def binds(config: str) -> list[str]:
    return [line for line in config.splitlines() if line.lstrip().startswith("bind ")]


def test_new_version_takes_the_routes_when_it_is_ready(site: Site) -> None:
    old = replace(site.backend("web-1").container(VIRTUAL_HOST="old.example"), created=1)
    new = replace(site.backend("web-2").container(VIRTUAL_HOST="new.example"), created=2)
    site.apply(old)
    site.haproxy.prober.answers_at_once = False

    site.apply(old, new)
    assert ["web-1", "503"] == [site.server("old.example"), site.server("new.example")]
    site.haproxy.prober.answer()
    site.apply(old, new)

    assert "503" == site.server("old.example")
    assert {"web-1", "web-2"} == {site.server("new.example") for _ in range(4)}


def test_scaling_takes_no_reload(site: Site) -> None:
    first = site.backend("web-1").container(VIRTUAL_HOST="web.example")
    site.apply(first)
    site.haproxy.plans.clear()

    site.apply(first, site.backend("web-2").container(VIRTUAL_HOST="web.example"))
    both = {site.server("web.example") for _ in range(4)}
    site.apply(first)
    one = {site.server("web.example") for _ in range(4)}

    assert ({"web-1", "web-2"}, {"web-1"}, []) == (both, one, site.haproxy.reload_reasons())


def test_other_settings_that_are_loaded_take_no_reload_and_cut_nobody_off(modern_site: Site) -> None:
    """The service moves to a backend with another name. A request that was sent before is still answered."""
    site, backend = modern_site, modern_site.backend("slow-1")
    sticky: dict[str, Any] = {"COOKIE": "SRV insert indirect nocache"}
    other = site.backend("other-1").container(VIRTUAL_HOST="other.example", **sticky)
    site.apply(backend.container(VIRTUAL_HOST="slow.example"), other)
    request = begin_request(site, "slow.example", "/slow")
    eventually(lambda: ("GET", "/slow") in backend.targets())
    site.haproxy.plans.clear()

    relabelled = replace(backend.container(VIRTUAL_HOST="slow.example", **sticky), id="f" * 64)
    site.apply(relabelled, other)
    answer = ask(80 + site.offset, host="slow.example")
    backend.release.set()

    assert "SRV" in answer.cookie
    assert "200 OK" in finish_request(request)
    assert [] == site.haproxy.reload_reasons()


def test_request_in_flight_outlives_its_service(site: Site) -> None:
    backend = site.backend("slow-1")
    site.apply(backend.container(VIRTUAL_HOST="slow.example"))
    request = begin_request(site, "slow.example", "/slow")
    eventually(lambda: ("GET", "/slow") in backend.targets())

    site.apply()
    backend.release.set()

    assert "200 OK" in finish_request(request)


def begin_request(site: Site, host: str, path: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", 80 + site.offset), timeout=20)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    return connection


def test_service_is_forgotten_once_its_last_request_has_ended(modern_site: Site) -> None:
    site, backend = modern_site, modern_site.backend("slow-1")
    site.apply(backend.container(VIRTUAL_HOST="slow.example"))
    request = begin_request(site, "slow.example", "/slow")
    eventually(lambda: ("GET", "/slow") in backend.targets())

    site.apply()
    site.apply(seconds=30.0)
    during = site.haproxy.report()["backends"]
    backend.release.set()
    finish_request(request)

    def backends_after_a_pass() -> object:
        site.apply()
        return site.haproxy.report()["backends"]

    assert "shop:slow" in str(during)
    eventually(lambda: "shop:slow" not in str(backends_after_a_pass()))


def test_many_services_that_go_at_once_are_forgotten_and_may_come_back(modern_site: Site) -> None:
    site = modern_site
    many = [make_container(f"many{number}-1", virtual_host=f"many{number}.example") for number in range(MANY)]
    site.apply(*many)

    site.apply(seconds=30.0)
    site.apply(seconds=30.0)
    left = "many" in str(site.haproxy.report()["backends"])
    site.apply(*many)

    assert (False, []) == (left, site.haproxy.reload_reasons())


def test_host_without_containers_answers_503_and_no_other_service_until_it_is_forgotten(site: Site) -> None:
    wide = site.backend("wide-1").container(VIRTUAL_HOST="*.example")
    narrow = site.backend("narrow-1").container(VIRTUAL_HOST="narrow.example")
    site.apply(wide, narrow)
    before = site.server("narrow.example")

    site.apply(wide)
    lingering = site.server("narrow.example")
    site.apply(wide, seconds=30.0)

    assert ("narrow-1", "503", "wide-1") == (before, lingering, site.server("narrow.example"))


def test_server_that_does_not_answer_yet_gets_no_request(site: Site) -> None:
    first = site.backend("web-1").container(VIRTUAL_HOST="web.example")
    site.apply(first)
    site.haproxy.prober.answers_at_once = False

    site.apply(first, site.backend("web-2").container(VIRTUAL_HOST="web.example"))
    early = {site.server("web.example") for _ in range(6)}
    site.haproxy.prober.answer()
    site.apply(first, site.backend("web-2").container(VIRTUAL_HOST="web.example"))

    assert {"web-1"} == early


def test_server_that_answers_in_the_pass_of_a_reload_gets_requests(site: Site) -> None:
    """The file of servers' states would keep it in maintenance, because it was there when the reload began."""
    late = site.backend("late-1").container(VIRTUAL_HOST="late.example")
    site.haproxy.prober.answers_at_once = False
    site.apply(late)
    before = site.server("late.example")

    site.haproxy.prober.answer()
    site.apply(late, site.backend("port-1").container(VIRTUAL_HOST=f"port.example:{EXTRA_PORT}"))

    assert ("503", "late-1") == (before, site.server("late.example"))
    assert any("new listening port" in reason for reason in site.haproxy.reload_reasons())


def test_certificates_come_change_and_go_without_a_reload(modern_site: Site) -> None:
    site = modern_site
    backend = site.backend("tls-1").container(VIRTUAL_HOST="https://tls.example")

    def with_certificate(*names: str) -> Container:
        labels = {**backend.labels, **with_labels(SSL_CERT=one_line(make_pem(*names)))}
        return replace(backend, id=names[-1].encode().hex().ljust(64, "0")[:64], labels=labels)

    served = []
    for names in (("tls.example",), ("tls.example", "again.example")):
        site.apply(with_certificate(*names))
        answer = ask(443 + site.offset, host="tls.example", tls=any_tls())
        served.append((answer.server, site.haproxy.report()["certificates"]))
    site.apply(seconds=30.0)
    site.haproxy.settle()

    assert ["tls-1", "tls-1"] == [server for server, _ in served]
    assert served[0][1] != served[1][1]
    left = site.haproxy.report()["certificates"]
    assert isinstance(left, dict)
    assert ["certs/default/cert0.pem", "certs/shop~always.pem"] == sorted(left)
    assert [] == site.haproxy.reload_reasons()


@pytest.mark.parametrize("sni", ["", "nobody.example"])
def test_other_default_certificate_is_served_without_a_reload(modern_site: Site, sni: str) -> None:
    site = modern_site
    backend = site.backend("tls-1").container(VIRTUAL_HOST="https://tls.example")
    labels = {**backend.labels, **with_labels(DEFAULT_SSL_CERT=one_line(make_pem("tls.example")))}

    names = []
    for containers in ((replace(backend, labels=labels),), ()):
        for _ in range(2):  # a service that has gone lingers for a while
            site.apply(*containers, seconds=30.0)
        names.append(shown_name(443 + site.offset, sni))

    assert ["tls.example", "shop.example"] == names
    assert [] == site.haproxy.reload_reasons()


@pytest.mark.parametrize("half", ["", "key", "cut", "gone"])
def test_certificate_file_that_breaks_changes_nothing(haproxy_binary: str, tmp_path: Path, half: str) -> None:
    """TLS goes on with the certificate that is loaded, and FORCE_SSL does not fall back to clear text."""
    pem, folder = make_pem("shop.example"), tmp_path / "certs"
    folder.mkdir()
    (folder / "site.pem").write_text(pem)
    offset = free_offset(80, 443, 1936)
    settings = make_settings(PROXY_PORT_OFFSET=str(offset), ADDITIONAL_SERVICES="*", CERT_FOLDER=str(folder))
    site = Reconciled(haproxy_binary, tmp_path / "state", settings)
    with run_backend("web-1") as backend:
        web = backend.container(VIRTUAL_HOST="shop.example, https://shop.example", FORCE_SSL="yes", HSTS_MAX_AGE="60")
        with site.run([web]):
            (folder / "site.pem").unlink()
            if half != "gone":
                (folder / "site.pem").write_text(
                    {"key": pem[: pem.index("-----BEGIN CERT")], "cut": pem[:-40]}.get(half, "")
                )
            site.calm_down([web])
            plain, encrypted = (
                ask(port + offset, host="shop.example", tls=tls) for port, tls in ((80, None), (443, any_tls()))
            )

            assert (301, "max-age=60; includeSubDomains") == (plain.status, encrypted.headers["strict-transport-security"])
            assert [] == site.reload_reasons()

            (folder / "site.pem").write_text(make_pem("new.example", "shop.example"))
            site.calm_down([web])
            assert "new.example" == shown_name(443 + offset, "shop.example")
            assert ([], []) == (site.reload_reasons(), site.problems())


def test_refused_command_becomes_a_reload_with_that_reason(modern_site: Site) -> None:
    """Somebody else has added a backend by hand, so the name is taken. Only a reload corrects that."""
    site = modern_site
    profile = next(
        line.split()[1]
        for line in site.haproxy.config().splitlines()
        if line.startswith("defaults ") and " from http" in line
    )
    site.haproxy.socket.send(f"add backend shop:new from {profile}")

    site.apply(site.backend("new-1").container(VIRTUAL_HOST="new.example"))

    assert "new-1" == site.server("new.example")
    assert 1 == len(site.haproxy.reload_reasons())
    assert "HAProxy refuses `add backend shop:new" in site.haproxy.reload_reasons()[0]


def test_stopped_proxy_starts_from_the_last_change(modern_site: Site) -> None:
    site = modern_site

    site.apply(site.backend("new-1").container(VIRTUAL_HOST="new.example"))
    site.apply(make_container("other-1", virtual_host="other.example"), seconds=5.0)

    eventually(lambda: "other.example" in site.haproxy.maps())
