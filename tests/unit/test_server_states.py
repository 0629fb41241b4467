"""What HAProxy reports about its servers, in the words of its statistics page."""

from __future__ import annotations

import pytest

from proxy.core.haproxy.replies import parse_server_states
from proxy.errors import RuntimeApiError

HEAD = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state\n"


@pytest.mark.parametrize(
    ("operational", "administrative", "expected"),
    [
        pytest.param(2, 0, "up", id="up"),
        pytest.param(0, 0, "down", id="down"),
        pytest.param(1, 0, "starting", id="starting"),
        pytest.param(3, 0, "stopping", id="stopping"),
        pytest.param(0, 1, "maint", id="maintenance by hand"),
        pytest.param(0, 0x20, "maint", id="maintenance by name resolution"),
        pytest.param(2, 8, "drain", id="drain by hand"),
        pytest.param(0, 9, "maint", id="maintenance before drain"),
    ],
)
def test_state_of_a_server(operational: int, administrative: int, expected: str) -> None:
    reply = f"{HEAD}3 shop:web 1 web-1 10.0.0.5 {operational} {administrative}\n\n"

    assert {("shop:web", "web-1"): expected} == parse_server_states(reply)


def test_no_servers_are_no_error() -> None:
    assert {} == parse_server_states(HEAD)


def test_something_else_is_no_state_of_servers() -> None:
    with pytest.raises(RuntimeApiError, match="something else"):
        parse_server_states("Can't find backend.\n")
