"""A newcomer cannot take away what protects a service; it goes when every ready container says so."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.containers.containers import Container, Health, State
from proxy.core.labels.labels import parse_container
from proxy.core.labels.specs import BackendSettings
from proxy.core.model.services import Service, group_services
from tests.builders import make_container, make_model, make_settings, with_labels

PROTECTED = {"FORCE_SSL": "true", "HSTS_MAX_AGE": "31536000"}
OPEN = {"FORCE_SSL": "false", "EXCLUDE_BASIC_AUTH": "true", "HSTS_MAX_AGE": "0"}


def member(created: int, labels: dict[str, str], **overrides: Any) -> Container:
    given = with_labels(VIRTUAL_HOST="shop.example", **labels)
    return make_container(f"web-{created}", created=created, labels=given, **overrides)


def service_of(*containers: Container) -> Service:
    (service,) = group_services(spec for spec, _ in map(parse_container, containers) if spec)
    return service


def protection(settings: BackendSettings) -> tuple[bool, bool, str | None]:
    """Return whether the service redirects to https, whether it asks for a password, and its HSTS."""
    return settings.force_ssl, not settings.exclude_basic_auth, settings.hsts_max_age


@pytest.mark.parametrize("newcomer", [OPEN, {}, {"EXCLUDE_BASIC_AUTH": "true"}], ids=["open", "silent", "no-password"])
def test_newcomer_takes_no_protection_away(newcomer: dict[str, str]) -> None:
    service = service_of(member(1, PROTECTED), member(2, newcomer))

    assert (True, True, "max-age=31536000; includeSubDomains") == protection(service.settings)


def test_newcomer_can_add_protection() -> None:
    assert (True, True, "max-age=31536000; includeSubDomains") == protection(
        service_of(member(1, OPEN), member(2, PROTECTED)).settings
    )


def test_protection_goes_when_every_container_says_so() -> None:
    assert (False, False, "max-age=0; includeSubDomains") == protection(
        service_of(member(1, OPEN), member(2, OPEN)).settings
    )


@pytest.mark.parametrize(
    "gone",
    [{"state": State.STOPPING}, {"state": State.PAUSED}, {"health": Health.UNHEALTHY}],
    ids=["stops", "paused", "ill"],
)
def test_protection_goes_with_the_last_ready_container_that_asks_for_it(gone: dict[str, Any]) -> None:
    assert (False, False, "max-age=0; includeSubDomains") == protection(
        service_of(member(1, PROTECTED, **gone), member(2, OPEN)).settings
    )


def test_every_container_has_a_say_where_none_is_ready() -> None:
    containers = [member(1, PROTECTED, state=State.PAUSED), member(2, OPEN, health=Health.STARTING)]

    assert (True, True, "max-age=31536000; includeSubDomains") == protection(service_of(*containers).settings)


def test_another_service_with_the_same_host_takes_no_protection_away() -> None:
    other = make_container("api-1", labels=with_labels(VIRTUAL_HOST="shop.example", **OPEN))

    service = service_of(member(1, PROTECTED), other)

    assert ("shop:api", "shop:web") == service.labels
    assert (True, True, "max-age=31536000; includeSubDomains") == protection(service.settings)


def test_password_of_the_backend_stays() -> None:
    containers = member(1, {}), member(2, {"EXCLUDE_BASIC_AUTH": "yes"})

    (backend,) = make_model(*containers, settings=make_settings(HTTP_BASIC_AUTH="alice:secret")).backends

    assert [line for line in backend.profile.lines if line.startswith("http-request auth")]


@pytest.mark.parametrize("order", [1, -1])
def test_redirect_of_simple_routing_stays(order: int) -> None:
    labels = {"aliyun.routing.port_80": "shop.example"}
    old = make_container("web-1", created=1, labels={**labels, "aliyun.routing.force_https": "true"})
    new = make_container("web-2", created=2, labels={**labels, "aliyun.routing.force_https": "false"})

    (backend,) = make_model(*(old, new)[::order], settings=make_settings(PROXY_MODE="acsrouting")).backends

    assert [line for line in backend.profile.lines if line.startswith("http-request redirect")]
