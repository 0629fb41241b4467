"""The image: which users its processes have, how it starts and stops, and what it survives without losing a request."""

from __future__ import annotations

import csv
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.conftest import RunContainer
from tests.e2e.engine import Container, engine_socket, mount_socket
from tests.e2e.load import under_load
from tests.e2e.relay import relayed_engine
from tests.e2e.visitor import Answer, basic_auth, fetch, server_name
from tests.eventually import eventually
from tests.ports import free_low_port

pytestmark = pytest.mark.docker

HAPROXY_USER = 99
STATE = "/var/lib/proxy"


class Served:
    """A proxy with one application behind it, both started by `docker run`."""

    def __init__(self, run_container: RunContainer, options: Sequence[str] = (), image: str = "hello") -> None:
        image = {"hello": "nginxdemos/hello:plain-text", "backend": "proxy-test/backend"}[image]
        self.port, self._stats_port = free_low_port(), free_low_port()
        self.application = run_container("application", "--label", "aliyun.proxy.required=true", image)
        ports = ("-p", f"{self.port}:80", "-p", f"{self._stats_port}:1936")
        self.proxy: Container = run_container("proxy", *ports, *(options or mount_socket()), "proxy")

    def answers(self) -> bool:
        return fetch(self.port).status == 200

    def processes(self, command: str) -> dict[int, int]:
        """Return the user of each process whose command line contains `command`, by process id."""
        return {pid: user for pid, (user, line) in self.proxy.processes().items() if command in line}

    def requests_in_flight(self) -> int:
        """Return how many connections of visitors HAProxy counts right now."""
        statistics = fetch(self._stats_port, "/;csv", headers=basic_auth("stats", "stats")).body
        (frontend,) = csv.DictReader(line for line in statistics.splitlines() if line.startswith(("#", "port_80,")))
        return int(frontend["scur"])

    def controller_with_a_pass(self) -> int:
        """Return the process id of the controller that made the last pass."""
        return int(json.loads(self.proxy.call("cat", "/var/lib/proxy/status.json"))["pid"])

    def reloads(self) -> int:
        return sum(" proxy: reload: " in line for line in self.proxy.logs().splitlines())


def test_processes_run_as_haproxy_not_root(run_container: RunContainer) -> None:
    served = Served(run_container)
    eventually(served.answers)

    found = {command: served.processes(command) for command in ("haproxy -W", "-m proxy run", "-m proxy control")}

    assert all(found.values()), served.proxy.processes()
    assert {user for users in found.values() for user in users.values()} == {HAPROXY_USER}


def test_variables_reach_haproxy_whatever_their_names(run_container: RunContainer) -> None:
    """From the engine over the change of the user and the init program to the controller, and to commands."""
    options = (
        "-e",
        "ADDITIONAL_BACKEND_my-cdn=server one 192.0.2.10:80",
        "-e",
        "ADDITIONAL_BACKEND_my.cdn=server one 192.0.2.11:80",
    )
    served = Served(run_container, (*options, *mount_socket()))
    eventually(served.answers)

    texts = served.proxy.call("cat", f"{STATE}/current/haproxy.cfg"), served.proxy.call("proxy", "render")

    assert [True, True] == ["backend my-cdn " in text and "backend my.cdn " in text for text in texts]
    assert served.proxy.exec("/reload.sh").code == 0


def test_container_becomes_healthy(run_container: RunContainer) -> None:
    served = Served(run_container)

    eventually(lambda: served.proxy.inspect("{{.State.Health.Status}}") == "healthy", timeout=20.0)


def test_docker_stop_lets_a_request_finish(run_container: RunContainer) -> None:
    """It ends with its last request, long before the time that requests may take."""
    served = Served(run_container, ("-e", "PROXY_STOP_SECONDS=600", *mount_socket()), image="backend")
    eventually(served.answers)
    answers: list[Answer] = []
    visitor = threading.Thread(target=lambda: answers.append(fetch(served.port, "/slow/3")))
    visitor.start()
    eventually(lambda: served.requests_in_flight() == 1)

    served.proxy.stop(60)
    visitor.join()

    assert [answer.status for answer in answers] == [200]
    assert served.proxy.inspect("{{.State.ExitCode}}") == "0"


def test_read_only_root_file_system(run_container: RunContainer) -> None:
    options = ("--read-only", "--tmpfs", f"{STATE}:uid={HAPROXY_USER},gid={HAPROXY_USER},mode=700", *mount_socket())
    served = Served(run_container, options)

    eventually(served.answers)
    assert served.proxy.exec("/reload.sh").code == 0


def test_no_privileges_at_all(run_container: RunContainer) -> None:
    """The engine lets every user bind low ports inside a container, so port 80 needs no capability."""
    user = f"{HAPROXY_USER}:{os.stat(engine_socket()).st_gid}"
    served = Served(run_container, ("--user", user, "--cap-drop", "ALL", *mount_socket()))

    eventually(served.answers)
    assert {user for user, _ in served.proxy.processes().values()} == {HAPROXY_USER}


def test_killed_controller_costs_neither_request_nor_reload(run_container: RunContainer) -> None:
    served = Served(run_container)
    eventually(served.answers)
    (controller,) = served.processes("-m proxy control")
    workers, reloads = served.processes("haproxy -W"), served.reloads()

    with under_load(served.port) as load:
        load.wait_for(20)
        served.proxy.call("sh", "-c", f"kill -9 {controller}")
        eventually(lambda: served.processes("-m proxy control").keys() - {controller})
        load.wait_for(200)
        # The change comes only then: a change while there is no controller may take a reload.
        eventually(lambda: served.controller_with_a_pass() in served.processes("-m proxy control"))

    assert load.failures == []
    assert set(load.statuses) == {200}
    second = _run_second_application(run_container)
    eventually(lambda: second in {server_name(fetch(served.port)) for _ in range(4)})
    assert (served.processes("haproxy -W").keys() >= workers.keys(), served.reloads()) == (True, reloads)


def _run_second_application(run_container: RunContainer) -> str:
    second = run_container("second", "--label", "aliyun.proxy.required=true", "nginxdemos/hello:plain-text")
    return second.inspect("{{.Config.Hostname}}")


def test_restart_without_engine_serves_the_last_good_state(run_container: RunContainer, tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    folder.mkdir()
    with relayed_engine(folder, engine_socket()) as engine:
        options = ("-v", f"{folder}:/engine", "-e", "DOCKER_HOST=unix:///engine/docker.sock")
        served = Served(run_container, options)
        eventually(served.answers)

        engine.close()
        assert served.answers()
        served.proxy.restart()

        eventually(served.answers)
