"""The backend of a service, and the parts of a service that cannot be served."""

from __future__ import annotations

import pytest

from proxy.core.containers.containers import State
from proxy.core.labels.labels import parse_container
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.model import Backend, RoutingModel
from proxy.core.model.model_index import ModelIndex
from proxy.core.model.service_table import label_specs
from proxy.grammar.certificates import parse_certificate
from tests.builders import make_container, make_model, make_pem, make_settings, one_line, with_labels


def backend_of(model: RoutingModel) -> Backend:
    (backend,) = model.backends
    return backend


def reasons_of(model: RoutingModel) -> list[tuple[str, str]]:
    return [(problem.container or problem.service, problem.reason) for problem in model.problems]


def test_container_without_a_reachable_address_is_told_and_the_others_serve() -> None:
    lost = make_container("web-2", virtual_host="a.com", address="")

    model = make_model(make_container("web-1", virtual_host="a.com"), lost)

    assert 1 == len(backend_of(model).servers)
    assert ["web-2"] == [name for name, _ in reasons_of(model)]


def test_stopped_container_keeps_the_route_of_its_service_without_being_a_server() -> None:
    specs = [parse_container(make_container(virtual_host="a.com", state=State.STOPPED))[0]]
    index = ModelIndex(make_settings(), None, ProxyCertificates())

    index.update(label_specs(filter(None, specs)))

    (frontend,) = index.model().frontends
    assert ((), ["http://a.com"]) == (backend_of(index.model()).servers, [str(route.entry) for route in frontend.routes])


def test_compression_is_on_for_the_types_that_are_named() -> None:
    labels = with_labels(VIRTUAL_HOST="a.com", GZIP_COMPRESSION_TYPE="text/html text/css")

    lines = backend_of(make_model(make_container(labels=labels))).profile.lines

    assert {"compression algo gzip", "compression type text/html text/css"} <= set(lines)


@pytest.mark.parametrize(
    ("variables", "virtual_host", "reason"),
    [
        pytest.param({}, "https://a.com", "https://a.com needs a certificate, but there is none", id="no-certificate"),
        pytest.param({}, "a.com:1936", "the statistics page uses this port (STATS_PORT)", id="statistics"),
        pytest.param(
            {"ADDITIONAL_BACKEND_shop:web": "server x 10.0.0.1:80"},
            "a.com",
            "ADDITIONAL_BACKEND_shop:web has the same name",
            id="name-taken",
        ),
    ],
)
def test_entry_that_cannot_be_served_is_told(variables: dict[str, str], virtual_host: str, reason: str) -> None:
    model = make_model(make_container(virtual_host=virtual_host), settings=make_settings(**variables))

    assert ["shop:web"] == [name for name, _ in reasons_of(model)]
    assert reason in reasons_of(model)[0][1]


@pytest.mark.parametrize(
    ("port", "variables", "reason"),
    [
        pytest.param("1936", {}, "the statistics page uses port 1936 (STATS_PORT)", id="statistics"),
        pytest.param("81", {"MONITOR_PORT": "81", "MONITOR_URI": "/ping"}, "health check uses port 81", id="monitor"),
        pytest.param("80", {}, "port 80 is used by a virtual host", id="virtual-host"),
    ],
)
def test_tcp_port_that_is_in_use_is_told(port: str, variables: dict[str, str], reason: str) -> None:
    web = make_container("web-1", virtual_host="a.com")
    database = make_container("db-1", labels=with_labels(TCP_PORTS=port))

    model = make_model(web, database, settings=make_settings(**variables))

    assert () == model.listeners
    assert any(reason in told for _, told in reasons_of(model)), reasons_of(model)


PEMS = {name: make_pem(f"{name}.example") for name in ("own", "first", "second")}


@pytest.mark.parametrize(
    ("own", "default_of_second", "expected"),
    [
        pytest.param(True, True, "own.example", id="the proxy's own"),
        pytest.param(False, True, "second.example", id="a service's default"),
        pytest.param(False, False, "first.example", id="first by name"),
    ],
)
def test_certificate_that_answers_without_a_known_name(own: bool, default_of_second: bool, expected: str) -> None:
    second = "DEFAULT_SSL_CERT" if default_of_second else "SSL_CERT"
    containers = (
        make_container("a-1", labels=with_labels(VIRTUAL_HOST="https://a.com", SSL_CERT=one_line(PEMS["first"]))),
        make_container("b-1", labels=with_labels(VIRTUAL_HOST="https://b.com", **{second: one_line(PEMS["second"])})),
    )
    certificates = ProxyCertificates(default=parse_certificate(PEMS["own"]) if own else None)

    default, *_ = make_model(*containers, certificates=certificates).certificates

    assert (expected,) == default.certificate.names


def test_folder_of_certificates_overrides_those_of_services() -> None:
    labels = with_labels(VIRTUAL_HOST="https://a.com", SSL_CERT=one_line(PEMS["first"]))
    certificates = ProxyCertificates(default=parse_certificate(PEMS["own"]), exclusive=True)

    model = make_model(make_container(labels=labels), certificates=certificates)

    assert [("own.example",)] == [stored.certificate.names for stored in model.certificates]
