"""`proxy reload` and `proxy health`: what they wait for, and what they print. This process acts as the controller."""

from __future__ import annotations

import os
import signal
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

import pytest

from proxy.adapters.files.status_file import Status
from proxy.adapters.haproxy.state_layout import StateLayout
from tests.command_line import CommandLine

Signals = Callable[[Callable[[], None]], None]


@pytest.fixture
def on_reload() -> Iterator[Signals]:
    """Set what the controller does when it is told to reload."""
    before = signal.getsignal(signal.SIGUSR1)

    def set_action(act: Callable[[], None]) -> None:
        def handle(_number: int, _frame: FrameType | None) -> None:
            act()

        signal.signal(signal.SIGUSR1, handle)

    yield set_action
    signal.signal(signal.SIGUSR1, before)


def status(*, forced: int = 0, is_success: bool = True, pid: int | None = None, sentence: str = "reload: by hand") -> Status:
    """The status after a pass. Where `forced` counts one, that pass has ended the reload that a user asked for."""
    told = Status(pid=pid or os.getpid(), passes=9, forced=forced, sentence=sentence, is_success=is_success)
    return replace(told, forced_sentence=sentence, is_forced_success=is_success) if forced else told


@pytest.mark.parametrize(("is_success", "code"), [(True, 0), (False, 1)], ids=["done", "failed"])
def test_reload_returns_when_the_pass_that_it_forced_has_ended(
    command_line: CommandLine, on_reload: Signals, capsys: pytest.CaptureFixture[str], is_success: bool, code: int
) -> None:
    command_line.write_status(status())
    on_reload(lambda: command_line.write_status(status(forced=1, is_success=is_success)))

    ended = command_line.run("reload")

    assert (code, "reload: by hand\n") == (ended, capsys.readouterr().out)


@pytest.mark.parametrize("answer", [status(forced=1), status(pid=1)], ids=["forced pass", "new controller"])
def test_end_of_another_pass_is_not_taken_for_the_reload(
    command_line: CommandLine, on_reload: Signals, capsys: pytest.CaptureFixture[str], answer: Status
) -> None:
    command_line.write_status(status())

    def end_one_pass_and_run_another() -> None:
        command_line.write_status(status(sentence="the pass before"))
        threading.Timer(0.1, command_line.write_status, (answer,)).start()

    on_reload(end_one_pass_and_run_another)
    command_line.run("reload")

    assert "reload: by hand\n" == capsys.readouterr().out


def test_reload_tells_its_own_end_also_when_another_pass_has_followed(
    command_line: CommandLine, on_reload: Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command looks at the status every now and then, and a pass takes less time than that."""
    command_line.write_status(status())
    followed = replace(status(forced=1, is_success=False), sentence="nothing to change", is_success=True)
    on_reload(lambda: command_line.write_status(followed))

    code = command_line.run("reload")

    assert (1, "reload: by hand\n") == (code, capsys.readouterr().out)


def test_reload_without_a_controller_is_told(command_line: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    code = command_line.run("reload")

    assert (3, True) == (code, "is `proxy run` running?" in capsys.readouterr().err)


def test_controller_that_has_ended_is_told(command_line: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    command_line.write_status(status(pid=ended.pid))

    code = command_line.run("reload")

    assert (3, f"proxy: the controller, process {ended.pid}, is not running\n") == (code, capsys.readouterr().err)


class _Master(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        """Answer any command."""
        self.rfile.read()
        self.wfile.write(b"#<PID>\n1 master\n\n")


@contextmanager
def master_of(command_line: CommandLine) -> Iterator[None]:
    """Run a server that answers in the place of HAProxy's master, until the block ends."""
    path = StateLayout(folder=command_line.state).master_socket
    path.parent.mkdir(parents=True, exist_ok=True)
    with socketserver.ThreadingUnixStreamServer(str(path), _Master) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield
        server.shutdown()
        thread.join()


def test_proxy_is_healthy_while_haproxy_answers_whatever_the_last_pass_said(
    command_line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    command_line.write_status(status(is_success=False))

    with master_of(command_line):
        code = command_line.run("health")

    assert (0, "HAProxy runs; last pass: reload: by hand\n") == (code, capsys.readouterr().out)


def test_proxy_without_haproxy_is_not_healthy(command_line: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    command_line.write_status(status())

    code = command_line.run("health")

    assert (3, True) == (code, capsys.readouterr().err.startswith("proxy: HAProxy does not answer: "))
