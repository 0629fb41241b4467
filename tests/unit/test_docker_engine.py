"""Errors of an engine say where it is, why it failed, and what to do."""

from __future__ import annotations

import gc
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from docker.errors import DockerException

from proxy.adapters.engine.docker_engine import DockerEngine, parse_list
from proxy.adapters.engine.engine_faults import explain, explain_old_socket
from proxy.errors import SourceError

# docker-py leaves the socket of a failed connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()


def test_engine_need_not_answer_when_it_is_named() -> None:
    assert DockerEngine({}).address == "unix:///var/run/docker.sock"


def test_missing_socket_says_how_to_mount_it(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"

    with pytest.raises(SourceError) as raised:
        DockerEngine({"DOCKER_HOST": f"unix://{path}"}).find_container("0")

    assert str(raised.value) == (
        f"cannot read containers from the engine at unix://{path}: there is no such socket. "
        f"Mount it (-v {path}:{path}) or set DOCKER_HOST"
    )


def test_refused_connection_says_to_start_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(path))

        with pytest.raises(SourceError, match="nothing listens there"):
            DockerEngine({"DOCKER_HOST": f"unix://{path}"}).open_events(None)


def test_refused_permission_names_both_sides_and_the_group_to_add(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    path.touch()
    path.chmod(0o660)
    error = DockerException("Error while fetching server API version")
    error.__cause__ = requests.ConnectionError("Connection aborted.", PermissionError(13, "Permission denied"))

    message = explain(f"unix://{path}", error)

    assert "permission denied. The proxy runs as uid " in message
    assert f"(mode 0660). Start it with --group-add {path.stat().st_gid}" in message


def test_missing_certificates_are_named(tmp_path: Path) -> None:
    environment = {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}

    with pytest.raises(SourceError, match="DOCKER_CERT_PATH"):
        DockerEngine(environment).find_container("0")


def test_access_that_a_socket_proxy_refuses_names_what_is_needed() -> None:
    response = requests.Response()
    response.status_code = 403

    message = explain("tcp://proxy:2375", requests.HTTPError("403 Forbidden", response=response))

    assert "must allow GET of /version, /containers/json, /containers/{id}/json and /events" in message


@pytest.mark.parametrize("text", ["[]", '[{"Id": "1"}]', '[ {"Id": "1"},\n {"Id": "2", "Labels": {"a": "],["}} ]\n'])
def test_list_is_parsed_as_json_has_it(text: str) -> None:
    assert json.loads(text) == list(parse_list(text))


@pytest.mark.parametrize("text", ["", "null", '{"message": "no"}', '[{"Id": "1"}', '[{"Id": "1"},', '[{"Id": "1"}, {"Id":'])
def test_half_a_list_is_no_list(text: str) -> None:
    """The containers that are missing from it must not be treated as gone."""
    with pytest.raises(ValueError, match=r"."):
        list(parse_list(text))


def test_socket_that_no_group_can_use_is_told(tmp_path: Path) -> None:
    """`--group-add` alone would change nothing."""
    path = tmp_path / "docker.sock"
    path.touch(mode=0o600)

    message = explain(f"unix://{path}", PermissionError(13, "Permission denied"))

    assert "(mode 0600), so no group can use it. Allow it on the host (chmod g+rw)" in message
    assert message.endswith(f"or start it with --user {path.stat().st_uid}")


MOUNTS = (
    "26 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "31 26 0:24 /docker.sock {path} ro,nosuid - tmpfs tmpfs rw,mode=755\n"
    "32 26 0:24 / /host/run ro - tmpfs tmpfs rw\n"
)


@pytest.mark.parametrize(("name", "is_told"), [("docker.sock", True), ("other.sock", False)])
def test_old_socket_of_an_engine_that_was_started_again_is_told(tmp_path: Path, name: str, is_told: bool) -> None:
    """Usually /var/run is a link to /run, and the mounts have the path without the link."""
    link = tmp_path / "run"
    link.symlink_to(tmp_path)

    advice = explain_old_socket(f"unix://{link / name}", MOUNTS.format(path=tmp_path / "docker.sock"))

    assert is_told == ("is mounted as a file and is still the old socket" in advice)
    assert is_told == ("mount the folder: -v /var/run:/host/run:ro" in advice)


def test_engine_over_tcp_has_no_old_socket() -> None:
    assert "" == explain_old_socket("tcp://10.0.0.1:2375", MOUNTS)
