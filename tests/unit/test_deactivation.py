"""The label of dockercloud/haproxy that leaves a container out: no routes, and a note in the place of problems."""

from __future__ import annotations

import pytest

from proxy.controller.label_parsing import LabelParser
from proxy.core.containers.containers import Container
from proxy.core.containers.docker_json import parse_container, parse_event
from proxy.core.labels.simple_routing import find_probe
from proxy.grammar.spelling import DEACTIVATE
from tests.builders import make_container, make_settings, with_labels

ROUTED = {
    "custom": with_labels(VIRTUAL_HOST="a.com"),
    "acsrouting": {"aliyun.routing.port_80": "www.example.com", "aliyun.probe.url": "http://container/ping"},
}
LEFT_OUT = f"container web-1: {DEACTIVATE}='true': leaves the container out on purpose; remove the label to route it"
MODES = pytest.mark.parametrize("mode", ["custom", "acsrouting"])


def parse(container: Container, mode: str = "custom") -> tuple[int, list[str]]:
    """Return how many services the container is part of, and what is told. All of it must be notes."""
    specs, told = LabelParser(make_settings(PROXY_MODE=mode).routing).parse(container)
    assert all(note.is_note for note in told)
    return len(specs), [str(note) for note in told]


@MODES
@pytest.mark.parametrize("word", ["true", "True", " TRUE ", "yes", "1", '"true"'])
def test_container_is_left_out_with_a_note(mode: str, word: str) -> None:
    count, told = parse(make_container(labels={**ROUTED[mode], DEACTIVATE: word}), mode)

    assert 0 == count
    assert [True] == ["leaves the container out on purpose; remove the label" in note for note in told]


@MODES
@pytest.mark.parametrize("word", ["false", "no", "0", "", " "])
def test_word_that_means_no_changes_nothing(mode: str, word: str) -> None:
    labels = ROUTED[mode]

    assert (1, []) == parse(make_container(labels={**labels, DEACTIVATE: word}), mode)


@MODES
def test_unclear_word_leaves_nobody_out_and_is_told(mode: str) -> None:
    """The old proxy left out only those with `true`."""
    count, told = parse(make_container(labels={**ROUTED[mode], DEACTIVATE: "maybe"}), mode)

    assert 1 == count
    assert [True] == ["is neither yes nor no, and counts as no" in note for note in told]


def test_note_names_the_container_and_the_label() -> None:
    assert (0, [LEFT_OUT]) == parse(make_container(labels={**ROUTED["custom"], DEACTIVATE: "true"}))


def test_linked_container_is_left_out_too() -> None:
    assert (0, [LEFT_OUT]) == parse(make_container(alias="web", labels={DEACTIVATE: "true"}))


@MODES
@pytest.mark.parametrize("word", ["true", "maybe"])
def test_container_that_asks_for_no_route_is_no_note(mode: str, word: str) -> None:
    assert (0, []) == parse(make_container(labels={DEACTIVATE: word}), mode)


@pytest.mark.parametrize(
    ("mode", "labels"),
    [
        ("custom", with_labels(VIRTUAL_HOST="ftp://a.com", VIRTUAL_HOTS="b.com")),
        ("acsrouting", {"aliyun.routing.port_80": "a b;", "aliyun.routing.session_stick": "x"}),
    ],
)
def test_faults_in_labels_of_a_container_that_is_left_out_are_no_problems(mode: str, labels: dict[str, str]) -> None:
    assert (0, [LEFT_OUT]) == parse(make_container(labels={**labels, DEACTIVATE: "true"}), mode)


def test_container_that_is_left_out_is_not_probed() -> None:
    labels = ROUTED["acsrouting"]

    assert find_probe(labels)
    assert find_probe({**labels, DEACTIVATE: "true"}) is None


def test_engine_s_documents_give_the_label() -> None:
    labels = {DEACTIVATE: "true", "com.docker.stack.namespace": "shop", **ROUTED["custom"]}
    listed = {"Id": "1" * 64, "Names": ["/web-1"], "State": "running", "Labels": labels}
    inspected = {"Id": "1" * 64, "Name": "/web-1", "State": {"Status": "running"}, "Config": {"Labels": labels}}

    assert [{DEACTIVATE, *ROUTED["custom"]}] * 2 == [{*parse_container(document).labels} for document in (listed, inspected)]


@pytest.mark.parametrize(("labels", "is_of_ours"), [({}, False), (ROUTED["custom"], True)])
def test_event_concerns_routes_only_with_a_label_that_makes_them(labels: dict[str, str], *, is_of_ours: bool) -> None:
    """A container that asks for no route costs no look, whatever it has beside that."""
    attributes = {"name": "web-1", DEACTIVATE: "true", **labels}

    event = parse_event({"Type": "container", "Action": "start", "Actor": {"ID": "1" * 64, "Attributes": attributes}})

    assert event
    assert is_of_ours == event.has_labels_of_ours
