"""HAProxy accepts the configuration, whatever stands in the labels of containers, where free-form settings are refused.

`make soak` tries a hundred thousand containers, or SOAK_EXAMPLES.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.adapters.haproxy.haproxy_process import HaproxyProgram
from proxy.core.containers.containers import Container
from proxy.core.haproxy.file_names import CONFIG_FILE
from tests.builders import make_model, make_renderer, make_settings
from tests.haproxy.reconciled import ENVIRONMENT
from tests.haproxy.running import write_files
from tests.hostile_labels import SOAK_EXAMPLES, bystander, containers, examples

pytestmark = pytest.mark.haproxy

AT_ONCE = 20
FEW, MANY = examples(15), examples(SOAK_EXAMPLES // AT_ONCE)
SAFE = make_settings(PROXY_ALLOW_EXTRA_SETTINGS="false", ADDITIONAL_SERVICES="*")
groups = st.tuples(*(containers(number=number) for number in range(1, AT_ONCE + 1)))


def check(binary: str, folder: Path, others: tuple[Container, ...]) -> None:
    model = make_model(bystander(), *others, settings=SAFE)
    write_files(folder, make_renderer(SAFE, folder).render(model).files)
    HaproxyProgram(binary, ENVIRONMENT).check(folder / "current" / CONFIG_FILE)


@FEW
@given(groups)
def test_configuration_is_accepted(haproxy_binary: str, tmp_path: Path, others: tuple[Container, ...]) -> None:
    check(haproxy_binary, tmp_path, others)


@pytest.mark.soak
@pytest.mark.timeout(14400)
@MANY
@given(groups)
def test_configuration_is_accepted_many_times(haproxy_binary: str, tmp_path: Path, others: tuple[Container, ...]) -> None:
    check(haproxy_binary, tmp_path, others)
