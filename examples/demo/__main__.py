"""Runs the demo in the foreground until Ctrl-C: small backends in this process, the proxy beside them.

Changes nothing outside of the checkout, but for HAProxy's package when it is missing, and says so.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from proxy.errors import SettingsError
from proxy.settings import Settings
from proxy.settings.parser import parse_settings
from tests.real import machine, programs
from tests.real.steps import StepError

CHECKOUT = Path(__file__).parent.parent.parent
HERE = "127.0.0.1"
HTTP_PORT = 80
POLL_SECONDS = 0.05
HINTS = """
The proxy runs. Try, in another terminal:

  curl -H 'Host: hello.localhost' http://localhost:{http}/
  curl -H 'Host: any.localhost' http://localhost:{http}/shop/cart     # a path, under any host
  curl -si -H 'Host: shop.localhost' http://localhost:{http}/         # look at its sticky cookie
  curl http://localhost:{http}/                                      # no host matches: the default backend
{stats}
Hosts, paths, services and servers, as the proxy sees them:

  {routes}

{docker}
Services: {services} (change it while the proxy runs). Ctrl-C stops everything.
"""
STATS_HINT = """\
  curl -u {user} http://localhost:{port}/                       # the statistics page; open it in a browser
"""


class Backend(http.server.BaseHTTPRequestHandler):
    """Answers every GET with the name of its server and the path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, NamedServer)
        body = f"{server.name} answers {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Leave the log to the proxy."""


class NamedServer(http.server.ThreadingHTTPServer):
    """One backend."""

    daemon_threads = True

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        super().__init__(("127.0.0.1", port), Backend)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of connections that HAProxy's checks or its end have closed."""


def main() -> int:
    """Run until Ctrl-C; return the proxy's exit code, or 2 if the demo cannot start."""
    own = {
        "PROXY_SERVICES_FILE": str(Path(__file__).with_name("services.yml")),
        "PROXY_STATE_FOLDER": str(CHECKOUT / ".cache" / "demo"),
        "PROXY_PORT_OFFSET": "8000",
    }
    try:
        own["PROXY_HAPROXY"] = os.environ.get("PROXY_HAPROXY") or find_haproxy()
        own |= {name: os.environ[name] for name in own.keys() & os.environ.keys()}
        settings = parse_settings({**os.environ, **own}, lambda path: path.read_text(encoding="utf-8"))
        backends = read_backends(Path(own["PROXY_SERVICES_FILE"]))
    except (StepError, SettingsError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if taken := [*taken_backends(backends), *taken_ports(settings)]:
        sys.stderr.write("".join(f"{line}\n" for line in taken))
        return 2
    with contextlib.ExitStack() as stack:
        for name, port in backends.items():
            server = stack.enter_context(NamedServer(name, port))
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return run_proxy(settings, own)


def run_proxy(settings: Settings, own: Mapping[str, str]) -> int:
    """Run the supervisor as a child; Ctrl-C reaches it from the terminal, so here it is only waited for."""
    environment = {**os.environ, **own, "PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"}
    signal.signal(signal.SIGINT, lambda *_: None)
    proxy = subprocess.Popen([sys.executable, "-m", "proxy", "run"], env=environment)
    signal.signal(signal.SIGTERM, lambda *_: proxy.terminate())
    while not accepts(HTTP_PORT + settings.haproxy.port_offset):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return proxy.wait(POLL_SECONDS)
    sys.stdout.write(describe(settings, own))
    sys.stdout.flush()
    return proxy.wait()


def describe(settings: Settings, own: Mapping[str, str]) -> str:
    """Return what to try, with the ports that are used."""
    offset, stats = settings.haproxy.port_offset, settings.haproxy.stats_port
    user = '"$STATS_AUTH"' if os.environ.get("STATS_AUTH") else "stats:stats"
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in own.items())
    return HINTS.format(
        http=HTTP_PORT + offset,
        stats=STATS_HINT.format(user=user, port=stats + offset) if stats else "",
        routes=f"{variables} {shlex.quote(str(Path(sys.executable).with_name('proxy')))} routes",
        docker=describe_docker(os.environ),
        services=own["PROXY_SERVICES_FILE"],
    )


def describe_docker(environment: Mapping[str, str]) -> str:
    """Tell whether containers are routed, too."""
    address = environment.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if address.startswith("unix://") and not Path(address.removeprefix("unix://")).exists():
        return "No Docker engine here: only the file's services are routed."
    return f"Containers of the engine at {address} with aliyun.proxy.* labels are routed, too."


def find_haproxy() -> str:
    """Return the path of HAProxy; installs Debian's package, without starting its service. Raises StepError."""
    if not machine.program("haproxy"):
        sys.stdout.write("HAProxy is missing: installing Debian's package haproxy\n")
        sys.stdout.flush()
        programs.provide(programs.TESTS, "haproxy")
    return str(machine.program("haproxy"))


def read_backends(file: Path) -> Mapping[str, int]:
    """Return the port of each service of the file that is to run here."""
    services = yaml.safe_load(file.read_text(encoding="utf-8"))["services"]
    external = {name: service["external"] for name, service in services.items()}
    return {name: place["ports"][0] for name, place in external.items() if place["host"] == HERE}


def taken_backends(backends: Mapping[str, int]) -> Iterable[str]:
    """Yield a sentence for each backend whose port another program has."""
    for name, port in backends.items():
        if accepts(port):
            yield f"port {port} is taken by another program, and the demo's backend {name} needs it; stop that program"


def taken_ports(settings: Settings) -> Iterable[str]:
    """Yield a sentence for each port of HAProxy that another program has."""
    offset = settings.haproxy.port_offset
    other = f"choose other ports: PROXY_PORT_OFFSET={offset + 1000} make run"
    for what, port in {"requests": HTTP_PORT, "the statistics page": settings.haproxy.stats_port}.items():
        if port and accepts(port + offset):
            yield f"port {port + offset} is taken by another program, and the demo needs it for {what}; {other}"


def accepts(port: int) -> bool:
    """Return whether a program on this machine listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex((HERE, port)) == 0


if __name__ == "__main__":
    sys.exit(main())
