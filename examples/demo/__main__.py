"""Runs the demo in the foreground until Ctrl-C: three backends in this process, the proxy beside them.

Changes nothing outside of the checkout, but for HAProxy's package when it is missing, and says so.
"""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent.parent
SERVICES = Path(__file__).with_name("services.yml")
BACKENDS = {"hello": 9101, "shop": 9102, "fallback": 9103}
PORT_OFFSET = 8000
HINTS = """\
The proxy runs. Try, in another terminal:

  curl -H 'Host: hello.localhost' http://localhost:8080/
  curl -H 'Host: any.localhost' http://localhost:8080/shop/cart     # a path, under any host
  curl -si -H 'Host: shop.localhost' http://localhost:8080/         # look at its sticky cookie
  curl http://localhost:8080/                                      # no host matches: the default backend
  curl -u stats:stats http://localhost:9936/                       # the statistics page; open it in a browser

{docker}
Services: {services} (change it while the proxy runs). Ctrl-C stops everything.
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
    """Run until Ctrl-C; return the proxy's exit code."""
    if not shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        if os.geteuid() != 0:
            sys.stderr.write("HAProxy is missing: apt-get install haproxy (2.6 or newer), then try again\n")
            return 2
        install_haproxy()
    try:
        servers = [NamedServer(name, port) for name, port in BACKENDS.items()]
    except OSError as error:
        sys.stderr.write(f"a demo backend's port is taken ({', '.join(map(str, BACKENDS.values()))}): {error.strerror}\n")
        return 2
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return run_proxy()


def run_proxy() -> int:
    """Run the supervisor as a child; Ctrl-C reaches it from the terminal, so here it is only waited for."""
    environment = {
        "ADDITIONAL_SERVICES": "*",
        "PROXY_SERVICES_FILE": str(SERVICES),
        "PROXY_STATE_FOLDER": str(CHECKOUT / ".cache" / "demo"),
        "PROXY_PORT_OFFSET": str(PORT_OFFSET),
        **os.environ,
        "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin",
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
    }
    proxy = subprocess.Popen([sys.executable, "-m", "proxy", "run"], env=environment)
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: proxy.terminate())
    sys.stdout.write(HINTS.format(docker=describe_docker(environment), services=SERVICES))
    sys.stdout.flush()
    return proxy.wait()


def describe_docker(environment: dict[str, str]) -> str:
    """Tell whether containers are routed, too."""
    address = environment.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if address.startswith("unix://") and not Path(address.removeprefix("unix://")).exists():
        return "No Docker engine here: only the file's services are routed."
    return f"Containers of the engine at {address} with aliyun.proxy.* labels are routed, too."


def install_haproxy() -> None:
    """Install Debian's package, without starting its service."""
    sys.stdout.write("HAProxy is missing: installing Debian's package haproxy\n")
    sys.stdout.flush()
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "haproxy"]):
        subprocess.run(["apt-get", "-qq", *command], check=True, env=environment, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
