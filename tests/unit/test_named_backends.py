"""The operator's lines name services as `dockercloud/haproxy` did, or as `proxy routes` shows them."""

from __future__ import annotations

import pytest

from proxy.core.labels.labels import parse_container
from proxy.core.model.matching import Row
from proxy.core.model.model import RoutingModel
from proxy.core.model.named_backends import NamedBackends, NamedChoice, parse_choice
from proxy.core.model.services import Service, group_services
from proxy.errors import THE_PROXY
from tests.builders import make_container, make_model, make_settings, with_labels

LINES = {
    "use_backend SERVICE_web if { path /a }": NamedChoice(
        directive="use_backend", name="SERVICE_web", condition="if { path /a }"
    ),
    "use_backend  shop:web": NamedChoice(directive="use_backend", name="shop:web"),
    "default_backend default_service": NamedChoice(directive="default_backend", name="default_service"),
    "use_backend old if { path /a }": None,
    "use_backend stats if { path /a }": None,
    "use_backend %[req.hdr(x)]": None,
    "http-request set-header A use_backend": None,
}


@pytest.mark.parametrize(("line", "expected"), LINES.items())
def test_names_of_services_are_looked_up_and_others_are_not(line: str, expected: NamedChoice | None) -> None:
    assert expected == parse_choice(line, make_settings(ADDITIONAL_BACKEND_old="server a 192.0.2.1:80").routing)


def test_name_in_tcp_mode_is_not_looked_up() -> None:
    """There are no maps in TCP mode."""
    assert parse_choice("use_backend shop:web", make_settings(MODE="tcp").routing) is None


def services(*names: str, **labels: str) -> tuple[Service, ...]:
    """Return services by `project:service`; each has its own host."""
    pairs = [name.split(":") for name in names]
    containers = [
        make_container(f"{project}-{service}-1", project=project, service=service, labels=with_labels(**labels))
        for project, service in pairs
    ]
    specs = [spec for container in containers for spec in parse_container(container)[:1] if spec]
    return tuple(service for spec in specs for service in group_services([spec]))


def find(name: str, *every: Service, default: str | None = None) -> str | None:
    """Return the service that a name means for a proxy of the project `shop`."""
    named = NamedBackends(make_settings(EXTRA_FRONTEND_SETTINGS_80=f"use_backend {name}").routing)
    for service in every:
        named.add(service, "shop")
    by_name = {service.name: service.name for service in every}
    return named.find(80, by_name.get(default)).get(name)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "name",
    [
        "shop:web",
        "web",
        "WEB",
        "SERVICE_web",
        "SERVICE_WEB",
        "SERVICE_shop_web",
        "SERVICE_shop-web",
        "shop:web::0123456789ab",
    ],
)
def test_service_has_these_names(name: str) -> None:
    assert "shop:web" == find(name, *services("blog:db", "shop:web", required="true"))


def test_service_of_the_proxy_s_project_comes_first() -> None:
    every = services("blog:web", "shop:web", "art:web", required="true")

    assert ["shop:web", "blog:web"] == [find("SERVICE_web", *every), find("SERVICE_blog_web", *every)]


def test_exact_name_comes_before_any_other_form() -> None:
    every = services(":web", "shop:web", required="true")

    assert "web" == find("web", *every)


def test_merged_services_are_found_under_each_name() -> None:
    """They have one backend, which is called like the first of them."""
    containers = [make_container(f"{name}-1", virtual_host="x.com") for name in ("old", "new")]
    merged = group_services(spec for container in containers for spec in parse_container(container)[:1] if spec)

    assert ["shop:new"] * 3 == [find(name, *merged) for name in ("SERVICE_old", "shop:old", "SERVICE_new")]


def test_default_service_is_the_one_without_virtual_hosts() -> None:
    every = services("shop:any", required="true")

    assert ["shop:any", None] == [find("default_service", *every, default=default) for default in ("shop:any", None)]


def rows_of(model: RoutingModel) -> tuple[Row, ...]:
    return next(frontend.tables.choices for frontend in model.frontends if frontend.port == 80)


def test_name_leads_to_the_backend_with_the_present_settings() -> None:
    settings = make_settings(EXTRA_FRONTEND_SETTINGS_80="use_backend SERVICE_web if { path /a }")
    model = make_model(make_container(labels=with_labels(VIRTUAL_HOST="a.com", COOKIE="SRV insert")), settings=settings)

    assert (("nSERVICE_web", model.backends[0].name),) == rows_of(model)
    assert model.backends[0].name.startswith("shop:web::")


def test_name_of_nobody_is_told() -> None:
    settings = make_settings(EXTRA_FRONTEND_SETTINGS_80="use_backend SERVICE_wbe if { path /a }")

    model = make_model(make_container(virtual_host="a.com"), settings=settings)

    assert () == rows_of(model)
    (problem,) = model.problems
    assert (THE_PROXY, "EXTRA_FRONTEND_SETTINGS_80", "SERVICE_wbe") == (problem.service, problem.setting, problem.value)
