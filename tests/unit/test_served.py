"""What HAProxy says that it serves, in words, and what of the model it does not serve."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.haproxy.comparison import rows_of
from proxy.core.haproxy.file_names import MAP_KINDS, map_file
from proxy.core.haproxy.served import (
    Place,
    Served,
    ServerStatus,
    describe_state,
    has_all,
    map_files,
    parse_statistics,
    unserved_routes,
    unserved_servers,
)
from proxy.core.model.model import WAITING, RoutingModel, ServerState
from proxy.errors import RuntimeApiError
from tests.builders import make_container, make_model, with_labels

HEAD = "# pxname,svname,qcur,status,weight,check_status,check_code,last_chk,type,\n"
MODEL = make_model(
    make_container(virtual_host="a.com"), make_container("db-1", labels=with_labels(TCP_PORTS="5432"), ports=())
)
(WEB,) = [backend for backend in MODEL.backends if backend.servers]
(SERVER,) = WEB.servers
PLACE = WEB.name, SERVER.name


def served(state: str = "up", reason: str = "", model: RoutingModel = MODEL) -> Served:
    """Return an HAProxy that has the whole model, with the web server in this state."""
    listeners = [listener.backend for listener in model.listeners]
    backends = (*model.backends, *listeners)
    servers: dict[Place, ServerStatus] = {
        (backend.name, each.name): ServerStatus("up") for backend in backends for each in backend.servers
    }
    return Served(
        frontends=frozenset({"port_80", *(backend.name for backend in listeners)}),
        servers={**servers, PLACE: ServerStatus(state, reason)},
        rows={map_file(80, kind): frozenset(rows_of(model.frontends[0].tables, kind)) for kind in MAP_KINDS},
    )


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("UP,1,L4OK,,,2", ServerStatus("up")),
        ("UP 1/3,1,L7STS,404,Not Found,2", ServerStatus("up")),
        ("no check,1,,,,2", ServerStatus("up")),
        ("DOWN,1,L7STS,404,Not Found,2", ServerStatus("down", "its health check fails (L7STS/404, Not Found)")),
        (
            "DOWN 1/2,1,* L4CON,,Connection refused,2",
            ServerStatus("down", "its health check fails (L4CON, Connection refused)"),
        ),
        ('DOWN,1,L6RSP,,"one, two",2', ServerStatus("down", "its health check fails (L6RSP, one, two)")),
        ("MAINT (resolution),1,,,,2", ServerStatus("maint")),
        ("DRAIN,1,L4OK,,,2", ServerStatus("drain")),
        ("NOLB,1,L7OKC,404,,2", ServerStatus("stopping")),
    ],
)
def test_state_of_a_server_is_read_with_its_reason(row: str, expected: ServerStatus) -> None:
    _, servers = parse_statistics(f"{HEAD}shop:web,web-1,0,{row},\n")

    assert {("shop:web", "web-1"): expected} == servers


def test_frontends_that_do_not_accept_connections_are_left_out() -> None:
    reply = f"{HEAD}port_80,FRONTEND,0,OPEN,,,,,0,\nport_81,FRONTEND,0,STOP,,,,,0,\n"

    assert (frozenset({"port_80"}), {}) == parse_statistics(reply)


@pytest.mark.parametrize("reply", ["", "Unknown command: 'show stat'"])
def test_something_else_is_no_statistics(reply: str) -> None:
    with pytest.raises(RuntimeApiError, match="replied something else"):
        parse_statistics(reply)


def test_model_that_is_served_has_no_problem() -> None:
    assert has_all(MODEL, served())
    assert [] == [*unserved_routes(MODEL, served(), port_offset=0), *unserved_servers(MODEL, served(), {})]


@pytest.mark.parametrize(
    ("now", "reasons", "expected"),
    [
        pytest.param(None, {}, "not served", id="no HAProxy"),
        pytest.param(Served(), {}, "not served: HAProxy does not have it (yet)", id="not there"),
        pytest.param(served("up"), {}, "up", id="up"),
        pytest.param(served("down", "why"), {}, "down: why", id="down"),
        pytest.param(served("maint"), {f"{PLACE[0]}/{PLACE[1]}": WAITING}, f"maint: {WAITING}", id="waited for"),
        pytest.param(served("maint"), {}, "maint: HAProxy has it in maintenance", id="by hand"),
    ],
)
def test_state_is_the_one_that_haproxy_tells(now: Served | None, reasons: dict[str, str], expected: str) -> None:
    assert expected == describe_state(WEB.name, SERVER, now, reasons)


def test_server_that_serves_though_it_should_not_is_told() -> None:
    paused = replace(SERVER, state=ServerState.MAINT, reason="is paused")

    assert "up, though it is paused" == describe_state(WEB.name, paused, served(), {})
    assert "maint: is paused" == describe_state(WEB.name, paused, served("maint"), {})


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(served("down", "why"), id="down"),
        pytest.param(served("maint"), id="maint"),
        pytest.param(replace(served(), servers={}), id="not there"),
    ],
)
def test_server_without_requests_is_a_problem_of_its_container(now: Served) -> None:
    first, *_ = [problem for problem in unserved_servers(MODEL, now, {}) if problem.container == "web-1"]

    assert ("shop:web", True) == (first.service, first.reason.startswith(f"server {SERVER.name} gets no requests: "))


@pytest.mark.parametrize("reason", ["is paused", "is stopping", "its weight is 0"])
def test_server_that_is_out_on_purpose_is_no_problem(reason: str) -> None:
    server = replace(SERVER, state=ServerState.MAINT, reason=reason)
    model = replace(MODEL, backends=(replace(WEB, servers=(server,)),))

    assert [] == list(unserved_servers(model, served("maint", model=model), {}))


def test_port_that_haproxy_does_not_listen_on_is_a_problem() -> None:
    problems = unserved_routes(MODEL, replace(served(), frontends=frozenset()), port_offset=1000)

    assert ["1080", "6432"] == [problem.reason.split()[6] for problem in problems]


def test_routes_that_haproxy_does_not_have_are_a_problem() -> None:
    now = replace(served(), rows={file: frozenset() for file in map_files(MODEL)})

    (problem,) = unserved_routes(MODEL, now, port_offset=0)

    assert "HAProxy does not have 1 of the routes of maps/80-hosts.map (yet), such as a.com" == problem.reason
    assert not has_all(MODEL, now)


def test_only_some_lines_are_parsed_where_that_is_enough() -> None:
    reply = f"{HEAD}shop:web,web-1,0,UP,1,L4OK,,,2,\nshop:web,web-2,0,DOWN,1,L4CON,,,2,\n"

    assert {("shop:web", "web-2")} == parse_statistics(reply, only=",DOWN")[1].keys()
