"""The other ways to route ten thousand virtual hosts, each as a program with a configuration written by hand.

All run on one core with one thread, ask the same backend, which shares the other core with the visitors, and are asked for
the last host. Nobody writes a log. The hard-wired backend comes twice: bare, and with the lines that this proxy gives to
every service (headers that tell of the visitor, retries), so that one sees what routing costs and what those lines do.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.packages import install
from bench.stage import Visitor, find_haproxy, pinned_to, running, running_backend, running_proxy
from bench.table import Row
from proxy.core.haproxy.defaults_section import LEAST_RETRIES, RETRY_ON
from proxy.core.haproxy.forwarded_headers import forwarding_lines
from proxy.core.haproxy.rendering import SMALL_BUFFER_BYTES
from proxy.core.haproxy.source_limits import body_lines
from proxy.settings import ProxyMode
from proxy.settings.parser import parse_settings
from tests.ports import free_port
from tests.wrk import requests_per_second

HOSTS = 10_000
LAST_HOST = f"service-{HOSTS - 1}.example"
ROUNDS, ROUND_SECONDS = 4, 3
LOAD_SECONDS = 6
START_SECONDS = 90.0
PROXY_VARIABLES = {"NBPROC": "1", "HEALTH_CHECK": "inter 2s", "EXTRA_DEFAULT_SETTINGS": "no log"}
"""Without `check`: the peers check nothing, and 10,000 servers every 2 s are 5,000 connections a second on the one core."""
QUIET_SECONDS = 8.0
"""After the first answer the controller looks once more at everything, as it has connected to the stream of events."""
PROXY_CORE, LOAD_CORE = "0", "1"
HAPROXY_HEAD = """\
global
    maxconn 4096
    nbthread 1
    tune.bufsize.small {small_buffer}
defaults
    mode http
    option forwardfor
    option redispatch
    option dontlognull
    timeout connect 5s
    timeout client 50s
    timeout server 50s
frontend all
    bind :{port}
"""
NGINX_HEAD = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server_names_hash_max_size 65536; server_names_hash_bucket_size 128;
    upstream one {{ server 127.0.0.1:{backend}; keepalive 64; }}
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A program; `write` writes its files to a folder, for a port and a backend, and returns its command."""

    name: str
    write: Callable[[Path, int, int], list[str]]
    programs: tuple[str, ...] = ()


