"""What a port is used for: who was first keeps it, and a newcomer that wants another use of it gets the problem."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from proxy.core.containers.containers import Container
from proxy.core.labels.labels import parse_container
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.model import RoutingModel
from proxy.core.model.model_index import ModelIndex
from proxy.core.model.port_uses import PortUse
from proxy.core.model.service_table import label_specs
from proxy.grammar.certificates import parse_certificate
from tests.builders import make_container, make_model, make_pem, make_settings, with_labels

CERTIFICATES = ProxyCertificates(default=parse_certificate(make_pem("default.example")))
USES = {
    "http": (PortUse.HTTP, {"VIRTUAL_HOST": "{name}.ex:206"}),
    "https": (PortUse.HTTPS, {"VIRTUAL_HOST": "https://{name}.ex:206"}),
    "ws": (PortUse.HTTP, {"VIRTUAL_HOST": "ws://{name}.ex:206"}),
    "wss": (PortUse.HTTPS, {"VIRTUAL_HOST": "wss://{name}.ex:206"}),
    "tcp": (PortUse.TCP, {"TCP_PORTS": "206"}),
    "tcp-tls": (PortUse.TCP_TLS, {"TCP_PORTS": "206/ssl"}),
}
PAIRS = [(one, other) for one, other in itertools.product(USES, USES) if USES[one][0] is not USES[other][0]]


def make(name: str, created: int, **labels: str) -> Container:
    texts = {key: value.format(name=name) for key, value in labels.items()}
    ports = (int(labels["TCP_PORTS"].split("/")[0]),) if "TCP_PORTS" in labels else (8080,)
    return make_container(f"{name}-1", created=created, ports=ports, labels=with_labels(**texts))


def use_of(model: RoutingModel, port: int) -> PortUse | None:
    """Return what a port of the configuration is used for."""
    for frontend in model.frontends:
        if frontend.port == port:
            return PortUse.HTTPS if frontend.is_tls else PortUse.HTTP
    for listener in model.listeners:
        if listener.port == port:
            return PortUse.TCP_TLS if listener.is_tls else PortUse.TCP
    return None


def serve(*containers: Container, **variables: str) -> RoutingModel:
    return make_model(*containers, settings=make_settings(**variables), certificates=CERTIFICATES)


def losers(model: RoutingModel) -> list[str]:
    return [problem.service for problem in model.problems]


@pytest.mark.parametrize(("first", "late"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_who_was_first_keeps_the_port(first: str, late: str) -> None:
    """The names are chosen so that the newcomer comes first by name."""
    alone = serve(make("z", 1, **USES[first][1]))

    model = serve(make("a", 2, **USES[late][1]), make("z", 1, **USES[first][1]))

    assert USES[first][0] == use_of(alone, 206) == use_of(model, 206)
    assert [f for f in alone.frontends if f.port == 206] == [f for f in model.frontends if f.port == 206]
    assert alone.listeners == model.listeners
    assert ["shop:a"] == losers(model)
    assert "206" in model.problems[0].reason


@pytest.mark.parametrize(("first", "late"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_port_goes_to_the_next_when_the_first_one_leaves(first: str, late: str) -> None:
    model = serve(make("a", 2, **USES[late][1]))

    assert (USES[late][0], []) == (use_of(model, 206), losers(model))


def index_of(*containers: Container, held: dict[int, PortUse] | None = None) -> ModelIndex:
    index = ModelIndex(make_settings(), None, CERTIFICATES, held_ports=held)
    index.update(specs_of(*containers))
    return index


def specs_of(*containers: Container) -> dict[str, Any]:
    return label_specs(spec for spec, _ in map(parse_container, containers) if spec)


@pytest.mark.parametrize(("first", "late"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_port_is_kept_by_a_service_that_is_recreated(first: str, late: str) -> None:
    """The new container is younger than the newcomer, and the service has had the port all the time."""
    index = index_of(make("z", 1, **USES[first][1]))
    index.hold_ports()

    index.update(specs_of(make("a", 2, **USES[late][1])))
    index.update(specs_of(make("z", 3, **USES[first][1])))

    assert (USES[first][0], ["shop:a"]) == (use_of(index.model(), 206), losers(index.model()))


def test_port_that_nobody_wants_any_more_is_free() -> None:
    index = index_of(make("z", 1, VIRTUAL_HOST="z.ex:206"))
    index.hold_ports()

    index.update({"shop:z": (), **specs_of(make("a", 2, VIRTUAL_HOST="https://a.ex:206"))})

    assert (PortUse.HTTPS, []) == (use_of(index.model(), 206), losers(index.model()))


@pytest.mark.parametrize("held", [PortUse.HTTP, PortUse.HTTPS])
def test_use_that_haproxy_has_loaded_stays(held: PortUse) -> None:
    index = index_of(make("a", 1, VIRTUAL_HOST="https://a.ex:206"), make("z", 1, VIRTUAL_HOST="z.ex:206"), held={206: held})

    assert held == use_of(index.model(), 206)


FORCE = {"VIRTUAL_HOST": "https://z.ex", "FORCE_SSL": "yes"}


@pytest.mark.parametrize(
    "first", [{"VIRTUAL_HOST": "z.ex"}, {"required": "true"}, FORCE], ids=["host", "default", "redirect"]
)
@pytest.mark.parametrize("late", ["https://a.ex:80", "wss://a.ex:80"])
def test_tls_that_comes_late_leaves_port_80_as_it_is(first: dict[str, str], late: str) -> None:
    model = serve(make("a", 2, VIRTUAL_HOST=late), make("z", 1, **first))

    assert (PortUse.HTTP, ["shop:a"]) == (use_of(model, 80), losers(model))
    assert f"{late}: port 80 is already used without TLS by another service; use another port" == model.problems[0].reason


def test_plain_http_that_comes_late_leaves_port_443_as_it_is() -> None:
    model = serve(make("a", 2, VIRTUAL_HOST="http://a.ex:443"), make("z", 1, VIRTUAL_HOST="https://z.ex"))

    assert (PortUse.HTTPS, ["shop:a"]) == (use_of(model, 443), losers(model))


def test_port_80_is_plain_where_nobody_was_first() -> None:
    model = serve(make("a", 1, VIRTUAL_HOST="https://a.ex:80"), make("z", 1, VIRTUAL_HOST="z.ex"))

    assert (PortUse.HTTP, ["shop:a"]) == (use_of(model, 80), losers(model))


def test_health_check_of_the_proxy_stays_plain() -> None:
    model = serve(make("a", 1, VIRTUAL_HOST="https://a.ex:206"), MONITOR_PORT="206", MONITOR_URI="/ping")

    assert (PortUse.HTTP, ["shop:a"]) == (use_of(model, 206), losers(model))


def test_entry_belongs_to_the_service_that_was_first() -> None:
    model = serve(make("a", 2, VIRTUAL_HOST="x.ex, a.ex"), make("z", 1, VIRTUAL_HOST="x.ex, z.ex"))

    plain = next(frontend for frontend in model.frontends if frontend.port == 80)
    assert {"x.ex": "shop:z", "z.ex": "shop:z", "a.ex": "shop:a"} == {
        route.entry.domain: route.backend for route in plain.routes
    }
    assert ["shop:a"] == losers(model)


def test_with_mode_tcp_the_port_belongs_to_the_service_that_was_first() -> None:
    model = serve(make("a", 2, VIRTUAL_HOST="a.long.ex:206"), make("z", 1, VIRTUAL_HOST="z.ex:206"), MODE="tcp")

    (frontend,) = (frontend for frontend in model.frontends if frontend.port == 206)
    assert ("shop:z", ["shop:a"]) == (frontend.default_backend, losers(model))


WEB = {"VIRTUAL_HOST": "z.ex, https://z.ex"}


@pytest.mark.parametrize(
    ("port", "others", "variables"),
    [
        pytest.param("80", WEB, {}, id="http"),
        pytest.param("80/ssl", WEB, {}, id="http-with-tls"),
        pytest.param("80", FORCE, {}, id="redirects"),
        pytest.param("443", WEB, {}, id="https"),
        pytest.param("443/ssl", WEB, {}, id="https-with-tls"),
        pytest.param("1936", WEB, {}, id="statistics"),
        pytest.param("206", WEB, {"STATS_PORT": "206"}, id="statistics-elsewhere"),
        pytest.param("206", WEB, {"MONITOR_PORT": "206", "MONITOR_URI": "/ping"}, id="health-check"),
        pytest.param("206", {"VIRTUAL_HOST": "z.ex:206"}, {}, id="a-virtual-host"),
    ],
)
def test_tcp_port_that_is_somebody_s_is_told_and_changes_nothing_else(
    port: str, others: dict[str, str], variables: dict[str, str]
) -> None:
    """Even an older service does not get a port that the proxy itself uses."""
    created = 2 if port == "206" and not variables else 0
    web = make("z", 1, **others)

    model = serve(web, make("a", created, TCP_PORTS=port), **variables)

    assert (serve(web, **variables).frontends, ()) == (model.frontends, model.listeners)
    (problem,) = model.problems
    assert ("shop:a", "TCP_PORTS") == (problem.service, problem.setting)


def test_tcp_port_does_not_take_port_80_from_the_default_service() -> None:
    model = serve(make("z", 1, required="true"), make("a", 0, TCP_PORTS="80"))

    assert (PortUse.HTTP, ()) == (use_of(model, 80), model.listeners)
    assert [["z-1"]] == [[server.container for server in backend.servers] for backend in model.backends]
    assert ["the proxy itself uses port 80 for HTTP; use another port"] == [problem.reason for problem in model.problems]


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        (80, "until a service wants it for HTTP: the proxy itself uses port 80 for HTTP; use another port"),
        (443, "until there is a certificate: the proxy itself uses port 443 for HTTPS; use another port"),
    ],
)
def test_port_that_the_proxy_does_not_use_yet_is_balanced_and_told(port: int, reason: str) -> None:
    model = make_model(make("a", 1, TCP_PORTS=str(port)))

    assert PortUse.TCP == use_of(model, port)
    assert [f"port {port} is balanced in TCP mode only {reason}"] == [problem.reason for problem in model.problems]


def test_port_80_goes_to_http_as_soon_as_a_service_wants_it() -> None:
    index = index_of(make("a", 1, TCP_PORTS="80"))
    index.hold_ports()

    index.update(specs_of(make("z", 2, VIRTUAL_HOST="z.ex")))

    assert (PortUse.HTTP, ["shop:a"]) == (use_of(index.model(), 80), losers(index.model()))


def test_force_ssl_does_not_fall_back_to_clear_text_when_the_last_certificate_goes() -> None:
    web = make("z", 1, VIRTUAL_HOST="z.ex, https://z.ex", FORCE_SSL="yes")
    index = index_of(web)
    index.hold_ports()

    index.set_surroundings(None, ProxyCertificates())

    (backend,) = index.model().backends
    assert any(line.startswith("http-request redirect code 301 location https://") for line in backend.profile.lines)
    assert ["https://z.ex needs a certificate, but there is none; set SSL_CERT"] == [p.reason for p in index.problems()]


def test_force_ssl_means_nothing_where_there_was_never_a_certificate() -> None:
    (backend,) = make_model(make("z", 1, VIRTUAL_HOST="z.ex", FORCE_SSL="yes")).backends

    assert not any("redirect" in line for line in backend.profile.lines)
