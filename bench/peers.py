"""The other ways to route ten thousand virtual hosts, each as a program with a configuration written by hand.

All run on one core with one thread, ask the same backend, and are asked for the last host.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.packages import install
from bench.stage import Visitor, find_haproxy, running, running_backend, running_proxy
from bench.table import Row
from tests.ports import free_port
from tests.wrk import requests_per_second

HOSTS = 10_000
LAST_HOST = f"service-{HOSTS - 1}.example"
LOAD_SECONDS = 6
START_SECONDS = 90.0
PROXY_VARIABLES = {"NBPROC": "1", "HEALTH_CHECK": "inter 2s"}
"""Without `check`: the peers check nothing, and 10,000 servers every 2 s are 5,000 connections a second on the one core."""
QUIET_SECONDS = 8.0
"""After the first answer the controller looks once more at everything, as it has connected to the stream of events."""
PROXY_CORE, LOAD_CORE = "0", "1"
HAPROXY_HEAD = """\
global
    log 127.0.0.1:514 local0
    maxconn 4096
    nbthread 1
defaults
    log global
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
    packages: tuple[str, ...] = ()


def measure_throughput() -> list[Row]:
    """Return requests per second of the proxy and of every peer, as a share of one hard-wired backend."""
    with tempfile.TemporaryDirectory() as name, running_proxy(Path(name), HOSTS, PROXY_VARIABLES, PROXY_CORE) as stage:
        time.sleep(QUIET_SECONDS)
        rate, started = (
            requests_per_second(stage.port, LAST_HOST, seconds=LOAD_SECONDS, cores=LOAD_CORE),
            stage.cold_start_seconds,
        )
    peers = [(peer.name, *_measure(peer)) for peer in _peers()]
    wired = next(rate for name, rate, _ in peers if name == HARD_WIRED)
    own = Row(
        what=f"requests/s with {HOSTS:,} virtual hosts, last host, against {HARD_WIRED}",
        budget=">= 0.95",
        measured=f"{rate / wired:.2f} ({rate:,.0f} / {wired:,.0f})",
        holds=rate / wired >= 0.95,
    )
    start = Row(what=f"the same, start to first answer (one core, {PROXY_CORE})", measured=f"{started:.1f} s")
    return [
        own,
        start,
        *(Row(what=f"peer: {name}", measured=_describe(rate, wired, seconds)) for name, rate, seconds in peers),
    ]


def _describe(rate: float, wired: float, seconds: float) -> str:
    return f"{rate / wired:.2f} ({rate:,.0f}/s), start to first answer {seconds:.1f} s" if seconds else "did not start"


def _measure(peer: Peer) -> tuple[float, float]:
    """Return requests per second, and seconds from start to first answer; 0 and 0 where it does not start in time."""
    install(*peer.packages)
    with tempfile.TemporaryDirectory() as name, running_backend(find_haproxy(), Path(name)) as backend_port:
        folder, port = Path(name), free_port()
        command = ["taskset", "-c", PROXY_CORE, *peer.write(folder, port, backend_port)]
        started = time.monotonic()
        with running(command, folder / "log"):
            visitor = Visitor(port)
            try:
                visitor.wait_for(LAST_HOST, seconds=START_SECONDS)
            except TimeoutError:
                return 0.0, 0.0
            finally:
                visitor.close()
            seconds = time.monotonic() - started
            return requests_per_second(port, LAST_HOST, seconds=LOAD_SECONDS, cores=LOAD_CORE), seconds


HARD_WIRED = "one hard-wired backend (HAProxy)"


def _peers() -> Iterable[Peer]:
    yield Peer(name=HARD_WIRED, write=_write_hard_wired)
    yield Peer(name=f"HAProxy written by hand, {HOSTS:,} backends and a map", write=_write_map)
    yield Peer(name=f"HAProxy as the parents wrote it, {HOSTS:,} ACL lines", write=_write_acls)
    yield Peer(name=f"nginx, {HOSTS:,} server blocks", write=_write_nginx, packages=("nginx-light",))
    yield Peer(name=f"Caddy, {HOSTS:,} sites", write=_write_caddy, packages=("caddy",))
    if shutil.which("traefik"):
        yield Peer(name=f"Traefik, {HOSTS:,} routers from a file", write=_write_traefik)


def _hosts() -> list[str]:
    return [f"service-{number}.example" for number in range(HOSTS)]


def _haproxy(folder: Path, port: int, lines: Iterable[str]) -> list[str]:
    config = folder / "haproxy.cfg"
    config.write_text(HAPROXY_HEAD.format(port=port) + "\n".join([*lines, ""]))
    return [find_haproxy(), "-db", "-f", str(config)]


def _write_hard_wired(folder: Path, port: int, backend: int) -> list[str]:
    return _haproxy(folder, port, ["    default_backend one", "backend one", f"    server one 127.0.0.1:{backend}"])


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
