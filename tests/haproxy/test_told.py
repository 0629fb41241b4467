"""What the program tells of settings that have no effect, in its log and its status: with an engine, as a user starts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.adapters.files.status_file import read_status
from tests.eventually import eventually
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
