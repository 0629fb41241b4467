"""What this proxy offers to the others: files that are renewed while HAProxy runs, and never only half of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.adapters.cluster.offer import NodeOffer
from proxy.adapters.cluster.trust import RENEWAL
from proxy.adapters.haproxy.runtime_socket import RuntimeSocket
from proxy.core.containers.containers import Node
from proxy.core.containers.node_state import NodeState
from proxy.errors import RuntimeApiError, SourceError
from tests.builders import make_settings

NOW = datetime(2030, 1, 1, tzinfo=UTC)
STATE = NodeState(instance="one", node=Node(id="n1", name="n1"))
SOCKET = {"DOCKER_HOST": "unix:///var/run/docker.sock"}


class FakeRuntime(RuntimeSocket):
    """Notes what HAProxy is told."""

    def __init__(self) -> None:
        super().__init__(Path("none"))
        self.told: list[str] = []
        self.is_there = True

    def send(self, command: str, payload: str = "", **_: object) -> str:
        if not self.is_there:
            raise RuntimeApiError("no HAProxy")
        self.told.append(command)
        return ""


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("a secret of this test only")
    path.chmod(0o600)
    return path


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


def make_offer(key_file: Path, runtime: RuntimeSocket, environment: Mapping[str, str] = SOCKET) -> NodeOffer:
    settings = make_settings(PROXY_CLUSTER="tasks.lb", PROXY_CLUSTER_KEY_FILE=str(key_file)).cluster
    return NodeOffer(key_file.parent / "cluster", settings, environment, runtime)


def files(offer: NodeOffer) -> dict[str, str]:
    return {path.name: path.read_text() for path in offer.files.ca.parent.iterdir()}


def test_section_needs_all_files(key_file: Path, runtime: FakeRuntime) -> None:
    offer = make_offer(key_file, runtime)

    assert offer.section() is None
    assert not offer.maintain(NOW)
    assert offer.section() is None
    offer.publish(STATE)
    assert offer.section()
    assert {0o600} == {path.stat().st_mode & 0o777 for path in offer.files.ca.parent.iterdir()}
    assert 0o700 == offer.files.ca.parent.stat().st_mode & 0o777


def test_certificate_is_renewed_when_it_is_due_and_haproxy_told(key_file: Path, runtime: FakeRuntime) -> None:
    offer = make_offer(key_file, runtime)
    offer.maintain(NOW)
    first = files(offer)

    assert not offer.maintain(NOW + RENEWAL - timedelta(seconds=1))
    assert first == files(offer)
    runtime.told.clear()

    assert not offer.maintain(NOW + RENEWAL)
    assert first["ca.pem"] == files(offer)["ca.pem"]
    assert first["node.pem"] != files(offer)["node.pem"]
    assert any(command.startswith("set ssl cert ") for command in runtime.told)
    assert any(command.startswith("commit ssl cert ") for command in runtime.told)


def test_clock_that_was_set_back_renews_too(key_file: Path, runtime: FakeRuntime) -> None:
    offer = make_offer(key_file, runtime)
    offer.maintain(NOW)
    first = files(offer)["node.pem"]

    offer.maintain(NOW - timedelta(days=300))

    assert first != files(offer)["node.pem"]


def test_another_key_makes_other_files_and_asks_for_a_reload_once(key_file: Path, runtime: FakeRuntime) -> None:
    offer = make_offer(key_file, runtime)
    offer.maintain(NOW)
    first = files(offer)
    key_file.write_text("another secret of this test")

    assert [True, False] == [offer.maintain(NOW), offer.maintain(NOW)]
    assert first["ca.pem"] != files(offer)["ca.pem"]
    assert first["node.pem"] != files(offer)["node.pem"]


@pytest.mark.parametrize("content", [None, "short"], ids=["missing", "short"])
def test_key_that_cannot_be_used_keeps_what_was_made_of_the_last_one(
    key_file: Path, runtime: FakeRuntime, content: str | None
) -> None:
    offer = make_offer(key_file, runtime)
    offer.maintain(NOW)
    first = files(offer)
    key_file.unlink()
    if content:
        key_file.write_text(content)

    assert not offer.maintain(NOW + RENEWAL)
    assert first == files(offer)
    assert ["PROXY_CLUSTER_KEY_FILE"] == [problem.setting for problem in offer.problems()]


def test_key_that_cannot_be_used_from_the_start_is_an_error(key_file: Path, runtime: FakeRuntime) -> None:
    key_file.write_text("short")
    offer = make_offer(key_file, runtime)

    with pytest.raises(SourceError, match=r"PROXY_CLUSTER_KEY_FILE: .*holds 5 characters"):
        offer.maintain(NOW)
    assert offer.section() is None


def test_command_that_makes_nothing_tells_of_the_key(key_file: Path, runtime: FakeRuntime) -> None:
    key_file.write_text("short")

    (problem,) = make_offer(key_file, runtime).problems()

    assert "holds 5 characters" in problem.reason


def test_key_that_everybody_may_read_is_a_problem(key_file: Path, runtime: FakeRuntime) -> None:
    key_file.chmod(0o644)
    offer = make_offer(key_file, runtime)
    offer.maintain(NOW)

    assert ["can be read by all users" in problem.reason for problem in offer.problems()] == [True]


def test_disk_that_is_full_keeps_all_old_files(key_file: Path, runtime: FakeRuntime) -> None:
    """A new authority beside an old certificate would shut this proxy out."""
    offer = make_offer(key_file, runtime)
    offer.maintain(NOW)
    first = files(offer)
    (offer.files.ca.parent / "node.pem.new").mkdir()  # which nothing can be written to
    key_file.write_text("another secret of this test")

    with pytest.raises(SourceError, match="cannot be written"):
        offer.maintain(NOW)
    (offer.files.ca.parent / "node.pem.new").rmdir()

    assert first == files(offer)
    assert offer.maintain(NOW)
    assert first["ca.pem"] != files(offer)["ca.pem"]


def test_haproxy_that_does_not_answer_is_told_later(key_file: Path, runtime: FakeRuntime) -> None:
    runtime.is_there = False
    offer = make_offer(key_file, runtime)
    offer.maintain(NOW)
    offer.publish(STATE)

    runtime.is_there = True
    offer.maintain(NOW)
    told = [*runtime.told]
    offer.maintain(NOW)

    assert any(command.startswith("set map ") for command in told)
    assert any(command.startswith("commit ssl cert ") for command in told)
    assert told == runtime.told


def test_state_is_published_once(key_file: Path, runtime: FakeRuntime) -> None:
    offer = make_offer(key_file, runtime)
    offer.publish(STATE)
    told = [*runtime.told]

    offer.publish(STATE)

    assert told == runtime.told
    assert "one" == make_offer(key_file, runtime).read_instance()


@pytest.mark.parametrize("text", [None, "", "state {", "state [1]"], ids=["missing", "empty", "cut", "list"])
def test_instance_of_a_file_that_cannot_be_read_is_empty(key_file: Path, runtime: FakeRuntime, text: str | None) -> None:
    (key_file.parent / "cluster").mkdir()
    if text is not None:
        (key_file.parent / "cluster" / "state.map").write_text(text)

    assert "" == make_offer(key_file, runtime).read_instance()


@pytest.mark.parametrize(
    ("host", "address", "name"),
    [
        ("unix:///run/docker.sock", "unix@/run/docker.sock", ""),
        ("tcp://10.0.0.1", "10.0.0.1:2375", ""),
        ("tcp://[::1]:2376", "[::1]:2376", ""),
        ("tcp://engine:2375", "engine:2375", "engine"),
    ],
    ids=["socket", "address", "ipv6", "name"],
)
def test_engine_is_reached_by_haproxy(key_file: Path, runtime: FakeRuntime, host: str, address: str, name: str) -> None:
    offer = make_offer(key_file, runtime, {"DOCKER_HOST": host})
    offer.maintain(NOW)
    offer.publish(STATE)

    section = offer.section()

    assert section
    assert (address, name) == (section.engine.address, section.engine.host)


def test_engine_over_ssh_cannot_be_offered(key_file: Path, runtime: FakeRuntime) -> None:
    offer = make_offer(key_file, runtime, {"DOCKER_HOST": "ssh://engine"})
    offer.maintain(NOW)
    offer.publish(STATE)

    assert offer.section() is None
    assert ["DOCKER_HOST"] == [problem.setting for problem in offer.problems()]


def test_certificate_of_the_engine_is_one_file_for_haproxy(key_file: Path, runtime: FakeRuntime) -> None:
    for name in ("cert.pem", "key.pem"):
        (key_file.parent / name).write_text(f"{name}\n")
    environment = {"DOCKER_HOST": "tcp://engine:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(key_file.parent)}
    offer = make_offer(key_file, runtime, environment)

    offer.maintain(NOW)
    assert "cert.pem\nkey.pem\n" == files(offer)["engine.pem"]

    (key_file.parent / "key.pem").unlink()
    with pytest.raises(SourceError, match="DOCKER_CERT_PATH"):
        offer.maintain(NOW + RENEWAL)