def measure_throughput() -> list[Row]:
    """Return requests per second of the proxy and of every peer, as a share of one hard-wired backend."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = stack.enter_context(running_proxy(folder, HOSTS, PROXY_VARIABLES, cores=PROXY_CORE, backend_cores=LOAD_CORE))
        time.sleep(QUIET_SECONDS)
        wired = {peer.name: stack.enter_context(_running(peer)) for peer in _wired_peers()}
        ports = {OWN: stage.port, **{name: runs.port for name, runs in wired.items()}}
        rates = _rates(ports)
    rows = [_own_row(rates, name) for name in wired]
    rows.append(Row(what="the same, start to first answer", measured=f"{stage.cold_start_seconds:.1f} s"))
    for name, runs in wired.items():
        rows.append(_peer_row(name, rates[name], rates[HARD_WIRED], runs.start_seconds))
    for peer in _peers():
        rows.append(_peer_row(peer.name, *_measure(peer, rates[HARD_WIRED])))
    return rows


OWN = "this proxy"


def _rates(ports: Mapping[str, int]) -> Mapping[str, float]:
    """Ask each in turn, several times over, so that what else the machine does strikes all; the best of each counts."""
    best = dict.fromkeys(ports, 0.0)
    for _ in range(ROUNDS):
        for name, port in ports.items():
            rate = requests_per_second(port, LAST_HOST, seconds=ROUND_SECONDS, cores=LOAD_CORE)
            best[name] = max(best[name], rate)
    return best


def _own_row(rates: Mapping[str, float], wired: str) -> Row:
    ratio = rates[OWN] / rates[wired]
    return Row(
        what=f"requests/s with {HOSTS:,} virtual hosts, last host, against {wired}",
        budget=">= 0.95",
        measured=f"{ratio:.2f} ({rates[OWN]:,.0f} / {rates[wired]:,.0f})",
        holds=ratio >= 0.95,
    )


def _peer_row(name: str, rate: float, wired: float, start_seconds: float) -> Row:
    told = f"{rate / wired:.2f} ({rate:,.0f}/s), start to first answer {start_seconds:.1f} s"
    return Row(what=f"peer: {name}", measured=told if start_seconds else "did not start")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """A peer that runs; `start_seconds` went by from its start to its first answer."""

    port: int
    start_seconds: float


@contextmanager
def _running(peer: Peer) -> Iterator[_Runs]:
    """Run a peer until the block ends; raises TimeoutError where it does not answer in time."""
    install(*peer.programs)
    with tempfile.TemporaryDirectory() as name, running_backend(find_haproxy(), Path(name), LOAD_CORE) as backend_port:
        folder, port = Path(name), free_port()
        command = [*pinned_to(PROXY_CORE), *peer.write(folder, port, backend_port)]
        started = time.monotonic()
        with running(command, folder / "log"):
            visitor = Visitor(port)
            try:
                visitor.wait_for(LAST_HOST, seconds=START_SECONDS)
            finally:
                visitor.close()
            yield _Runs(port=port, start_seconds=time.monotonic() - started)


def _measure(peer: Peer, wired: float) -> tuple[float, float, float]:
    """Return requests per second, those of the hard-wired backend, and seconds to the first answer; 0 if it never came."""
    try:
        with _running(peer) as runs:
            rate = requests_per_second(runs.port, LAST_HOST, seconds=LOAD_SECONDS, cores=LOAD_CORE)
            return rate, wired, runs.start_seconds
    except TimeoutError:
        return 0.0, wired, 0.0


NGINX = f"nginx, {HOSTS:,} server blocks"
HARD_WIRED = "one hard-wired backend (HAProxy)"
HARD_WIRED_ALIKE = "one hard-wired backend with this proxy's lines for a service (HAProxy)"


def all_peers() -> Iterable[Peer]:
    """Every other way to route the hosts."""
    yield from _wired_peers()
    yield from _peers()


def _wired_peers() -> Iterable[Peer]:
    yield Peer(name=HARD_WIRED_ALIKE, write=_write_hard_wired_alike)
    yield Peer(name=HARD_WIRED, write=_write_hard_wired)


def _peers() -> Iterable[Peer]:
    yield Peer(name=f"HAProxy written by hand, {HOSTS:,} backends and a map", write=_write_map)
    yield Peer(name=f"HAProxy as the parents wrote it, {HOSTS:,} ACL lines", write=_write_acls)
    yield Peer(name=NGINX, write=_write_nginx, programs=("nginx",))
    yield Peer(name=f"Caddy, {HOSTS:,} sites", write=_write_caddy, programs=("caddy",))
    if shutil.which("traefik"):
        yield Peer(name=f"Traefik, {HOSTS:,} routers from a file", write=_write_traefik)


def _hosts() -> list[str]:
    return [f"service-{number}.example" for number in range(HOSTS)]


def _haproxy(folder: Path, port: int, lines: Iterable[str]) -> list[str]:
    config = folder / "haproxy.cfg"
    config.write_text(HAPROXY_HEAD.format(port=port, small_buffer=SMALL_BUFFER_BYTES) + "\n".join([*lines, ""]))
    return [find_haproxy(), "-db", "-f", str(config)]


def _write_hard_wired(folder: Path, port: int, backend: int) -> list[str]:
    return _haproxy(folder, port, ["    default_backend one", "backend one", f"    server one 127.0.0.1:{backend}"])


def _write_hard_wired_alike(folder: Path, port: int, backend: int) -> list[str]:
    lines = ["    option idle-close-on-response"]
    lines += ["    http-request disable-l7-retry unless METH_GET or { method OPTIONS }"]
    settings = parse_settings({}, lambda path: path.read_text())
    common = (*forwarding_lines(settings, is_tls=False), *body_lines(settings.haproxy))
    lines += [f"    {line}" for line in common]
    lines += ["    default_backend one", "backend one", f"    retries {LEAST_RETRIES[ProxyMode.HTTP]}", f"    {RETRY_ON}"]
    lines += ["    option use-small-buffers l7-retries"]
    return _haproxy(folder, port, [*lines, f"    server one 127.0.0.1:{backend}"])


def _backends(backend: int) -> list[str]:
    return [line for host in _hosts() for line in (f"backend {host}", f"    server one 127.0.0.1:{backend}")]


def _write_map(folder: Path, port: int, backend: int) -> list[str]:
    rows = folder / "hosts.map"
    rows.write_text("".join(f"{host} {host}\n" for host in _hosts()))
    return _haproxy(folder, port, [f"    use_backend %[req.hdr(host),lower,map_str({rows})]", *_backends(backend)])


def _write_acls(folder: Path, port: int, backend: int) -> list[str]:
    acls = [f"    acl is_{host} hdr(host) -i {host}" for host in _hosts()]
    return _haproxy(
        folder, port, [*acls, *(f"    use_backend {host} if is_{host}" for host in _hosts()), *_backends(backend)]
    )


def _write_nginx(folder: Path, port: int, backend: int) -> list[str]:
    head = NGINX_HEAD.format(folder=folder, backend=backend)
    servers = [
        f"    server {{ listen {port}; server_name {host}; location / {{ proxy_pass http://one; }} }}" for host in _hosts()
    ]
    config = folder / "nginx.conf"
    config.write_text("\n".join([head, *servers, "}", ""]))
    return [shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx", "-c", str(config), "-p", str(folder)]


def _write_caddy(folder: Path, port: int, backend: int) -> list[str]:
    head = f"{{\n    admin off\n    auto_https off\n    storage file_system {folder}\n}}\n"
    sites = [f"http://{host}:{port} {{\n    reverse_proxy 127.0.0.1:{backend}\n}}\n" for host in _hosts()]
    config = folder / "Caddyfile"
    config.write_text(head + "".join(sites))
    return ["env", "GOMAXPROCS=1", "caddy", "run", "--adapter", "caddyfile", "--config", str(config)]


def _write_traefik(folder: Path, port: int, backend: int) -> list[str]:
    routers = [f"    r{number}: {{rule: 'Host(`{host}`)', service: one}}" for number, host in enumerate(_hosts())]
    service = f"  services: {{one: {{loadBalancer: {{servers: [{{url: 'http://127.0.0.1:{backend}'}}]}}}}}}"
    config = folder / "dynamic.yml"
    config.write_text("\n".join(["http:", "  routers:", *routers, service, ""]))
    file = f"--providers.file.filename={config}"
    return ["env", "GOMAXPROCS=1", "traefik", f"--entrypoints.web.address=:{port}", file]
