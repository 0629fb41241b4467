"""The model that is kept up to date equals the one that is built anew, whatever changes led to it."""

from __future__ import annotations

import random

import pytest

from proxy.core.containers.containers import Container, State
from proxy.core.labels.labels import parse_container
from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.model import RoutingModel
from proxy.core.model.model_index import ModelIndex
from proxy.core.model.whole_model import build_routing_model
from tests.builders import make_container, make_pem, make_settings, one_line, with_labels

HOSTS = ("a.com", "a.com/x", "*.com", "https://a.com", "a.com, b.com", "b.com:81", "*", "ws://a.com", "a.com/*.js")
CONTESTED = ("https://b.com:81", "wss://b.com:9000", "c.com:9000", "https://c.com:80", "http://a.com:443")
OTHERS = (
    {"TCP_PORTS": "9000"},
    {"TCP_PORTS": "9000/ssl, 80"},
    {"TCP_PORTS": "81"},
    {"TCP_PORTS": "81/ssl, 443"},
    {"required": "true"},
    {"VIRTUAL_HOST": "a.com", "VIRTUAL_HOST_WEIGHT": "3"},
    {"VIRTUAL_HOST": "https://a.com", "FORCE_SSL": "yes", "SSL_CERT": one_line(make_pem("a.com"))},
    {"VIRTUAL_HOST": "b.com", "DEFAULT_SSL_CERT": one_line(make_pem("b.com"))},
)
LABELS = (*({"VIRTUAL_HOST": hosts} for hosts in (*HOSTS, *CONTESTED)), *OTHERS)
SERVICES = [f"s{number}" for number in range(7)]
CHANGES = 60


def draw_specs(rng: random.Random, service: str) -> tuple[ContainerSpec, ...]:
    """Return the containers of a service after a random change; empty if the service is gone."""
    containers = [draw_container(rng, f"{service}-{number}") for number in range(rng.choice((0, 1, 1, 2)))]
    return tuple(spec for spec, _ in map(parse_container, containers) if spec)


def draw_container(rng: random.Random, name: str) -> Container:
    state = rng.choice((State.RUNNING, State.RUNNING, State.STOPPING))
    ports = rng.choice(((80,), (80, 9000), ()))
    return make_container(name, ports=ports, state=state, created=rng.randrange(3), labels=with_labels(**rng.choice(LABELS)))


def build_anew(specs: dict[str, tuple[ContainerSpec, ...]], **variables: str) -> RoutingModel:
    every = [spec for group in specs.values() for spec in group]
    return build_routing_model(every, None, ProxyCertificates(), make_settings(**variables))


NAMES = {
    "EXTRA_FRONTEND_SETTINGS_80": "use_backend SERVICE_s1 if { path /1 }, default_backend default_service",
    "EXTRA_FRONTEND_SETTINGS_443": "use_backend shop:s2 if { path /2 }",
}


@pytest.mark.parametrize(
    "variables",
    [{}, {"MODE": "tcp"}, {"FORCE_DEFAULT_BACKEND": "no"}, NAMES],
    ids=["http", "tcp", "no-default", "names"],
)
@pytest.mark.parametrize("seed", range(8), ids=lambda seed: f"seed-{seed}")
def test_index_comes_to_what_is_built_anew(seed: int, variables: dict[str, str]) -> None:
    rng = random.Random(seed)
    index = ModelIndex(make_settings(**variables), None, ProxyCertificates())
    specs: dict[str, tuple[ContainerSpec, ...]] = {}

    for _ in range(CHANGES):
        changed = {f"shop:{name}": draw_specs(rng, name) for name in rng.sample(SERVICES, rng.randrange(1, 4))}
        specs |= changed
        change = index.update(changed)

        anew = build_anew(specs, **variables)
        assert anew == index.model()
        assert anew.count_default_checks() == change.default_checks


@pytest.mark.parametrize("seed", range(8), ids=lambda seed: f"seed-{seed}")
def test_nothing_differs_exactly_when_the_model_is_the_same(seed: int) -> None:
    rng = random.Random(seed)
    index = ModelIndex(make_settings(), None, ProxyCertificates())

    for _ in range(CHANGES):
        name = rng.choice(SERVICES)
        before = index.model()
        change = index.update({f"shop:{name}": draw_specs(rng, name)})

        after = index.model()
        assert bool(change) == (
            before.backends != after.backends
            or before.listeners != after.listeners
            or tables(before) != tables(after)
            or before.certificates != after.certificates
        )


def tables(model: RoutingModel) -> list[object]:
    """Return what of the frontends stands in the configuration and the maps."""
    return [(frontend.port, frontend.is_tls, frontend.tables) for frontend in model.frontends]
