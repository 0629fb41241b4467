"""Telling the master to reload, where the master lies or is replaced meanwhile."""

from pathlib import Path

import pytest

from proxy.adapters.haproxy.haproxy_process import HaproxyControl, HaproxyProgram
from proxy.errors import MasterUnreachableError


class ReplacedMaster:
    """A master of HAProxy 2.6 that is killed by `reload`; another one, whose counts start at zero, answers from then on."""

    def __init__(self) -> None:
        self.pid, self.reloads = 100, 7

    def send(self, command: str, payload: str = "", *, timeout_seconds: float | None = None) -> str:
        del payload, timeout_seconds
        if command == "reload":
            self.pid, self.reloads = 300, 0
            return ""
        if command == "show proc":
            return (
                f"{self.pid} master {self.reloads} [failed: 0] 0d00h00m01s 2.6.12\n"
                f"# workers\n{self.pid + 1} worker 0 0d00h00m01s 2.6.12\n# old workers\n"
            )
        return "Version: 2.6.12\n"


def test_a_master_started_again_during_its_reload_ends_the_wait(tmp_path: Path) -> None:
    program = HaproxyProgram("sh", {"PATH": "/usr/bin:/bin"})
    control = HaproxyControl(program, ReplacedMaster(), tmp_path / "server-state")

    with pytest.raises(MasterUnreachableError, match="started again"):
        control.reload()
