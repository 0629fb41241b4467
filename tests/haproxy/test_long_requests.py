"""One request of 14 KB neither stops nor slows down HAProxy, whatever wildcards the entries have.

A regular expression that backtracks takes seconds for such a request. HAProxy's watchdog then aborts the worker.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import make_settings
from tests.haproxy.running import run_haproxy
from tests.haproxy.test_routing_matches_reference import Client, model_of
from tests.ports import free_offset
from tests.reference_matcher import Entry, Request, choose

pytestmark = pytest.mark.haproxy

SIGNS, HOST_SIGNS = 14000, 6000
"""A host can be half as long: HAProxy copies it to X-Forwarded-Host, and both must fit into its buffer of 16 KB."""

ENTRIES = {
    "users": "*/v*/users/*.json",
    "path": "*/*a*a*a*a*a*q*b",
    "host": "*c*c*c*c*c*c*q*d.example/x",
    "ordered": "a.example/*a*a*a*a*a*a*q*b",
    "below": "a.example/p/*",
}
REQUESTS = {
    "users": Request(host="w.example", target="/v" + "/users/" * (SIGNS // 7) + ".json"),
    "users-other-end": Request(host="w.example", target="/v" + "/users/.json" * (SIGNS // 12) + ".jso"),
    "path": Request(host="w.example", target="/aaaaaq" + "a" * SIGNS + "b"),
    "path-other-end": Request(host="w.example", target="/aaaaaq" + "a" * SIGNS + "bc"),
    "host": Request(host="ccccccq" + "c" * HOST_SIGNS + "d.example", target="/x"),
    "host-other-end": Request(host="ccccccq" + "c" * HOST_SIGNS + "d.example", target="/y"),
    "ordered": Request(host="a.example", target="/aaaaaaq" + "a" * SIGNS + "b"),
    "ordered-below": Request(host="a.example", target="/p/aaaaaaq" + "a" * SIGNS),
}


def test_long_requests_reach_the_right_service(haproxy_binary: str, tmp_path: Path) -> None:
    offset = str(free_offset(80, 1936))
    model = model_of({name: (entry, 0) for name, entry in ENTRIES.items()}, PROXY_PORT_OFFSET=offset)
    expected = {name: choose([Entry(text, name) for name, text in ENTRIES.items()], REQUESTS[name]) for name in REQUESTS}

    with run_haproxy(haproxy_binary, tmp_path, model, make_settings(PROXY_PORT_OFFSET=offset)) as haproxy:
        client = Client(haproxy)
        answers = {name: client.ask(request) for name, request in REQUESTS.items()}
        client.close()

    assert expected == answers
    assert {*ENTRIES, None} == set(answers.values())
