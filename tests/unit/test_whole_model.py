"""The whole routing model: order does not matter, conflicts are reported, settings reach backends and frontends."""

import random
from pathlib import Path
from typing import Any

import pytest

from proxy.core.containers.containers import Attachment, Container, Health, ProxyContainer, State
from proxy.core.labels.labels import parse_container
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.model import RoutingModel, Server
from proxy.core.model.whole_model import build_routing_model
from proxy.grammar.certificates import parse_certificate
from tests.builders import make_container, make_model, make_pem, make_renderer, make_settings, one_line, with_labels

CERTIFICATES = ProxyCertificates(default=parse_certificate(make_pem("default.example")))

SHOP = (
    make_container("web-1", created=1, labels=with_labels(VIRTUAL_HOST="shop.com, *.shop.com/*.js", COOKIE="SRV insert")),
    make_container("web-2", created=2, labels=with_labels(VIRTUAL_HOST="shop.com, *.shop.com/*.js", BALANCE="source")),
    make_container(
        "api-1", labels=with_labels(VIRTUAL_HOST="https://shop.com/api/*", SSL_CERT=one_line(make_pem("shop.com")))
    ),
    make_container("old-1", labels=with_labels(VIRTUAL_HOST="x.com", FAILOVER="yes")),
    make_container("new-1", labels=with_labels(VIRTUAL_HOST="x.com")),
    make_container("clash-1", labels=with_labels(VIRTUAL_HOST="shop.com, y.com")),
    make_container("db-1", labels=with_labels(TCP_PORTS="9000"), ports=(9000,)),
    make_container("db2-1", labels=with_labels(TCP_PORTS="9000/ssl, 9001"), ports=(9000, 9001)),
    make_container("rest-1", labels=with_labels(required="true")),
    make_container("off-1", labels=with_labels(VIRTUAL_HOST="off.com"), ports=()),
)


def make_model_of_project(project: str, *containers: Container) -> RoutingModel:
    """Return the model that a proxy of `project` builds."""
    specs = [spec for spec, _ in map(parse_container, containers) if spec]
    return build_routing_model(specs, ProxyContainer(id="0" * 64, project=project), ProxyCertificates(), make_settings())


def files_of(model: RoutingModel) -> dict[str, str]:
    return dict(make_renderer(make_settings(), Path("/state")).render(model).files)


@pytest.mark.parametrize("seed", range(10), ids=lambda seed: f"shuffle-{seed}")
def test_order_of_containers_leaves_no_trace(seed: int) -> None:
    shuffled = random.Random(seed).sample(SHOP, len(SHOP))

    model, reference = make_model(*shuffled), make_model(*SHOP)

    assert reference == model
    assert files_of(reference) == files_of(model)


def test_two_services_that_want_one_entry_are_told_of() -> None:
    model = make_model(make_container("a-1", virtual_host="x.com"), make_container("b-1", virtual_host="x.com, y.com"))

    (frontend,) = model.frontends
    assert [("x.com", "shop:a"), ("y.com", "shop:b")] == [(r.entry.domain, r.backend) for r in frontend.routes]
    assert [
        "service shop:b: VIRTUAL_HOST: http://x.com is already served by shop:a; change one of them, "
        "or give both the same VIRTUAL_HOST to make them one service"
    ] == [str(problem) for problem in model.problems]


def test_service_of_the_higher_weight_has_the_entry() -> None:
    model = make_model(
        make_container("a-1", virtual_host="x.com"),
        make_container("b-1", labels=with_labels(VIRTUAL_HOST="x.com, y.com", VIRTUAL_HOST_WEIGHT="1")),
    )

    (frontend,) = model.frontends
    assert {"shop:b"} == {route.backend for route in frontend.routes}


def test_port_with_and_without_tls_is_a_conflict() -> None:
    model = make_model(
        make_container("a-1", virtual_host="x.com:8443"),
        make_container("b-1", virtual_host="https://y.com:8443"),
        certificates=CERTIFICATES,
    )

    frontend = next(frontend for frontend in model.frontends if frontend.port == 8443)
    assert (True, ["shop:b"]) == (frontend.is_tls, [route.backend for route in frontend.routes])
    assert ["shop:a"] == [problem.service for problem in model.problems]


def test_entry_with_tls_needs_a_certificate() -> None:
    model = make_model(make_container(virtual_host="https://x.com"))

    assert ["https://x.com needs a certificate, but there is none; set SSL_CERT"] == [p.reason for p in model.problems]


def test_port_of_the_statistics_is_not_for_virtual_hosts() -> None:
    model = make_model(make_container(virtual_host="x.com:1936"))

    assert [80] == [frontend.port for frontend in model.frontends]
    assert ["http://x.com:1936: the statistics page uses this port (STATS_PORT)"] == [p.reason for p in model.problems]


def test_force_ssl_gives_way_to_a_service_that_has_the_plain_entry() -> None:
    model = make_model(
        make_container("a-1", labels=with_labels(VIRTUAL_HOST="https://x.com", FORCE_SSL="yes")),
        make_container("b-1", virtual_host="x.com"),
        certificates=CERTIFICATES,
    )

    plain = next(frontend for frontend in model.frontends if frontend.port == 80)
    assert ["shop:b"] == [route.backend for route in plain.routes]
    assert () == model.problems


