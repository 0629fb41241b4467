"""Values for tests of simple routing: settings, containers and models of that mode."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.core.containers.containers import Container
from proxy.core.labels.simple_routing import parse_container
from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.model import RoutingModel
from proxy.settings import Settings
from tests.builders import make_container, make_model, make_settings

CLUSTER = "cd3dfe269056e4543acbec5e19b01c074"
"""The cluster in the seed's examples, in cn-beijing."""


def simple_settings(**variables: str) -> Settings:
    """Return the settings of PROXY_MODE=acsrouting that the program makes of these variables."""
    return make_settings(PROXY_MODE="acsrouting", **variables)


def simple_container(name: str = "web-1", addresses: str = "www.example.com", **labels: str) -> Container:
    """Return a container whose port 80 serves `addresses`. `probe__url` sets the label `aliyun.probe.url`, and so on."""
    named = {f"aliyun.{key.replace('__', '.')}": value for key, value in labels.items()}
    return make_container(name, labels={"aliyun.routing.port_80": addresses, **named})


def parse_simple(labels: Mapping[str, str], **variables: str) -> tuple[tuple[ContainerSpec, ...], tuple[str, ...]]:
    """Return what a container with these labels asks for, and its problems as texts."""
    settings = simple_settings(**variables).routing.simple
    specs, problems = parse_container(make_container(labels=dict(labels)), settings)
    return specs, tuple(map(str, problems))


def simple_model(*containers: Container, **variables: str) -> RoutingModel:
    """Return the model of `containers`, without the problems of their labels."""
    return make_model(*containers, settings=simple_settings(**variables))
