"""HAProxy loads the configuration of each golden case without an alert or a warning."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.adapters.cluster.trust import make_credentials
from proxy.secret import Secret
from tests.golden_cases import Case, read_cases
from tests.haproxy.running import write_files

pytestmark = pytest.mark.haproxy

CASES = read_cases()


@pytest.mark.parametrize("case", CASES, ids=[case.path.stem for case in CASES])
def test_case_passes_the_check_without_a_warning(case: Case, haproxy_binary: str, tmp_path: Path) -> None:
    settings = case.settings()
    write_files(tmp_path, case.renderer(settings, tmp_path).render(case.model(settings)).files)
    credentials = make_credentials(Secret("a secret of this test only"), datetime.now(UTC))
    (tmp_path / "ca.pem").write_text(credentials.ca)
    (tmp_path / "node.pem").write_text(credentials.certificate.reveal())
    (tmp_path / "state.map").write_text("state {}\n")
    (tmp_path / "server-state").write_text("1\n")
    config = tmp_path / "current" / "haproxy.cfg"

    command = [haproxy_binary, "-c", "-C", str(config.parent), "-f", str(config)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)

    assert 0 == checked.returncode, checked.stderr
    assert "[WARNING]" not in checked.stderr
