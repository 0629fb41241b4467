"""A process that the memory limit has killed: the supervisor says so, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.supervision.memory_limit import MemoryLimit

HERE = "/docker/abc"


@pytest.mark.parametrize(
    ("membership", "folder", "names"),
    [
        pytest.param("0::/\n", "", ("memory.events", "memory.max"), id="version-2-in-a-container"),
        pytest.param(f"0::{HERE}\n", HERE, ("memory.events", "memory.max"), id="version-2"),
        pytest.param(
            f"9:cpu:{HERE}\n4:memory:{HERE}\n", "/memory", ("memory.oom_control", "memory.limit_in_bytes"), id="version-1"
        ),
    ],
)
def test_kill_by_the_limit_is_told_from_one_by_somebody(
    tmp_path: Path, membership: str, folder: str, names: tuple[str, str]
) -> None:
    group = tmp_path / folder.lstrip("/")
    group.mkdir(parents=True, exist_ok=True)
    (tmp_path / "membership").write_text(membership)
    (group / names[0]).write_text("oom 1\noom_kill 1\n")
    (group / names[1]).write_text(f"{64 << 20}\n")
    limit = MemoryLimit(tmp_path, tmp_path / "membership")

    before = limit.explain_kill()
    (group / names[0]).write_text("oom 2\noom_kill 2\n")
    after, later = limit.explain_kill(), limit.explain_kill()

    assert "killed by somebody" == before == later
    assert "killed, because the memory limit of 64 MB is reached; raise it (--memory, or mem_limit)" == after


def test_kernel_that_tells_nothing_leaves_it_open(tmp_path: Path) -> None:
    limit = MemoryLimit(tmp_path, tmp_path / "none")

    assert "killed; if nobody has done it, the memory is too small" == limit.explain_kill()


@pytest.mark.parametrize("text", ["max\n", f"{(1 << 63) - 4096}\n"], ids=["version-2", "version-1"])
def test_machine_without_a_limit_has_no_number(tmp_path: Path, text: str) -> None:
    (tmp_path / "membership").write_text("0::/\n")
    (tmp_path / "memory.events").write_text("oom_kill 0\n")
    (tmp_path / "memory.max").write_text(text)
    limit = MemoryLimit(tmp_path, tmp_path / "membership")
    (tmp_path / "memory.events").write_text("oom_kill 1\n")

    assert "killed, because the memory limit is reached; raise it (--memory, or mem_limit)" == limit.explain_kill()
