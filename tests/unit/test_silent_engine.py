"""A connection to an engine that falls silent, as behind a NAT that forgets it, is noticed. The engine is a stub."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.adapters.engine.docker_engine import DockerEngine
from proxy.adapters.engine.docker_source import DockerSource
from proxy.core.trigger import Trigger
from proxy.errors import SourceError
from tests.eventually import eventually
from tests.silent_relay import SilentRelay, silent_relay
from tests.stub_engine import StubContainer, StubEngine, run_stub_engine

# docker-py leaves its connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[StubEngine]:
    with run_stub_engine(tmp_path) as stub:
        yield stub


@pytest.fixture
def relay(stub: StubEngine) -> Iterator[SilentRelay]:
    with silent_relay(Path(stub.host.removeprefix("unix://"))) as relay:
        yield relay


def make_stub_container(name: str) -> StubContainer:
    return StubContainer(name=name, service=name, labels={"aliyun.proxy.VIRTUAL_HOST": f"{name}.example.com"}, port=80)


def test_dead_peer_of_the_stream_is_noticed_within_half_a_minute(relay: SilentRelay) -> None:
    stream = DockerEngine({"DOCKER_HOST": relay.host}).open_events(None)

    connection = stream._socket
    assert connection
    idle, interval, probes, unacknowledged_ms = (
        connection.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    )
    stream.close()

    assert connection.family == socket.AF_INET
    assert (25, 25_000) == (idle + interval * probes, unacknowledged_ms)


def test_full_look_finds_a_silent_stream_and_the_next_one_tells_again(
    stub: StubEngine, relay: SilentRelay, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source's own connection is silent too. Its first request fails, and is repeated."""
    monkeypatch.setattr("proxy.adapters.engine.docker_source.GRACE_SECONDS", 0.2)
    monkeypatch.setattr("proxy.adapters.engine.docker_engine.TIMEOUT_SECONDS", 0.5)
    source, triggers = DockerSource(DockerEngine({"DOCKER_HOST": relay.host}), None), list[Trigger]()
    thread = threading.Thread(target=source.watch, args=(triggers.append,), daemon=True)
    thread.start()
    eventually(lambda: triggers)
    source.read()

    relay.fall_silent()
    stub.start(make_stub_container("web"))
    source.invalidate()
    with pytest.raises(SourceError, match="no answer within"):
        source.read()
    assert ["web"] == [container.name for container in source.read().containers]

    eventually(lambda: [trigger.reason for trigger in triggers].count("engine connected") == 2)
    stub.start(make_stub_container("api"))
    eventually(lambda: "container api: start" == triggers[-1].reason)
    assert 1 == sum("a full rescan found that container web runs" in message for message in caplog.messages)
    source.stop()
    thread.join(5)
    assert not thread.is_alive()
