"""A new server is tried at once, and then again and again until it accepts a connection."""

from __future__ import annotations

import queue
import socket
from collections.abc import Iterator

import pytest

from proxy.adapters.probes.connect_prober import ConnectProber
from proxy.core.model.readiness import Target
from proxy.core.trigger import Trigger, TriggerKind
from tests.eventually import eventually
from tests.ports import free_port


def target(port: int, address: str = "127.0.0.1") -> Target:
    return Target(source="docker", container_id="1" * 64, name="web-1", address=address, port=port, container_port=port)


@pytest.fixture
def listening() -> Iterator[int]:
    """Yield a port that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def triggers() -> queue.SimpleQueue[Trigger]:
    return queue.SimpleQueue()


def test_only_who_listens_answers_at_once(listening: int, triggers: queue.SimpleQueue[Trigger]) -> None:
    refused, unknown = target(free_port()), target(listening, "a-name.invalid")

    answers = ConnectProber(triggers.put).ask_at_once(frozenset({target(listening), refused, unknown}))

    assert {target(listening)} == answers
    assert triggers.empty()


def test_who_listens_later_is_told_of_once(triggers: queue.SimpleQueue[Trigger]) -> None:
    prober, late = ConnectProber(triggers.put), target(free_port())
    prober.wait_for(frozenset({late}))

    with socket.create_server((late.address, late.port)):
        told = triggers.get(timeout=20)

    assert Trigger(reason=f"web-1 accepts connections on port {late.port}", kind=TriggerKind.URGENT) == told
    assert ({late}, set()) == (prober.take_answers(), prober.take_answers())


def test_who_is_waited_for_no_more_is_not_told_of(listening: int, triggers: queue.SimpleQueue[Trigger]) -> None:
    prober, gone = ConnectProber(triggers.put), target(free_port())
    prober.wait_for(frozenset({gone}))
    prober.wait_for(frozenset({target(listening)}))

    with socket.create_server((gone.address, gone.port)) as server:
        eventually(lambda: not triggers.empty())
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()

    assert {target(listening)} == prober.take_answers()
