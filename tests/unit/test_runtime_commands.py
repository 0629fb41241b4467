"""Commands for HAProxy's runtime API: which replies mean success, and that no payload is longer than HAProxy accepts."""

from __future__ import annotations

import dataclasses
import re

import pytest

from proxy.core.haproxy.runtime_commands import PAYLOAD_LENGTH, Command, ReplaceMap, add_server
from tests.builders import make_container, make_model, with_labels


@pytest.mark.parametrize(
    ("accepted", "reply", "is_done"),
    [
        pytest.param(("",), "\n", True, id="silence"),
        pytest.param(("",), "No such backend.", False, id="an error where silence is due"),
        pytest.param(("New server registered",), "New server registered.\n", True, id="the word"),
        pytest.param(("New server registered",), "", False, id="silence where a word is due"),
        pytest.param(("published", "No effective change"), "No effective change.", True, id="one of several words"),
    ],
)
def test_reply_says_whether_a_command_was_carried_out(accepted: tuple[str, ...], reply: str, is_done: bool) -> None:
    assert is_done == Command(text="any", accepted=accepted).is_accepted(reply)


def test_long_map_is_sent_in_parts_that_haproxy_takes_and_in_order() -> None:
    rows = tuple((f"host-{number:04}.example.com", f"shop:service-{number}") for number in range(1000))

    *adds, commit = ReplaceMap(file="maps/hosts.map", rows=rows).commands("7")

    payloads = [command.payload.reveal() for command in adds]
    assert [f"{key} {value}" for key, value in rows] == "\n".join(payloads).split("\n")
    assert len(payloads) > 1
    assert max(map(len, payloads)) <= PAYLOAD_LENGTH
    assert ({"add map @7 maps/hosts.map"}, "commit map @7 maps/hosts.map") == ({add.text for add in adds}, commit.text)


def test_row_that_is_longer_than_a_payload_is_sent_alone() -> None:
    long = ("a" * PAYLOAD_LENGTH, "web")

    *adds, _ = ReplaceMap(file="maps/paths.map", rows=(("x", "web"), long, ("y", "web"))).commands("7")

    assert ["x web", " ".join(long), "y web"] == [command.payload.reveal() for command in adds]


def test_empty_map_is_committed_without_rows() -> None:
    assert ["commit map @7 maps/hosts.map"] == [
        command.text for command in ReplaceMap(file="maps/hosts.map", rows=()).commands("7")
    ]


def test_no_option_of_a_server_begins_another_command() -> None:
    options = "agent-check agent-send 'x;disable frontend port_80'"
    (backend,) = make_model(make_container(labels=with_labels(VIRTUAL_HOST="a.com", EXTRA_ROUTE_SETTINGS=options))).backends

    command, *_ = add_server(backend.name, backend.servers[0], "check")

    assert r" agent-check agent-send x\;disable\ frontend\ port_80" in command.text
    assert [] == re.findall(r"(?<!\\);", command.text)


@pytest.mark.parametrize(
    ("options", "added"),
    [
        pytest.param("send-proxy", "check-send-proxy", id="version-1"),
        pytest.param("send-proxy-v2-ssl", "check-send-proxy", id="version-2"),
        pytest.param("ssl verify none send-proxy-v2", "check-ssl check-send-proxy", id="over-tls"),
        pytest.param("send-proxy port 8081", "", id="checks-of-another-port"),
        pytest.param("ssl verify none addr 10.0.0.9", "", id="checks-of-another-address"),
        pytest.param("cookie ssl proxy-v2-options ssl", "", id="value-of-another-option"),
        pytest.param("maxconn 5", "", id="neither"),
    ],
)
def test_checks_of_an_added_server_connect_as_those_of_a_loaded_one(options: str, added: str) -> None:
    (backend,) = make_model(make_container(labels=with_labels(VIRTUAL_HOST="a.com", EXTRA_ROUTE_SETTINGS=options))).backends
    (server,) = backend.servers

    checked, *_ = add_server(backend.name, server, "check")
    unchecked, *_ = add_server(backend.name, dataclasses.replace(server, has_default_check=False), "check")

    assert added == checked.text.partition(options)[2].strip()
    assert options == unchecked.text[-len(options) :]