def test_container_without_a_port_is_told_of_and_its_service_is_there() -> None:
    model = make_model(make_container(virtual_host="x.com", ports=()))

    assert [()] == [backend.servers for backend in model.backends]
    assert [
        "has no TCP port to route to; name one with the label aliyun.proxy.PORTS, with `expose` or `ports`, "
        "or with EXPOSE in its image"
    ] == [problem.reason for problem in model.problems]


def test_services_with_equal_settings_share_a_profile() -> None:
    model = make_model(
        make_container("a-1", labels=with_labels(VIRTUAL_HOST="a.com", BALANCE="source")),
        make_container("b-1", labels=with_labels(VIRTUAL_HOST="b.com", BALANCE="source")),
        make_container("c-1", labels=with_labels(VIRTUAL_HOST="c.com")),
    )

    first, second, third = (backend.profile.name for backend in model.backends)
    assert first == second != third


def server_of(container: Container) -> Server:
    (backend,) = make_model(container).backends
    (server,) = backend.servers
    return server


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        pytest.param({}, ("ready", ""), id="running"),
        pytest.param({"health": Health.HEALTHY}, ("ready", ""), id="healthy"),
        pytest.param({"health": Health.UNHEALTHY}, ("maint", "its health check says unhealthy"), id="unhealthy"),
        pytest.param({"health": Health.STARTING}, ("maint", "its health check has not passed yet"), id="starting"),
        pytest.param({"state": State.PAUSED}, ("maint", "is paused"), id="paused"),
        pytest.param({"state": State.STOPPING}, ("maint", "is stopping"), id="stopping"),
    ],
)
def test_server_gets_traffic_only_when_its_container_can_answer(
    overrides: dict[str, Any], expected: tuple[str, str]
) -> None:
    server = server_of(make_container(virtual_host="x.com", **overrides))

    assert expected == (server.state, server.reason)


def test_recreated_container_is_another_server() -> None:
    first, second = (server_of(make_container(virtual_host="x.com", id=number * 64)) for number in "12")

    assert first.name != second.name


def test_default_certificate_comes_first() -> None:
    model = make_model(*SHOP, certificates=CERTIFICATES)

    assert ["default/cert0.pem", "shop~api.pem"] == [stored.name for stored in model.certificates]


def test_service_called_like_the_default_certificate_of_another_has_a_file_of_its_own() -> None:
    first, second = make_pem("x.example"), make_pem("default.x.example")
    one = make_container("x", project="", labels=with_labels(DEFAULT_SSL_CERT=one_line(first), required="true"))
    other = make_container("default-1", project="x", labels=with_labels(SSL_CERT=one_line(second), VIRTUAL_HOST="x.com"))

    model = make_model(one, other, settings=make_settings(ADDITIONAL_SERVICES="*"))

    files = {stored.name: stored.certificate.pem.reveal() for stored in model.certificates}
    assert (first, first) == (files.pop("default/cert0.pem"), files.pop("x~default.pem"))
    assert [second] == list(files.values())


def test_services_whose_names_only_look_alike_are_two() -> None:
    """The name of a project or service that does not come from Compose may contain a colon."""
    one = make_container("one-1", project="a:b", service="c", virtual_host="one.example")
    other = make_container("other-1", project="a", service="b:c", virtual_host="other.example")

    model = make_model(one, other, settings=make_settings(ADDITIONAL_SERVICES="*"))

    assert {("one-1",), ("other-1",)} == {
        tuple(server.container for server in backend.servers) for backend in model.backends
    }


def test_certificates_of_services_are_not_served_beside_those_of_a_folder() -> None:
    exclusive = ProxyCertificates(default=CERTIFICATES.default, exclusive=True)

    assert ["default/cert0.pem"] == [stored.name for stored in make_model(*SHOP, certificates=exclusive).certificates]


def test_container_outside_the_scope_is_told_of_without_a_problem() -> None:
    container = make_container(project="blog", virtual_host="x.com")

    model = make_model_of_project("shop", container)

    assert ((), ()) == (model.backends, model.problems)
    assert ["is outside the scope of project 'shop'; add blog:web to ADDITIONAL_SERVICES, or set it to *"] == [
        note.reason for note in model.notes
    ]


NETWORKS = tuple(Attachment(network=name, address=f"10.0.{number}.2") for number, name in enumerate(("a", "b", "c")))


@pytest.mark.parametrize(
    ("labels", "variables", "expected"),
    [
        pytest.param({}, {}, "10.0.0.2", id="first-by-name"),
        pytest.param({}, {"PROXY_NETWORK": "b"}, "10.0.1.2", id="variable"),
        pytest.param({"NETWORK": "c"}, {"PROXY_NETWORK": "b"}, "10.0.2.2", id="label-wins"),
    ],
)
def test_network_over_which_a_container_is_reached(labels: dict[str, str], variables: dict[str, str], expected: str) -> None:
    container = make_container(address="", networks=NETWORKS, labels=with_labels(VIRTUAL_HOST="x.com", **labels))

    (backend,) = make_model(container, settings=make_settings(**variables)).backends

    assert [expected] == [server.address for server in backend.servers]
