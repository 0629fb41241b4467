"""Commands for HAProxy's runtime API: which replies mean success, and that no payload is longer than HAProxy accepts."""

from __future__ import annotations

import pytest

from proxy.core.haproxy.runtime_commands import PAYLOAD_LENGTH, Command, ReplaceMap


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
