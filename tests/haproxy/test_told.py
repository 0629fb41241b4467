"""What the program tells: of settings that have no effect, and of what HAProxy does not serve though it should."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from proxy.adapters.files.status_file import read_status
from proxy.grammar.spelling import DEACTIVATE
from tests.eventually import eventually
from tests.haproxy.client import HOST, ask
from tests.haproxy.product import Product
from tests.haproxy.program import Program
from tests.stub_engine import StubContainer, run_stub_engine

pytestmark = pytest.mark.haproxy

SETTING_OF_A_SERVICE = "the proxy: FORCE_SSL is a setting of a service"
UNLINKED = "container env-1: VIRTUAL_HOST: is a variable"
MISSPELT = "container web-1: aliyun.proxy.VIRTUAL_HOTS: is not a label of the proxy"


def test_settings_without_effect_are_told(program: Program, product: Product, tmp_path: Path) -> None:
    variables = {"PROXY_SOURCES": "docker", "DOCKER_HOST": f"unix://{tmp_path / 'engine.sock'}", "FORCE_SSL": "yes"}
    with run_stub_engine(tmp_path) as engine:
        engine.start(StubContainer(name="web-1", service="web", labels={"aliyun.proxy.VIRTUAL_HOTS": "a.com"}, port=80))
        engine.start(StubContainer(name="env-1", service="env", labels={}, port=80, variables=("VIRTUAL_HOST=a.com",)))
        with program.running(**variables):
            eventually(lambda: UNLINKED in program.log.read_text())
            eventually(lambda: UNLINKED in str(read_status(tmp_path / "state")))
        checked = program.run("check", **variables)

    log = program.log.read_text()
    assert [1, 1, 1] == [log.count(f" {line}") for line in (SETTING_OF_A_SERVICE, UNLINKED, MISSPELT)]
    assert [True] * 3 == [line in checked.stdout for line in (SETTING_OF_A_SERVICE, UNLINKED, MISSPELT)]


def test_container_that_is_left_out_on_purpose_gets_no_requests(program: Program, product: Product, tmp_path: Path) -> None:
    """Whether it was there before the proxy or comes later. It is a note, and so `proxy check` succeeds."""
    variables = {
        "PROXY_SOURCES": "docker",
        "DOCKER_HOST": f"unix://{tmp_path / 'engine.sock'}",
        "ADDITIONAL_SERVICES": "*",
    }
    routed = {"aliyun.proxy.VIRTUAL_HOST": HOST, "aliyun.proxy.HEALTH_CHECK": "no-check"}
    backends = {name: product.backend(name) for name in ("blue", "green", "later", "last")}
    containers = {
        name: StubContainer(name=f"{name}-1", service=name, port=backend.port, labels=routed | {DEACTIVATE: word})
        for (name, backend), word in zip(backends.items(), ("true", "false", "true", "no"), strict=True)
    }
    with run_stub_engine(tmp_path) as engine:
        engine.start(containers["blue"])
        engine.start(containers["green"])
        with program.running(**variables):
            eventually(lambda: ask(80 + program.offset).server == "green")
            engine.start(containers["later"])
            engine.start(containers["last"])
            eventually(lambda: ask(80 + program.offset).server == "last")
            checked = program.run("check", **variables)

    assert ["note: container blue-1", "note: container later-1"] == [
        line.partition(f": {DEACTIVATE}='true': leaves the container out on purpose")[0]
        for line in checked.stdout.splitlines()
        if DEACTIVATE in line
    ]
    assert 0 == checked.returncode
    assert [[], []] == [backends[name].seen for name in ("blue", "later")]


WATCHED = {"VIRTUAL_HOST": HOST, "HEALTH_CHECK": "check inter 100 fall 1", "HTTP_CHECK": "GET /broken"}


def problems_of(program: Program) -> tuple[str, ...]:
    status = read_status(program.folder / "state")
    return status.problems if status else ()


def test_server_that_is_down_is_told_with_haproxy_s_reason(program: Program, product: Product) -> None:
    program.write_services(web=(product.backend(), WATCHED), good=(product.backend(), {"VIRTUAL_HOST": "good.example"}))

    with program.running(PROXY_RESYNC_SECONDS="1"):
        (told,) = eventually(lambda: problems_of(program))
        checked, routes = program.run("check"), program.run("routes")

    rows = {line.split()[2]: line for line in routes.stdout.splitlines() if line.startswith("http")}
    assert "down: its health check fails (L7STS/503" in told
    assert (1, f"problem: {told}") == (checked.returncode, checked.stdout.splitlines()[0])
    assert (0, True, True) == (routes.returncode, "L7STS/503" in rows["shop:web"], rows["shop:good"].endswith(" up"))


@pytest.mark.parametrize("command", ["check", "routes"])
def test_haproxy_that_has_ended_is_told(program: Program, product: Product, command: str) -> None:
    program.write_services(web=(product.backend(), {"VIRTUAL_HOST": HOST}))
    with program.running() as process:
        eventually(lambda: ask(80 + program.offset).server)
        process.terminate()
        process.wait(timeout=20)
        said = program.run(command)

    assert (3, True) == (said.returncode, "problem: the proxy: HAProxy does not answer" in said.stdout)
    assert "ready" not in said.stdout


def test_change_that_haproxy_does_not_have_is_told(program: Program, product: Product) -> None:
    program.write_services(web=(product.backend(), {"VIRTUAL_HOST": HOST}))
    with program.running():
        eventually(lambda: ask(80 + program.offset).server)
        controller = program.controller_pid()
        os.kill(controller, signal.SIGSTOP)
        program.write_services(web=(product.backend("new"), {"VIRTUAL_HOST": f"{HOST}, new.example"}))
        said = program.run("check")
        os.kill(controller, signal.SIGCONT)

    assert 1 == said.returncode
    assert "such as new.example" in said.stdout
    assert "gets no requests: not served: HAProxy does not have it (yet)" in said.stdout
