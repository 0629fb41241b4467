"""Podman's answers (recorded from 4.3.1) mean what Docker's mean. Its list says less: containers of ours are inspected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import docker
import pytest
from docker.errors import APIError, NotFound

from proxy.adapters.engine.podman import find_container, list_containers
from proxy.core.containers.containers import Attachment, ContainerPort, Health, State
from proxy.core.containers.docker_json import EngineEvent, parse_container, parse_event
from proxy.core.containers.podman_json import is_podman

ID = "1879ca29ebee6d52393dc3efbca98474bb8ee3d4e6a4c5538860f668187e147d"
LABELS = {"aliyun.proxy.VIRTUAL_HOST": "www.example.com"}
NETWORKS = {"podman": {"NetworkID": "podman", "Gateway": "10.88.0.1", "IPAddress": "10.88.0.3", "GlobalIPv6Address": ""}}
LISTED = {
    "Id": ID,
    "Names": ["/web"],
    "Created": 1795625723,
    "Ports": [],
    "Labels": LABELS,
    "State": "running",
    "Status": "Up Less than a second",
    "NetworkSettings": {"Networks": NETWORKS},
    "Config": None,
}
INSPECTED = {
    "Id": ID,
    "Name": "/web",
    "Created": "2026-11-25T16:55:23.254934661Z",
    "State": {"Status": "running", "Paused": False, "Health": {"Status": "healthy", "FailingStreak": 0}},
    "Config": {"Labels": LABELS, "Env": ["container=podman"], "ExposedPorts": {"80/tcp": {}}, "StopSignal": "15"},
    "HostConfig": {"NetworkMode": "bridge"},
    "NetworkSettings": {"Ports": {"80/tcp": None, "81/tcp": [{"HostIp": "", "HostPort": "43995"}]}, "Networks": NETWORKS},
}


class Client:
    """A client of a Podman that has these inspections."""

    def __init__(self, *documents: Mapping[str, Any]) -> None:
        self.documents = {document["Id"]: document for document in documents}
        self.inspected: list[str] = []
        self.missing: APIError = NotFound("404", explanation="no such container")

    def containers(self, filters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        assert {"status": ["running", "paused"]} == filters
        return [{**LISTED, "Id": key, "Labels": document["Config"]["Labels"]} for key, document in self.documents.items()]

    def inspect_container(self, container_id: str) -> Mapping[str, Any]:
        self.inspected.append(container_id)
        if container_id not in self.documents:
            raise self.missing
        return self.documents[container_id]

    def inspect_image(self, image: str) -> Mapping[str, Any]:
        self.inspected.append(image)
        if image != "sha256:web":
            raise NotFound("no such image")
        return {"Config": {"ExposedPorts": {"90/tcp": {}}}}


def as_client(client: Client) -> docker.APIClient:
    return cast(docker.APIClient, client)


def with_state(word: str) -> Mapping[str, Any]:
    return {**INSPECTED, "State": {"Status": word}}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Server": "Libpod/4.3.1 (linux)", "Libpod-Api-Version": "4.3.1"}, True),
        ({"Server": "Libpod/3.0.1 (linux)"}, True),
        ({"Server": "Docker/20.10.24 (linux)", "Api-Version": "1.41"}, False),
        ({}, False),
    ],
    ids=["podman", "old podman", "docker", "nothing"],
)
def test_podman_is_known_by_its_headers(headers: Mapping[str, str], expected: bool) -> None:
    assert expected == is_podman(headers)


def test_inspection_has_the_ports_and_the_health_that_the_list_lacks() -> None:
    container = parse_container(INSPECTED)

    assert (ContainerPort(number=80), ContainerPort(number=81, published=True, host_port=43995)) == container.ports
    assert Health.HEALTHY is container.health
    assert (
        Attachment(network="podman", address="10.88.0.3", gateway="10.88.0.1", network_id="podman"),
    ) == container.networks
    assert {} == container.environment
    assert () == parse_container(LISTED).ports


def test_only_containers_with_a_label_of_ours_are_inspected() -> None:
    other = {**INSPECTED, "Id": "other", "Config": {"Labels": {"maintainer": "somebody"}}}
    client = Client(INSPECTED, other)

    documents = [*list_containers(as_client(client))]

    assert [ID] == client.inspected
    assert [ID, "other"] == [document["Id"] for document in documents]


@pytest.mark.parametrize(("word", "state"), [("running", State.RUNNING), ("paused", State.PAUSED)])
def test_container_that_runs_is_found(word: str, state: State) -> None:
    document = find_container(as_client(Client(with_state(word))), ID)

    assert document is not None
    assert state is parse_container(document).state


@pytest.mark.parametrize("word", ["created", "initialized", "stopping", "stopped", "exited", "removing"])
def test_container_that_does_not_run_is_not_found(word: str) -> None:
    assert find_container(as_client(Client(with_state(word))), ID) is None


@pytest.mark.parametrize(
    "missing",
    [
        NotFound("404", explanation=f'no container with name or ID "{ID}" found'),
        APIError("500", explanation=f"container {ID} does not exist in database: no such container"),
    ],
    ids=["removed", "being removed"],
)
def test_container_that_was_removed_is_not_found(missing: APIError) -> None:
    client = Client()
    client.missing = missing

    assert find_container(as_client(client), ID) is None


def test_error_of_podman_is_no_end_of_a_container() -> None:
    client = Client()
    client.missing = APIError("500", explanation="database is locked")

    with pytest.raises(APIError):
        find_container(as_client(client), ID)


@pytest.mark.parametrize(("word", "action"), [("died", "die"), ("die", "die"), ("remove", "destroy"), ("start", "start")])
def test_event_has_the_name_that_docker_gives_it(word: str, action: str) -> None:
    attributes = {**LABELS, "containerExitCode": "137", "image": "localhost/web", "name": "web", "podId": ""}

    event = parse_event({"Type": "container", "Action": word, "Actor": {"ID": ID, "Attributes": attributes}, "time": 7})

    assert EngineEvent(action=action, container_id=ID, name="web", time=7, service="web") == event


@pytest.mark.parametrize(
    ("more", "network"), [({}, ""), ({"network": "shop"}, "shop")], ids=["network is not named", "network is named"]
)
def test_network_event_names_its_container_as_the_actor(more: Mapping[str, str], network: str) -> None:
    attributes = {"containerExitCode": "0", "image": "", "name": "web", "podId": "", **more}

    event = parse_event({"Type": "network", "Action": "connect", "Actor": {"ID": ID, "Attributes": attributes}})

    assert event is not None
    assert ("connect", ID, network) == (event.action, event.container_id, event.network)


def test_network_event_of_no_container_is_none_of_ours() -> None:
    assert parse_event({"Type": "network", "Action": "create", "Actor": {"ID": "n", "Attributes": {"name": "n"}}}) is None


@pytest.mark.parametrize("mode", ["host", f"container:{ID}"])
@pytest.mark.parametrize(
    ("image", "ports"), [("sha256:web", (ContainerPort(number=90),)), ("sha256:removed", ())], ids=["known", "removed"]
)
def test_exposed_ports_on_a_foreign_network_are_those_of_the_image(
    mode: str, image: str, ports: tuple[ContainerPort, ...]
) -> None:
    """What the inspection calls the container's ports are those of the owner of the network."""
    config = {"Labels": LABELS, "Env": []}
    borrower = {**INSPECTED, "Id": "borrower", "Image": image, "Config": config, "HostConfig": {"NetworkMode": mode}}

    document = find_container(as_client(Client(borrower)), "borrower")

    assert document is not None
    assert ports == parse_container(document).ports
