"""The services file in all notations of Compose. A fault in a service affects only that service."""

from __future__ import annotations

import pytest

from proxy.core.containers.services_file import FileService, parse_services_file

PLACE = {"external": {"host": "10.0.0.5", "ports": [80]}}


def parse_one(entry: object) -> FileService:
    """Return the only valid service of a document."""
    file = parse_services_file({"services": {"web": entry}})
    assert () == file.problems
    return file.services[0]


def test_empty_document_holds_no_services() -> None:
    assert () == parse_services_file(None).services


@pytest.mark.parametrize("document", [["web"], "web", {"services": ["web"]}], ids=["list", "text", "list-of-services"])
def test_document_that_is_no_mapping_of_services_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="not a mapping of service"):
        parse_services_file(document)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param(None, {}, id="none"),
        pytest.param({"a": "x", "b": True, "c": 80, "d": None}, {"a": "x", "b": "true", "c": "80", "d": ""}, id="mapping"),
        pytest.param(["a=x", "b = y=z", "c"], {"a": "x", "b": " y=z", "c": ""}, id="list"),
    ],
)
def test_labels_are_texts_however_they_are_written(labels: object, expected: dict[str, str]) -> None:
    assert expected == parse_one({**PLACE, "labels": labels}).labels


@pytest.mark.parametrize(
    ("entry", "setting", "reason"),
    [
        pytest.param({**PLACE, "labels": "a=x"}, "labels", "neither a mapping nor a list", id="labels-as-text"),
        pytest.param({**PLACE, "labels": [{"a": "x"}]}, "labels", "not of the form name=value", id="label-as-mapping"),
        pytest.param({**PLACE, "labels": {"a": ["x"]}}, "labels.a", "put it in quotes", id="label-as-list"),
        pytest.param({"external": "10.0.0.5"}, "external", "write host and ports below it", id="external-as-text"),
        pytest.param({"external": {"host": {"a": "b"}}}, "external.host", "write a value", id="host-as-mapping"),
        pytest.param({"external": {"host": "10.0.0.5:80"}}, "external.host", "write ports below", id="host-with-port"),
        pytest.param({"external": {"host": "a", "ports": "x"}}, "external.ports", "is not a port", id="no-port"),
        pytest.param(
            {"external": {"host": "a", "ports": 0}}, "external.ports", "is not a port from 1 to 65535", id="port-zero"
        ),
        pytest.param({"networks": {"n": {"ipv4_address": "x"}}}, "networks.n.ipv4_address", "not an IP", id="address"),
        pytest.param({"image": "nginx"}, "", "has no address", id="no-place"),
        pytest.param("nginx", "", "is not a mapping", id="no-mapping"),
    ],
)
def test_fault_is_told_with_its_key_and_the_other_services_stay(entry: object, setting: str, reason: str) -> None:
    file = parse_services_file({"services": {"bad": entry, "good": PLACE}})

    (problem,) = file.problems
    assert (["good"], "bad", setting) == ([service.name for service in file.services], problem.service, problem.setting)
    assert reason in problem.reason


def test_ports_are_those_of_the_service_itself_and_tcp() -> None:
    ports = ["8080:80", "9000-9001", {"target": 443, "published": 8443}, "53/udp", {"target": 54, "protocol": "udp"}]

    service = parse_one({"networks": {"n": {"ipv4_address": "10.0.0.5"}}, "ports": ports, "expose": ["80", "81"]})

    assert [(80, True), (81, False), (443, True), (9000, True), (9001, True)] == [
        (port.number, bool(port.published)) for port in service.ports
    ]


def test_first_format_has_its_services_at_the_top() -> None:
    file = parse_services_file({"version": "1", "x-common": {"a": "b"}, "volumes": {}, "web": PLACE, "name": "shop"})

    assert ("", ["web"]) == (file.project, [service.name for service in file.services])
