"""After any changes in any order, the running HAProxy equals one that starts from the last configuration.

The sequences are random but repeatable: each has a seed.
"""

from __future__ import annotations

import random
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from proxy.core.containers.containers import Container, State
from tests.builders import make_container, make_pem, make_settings, one_line, with_labels
from tests.haproxy.places import Place, Where
from tests.haproxy.reconciled import Reconciled, differences
from tests.ports import free_offset

pytestmark = pytest.mark.haproxy

STEPS = 40
TCP_PORT = 6379
BACKEND_PORT = 9
HOSTS = (
    "{0}.example",
    "{0}.example, www.{0}.example",
    "*.{0}.example",
    "*{0}.example/static/*",
    "shared.example/{0}",
    "shared.example/{0}/*",
    "shared.example/*/{0}/*.php",
    "*/{0}/*",
    "ws://{0}.example",
    "shared.example/{0}, ws://shared.example/{0}/socket",
    "https://{0}.example",
    "https://*.{0}.example/{0}",
    "*",
)
NAMING_LINES = "use_backend SERVICE_api if { path_beg /api }, default_backend default_service"
"""What these names mean changes with the services."""
NAMES = ("api", "blog", "cart", "docs", "edge")
SETTING_SETS = (
    {"BALANCE": "leastconn"},
    {"COOKIE": "SRV insert indirect nocache"},
    {"FORCE_SSL": "yes", "HSTS_MAX_AGE": "60"},
    {"HTTP_CHECK": "GET /health", "OPTION": "httpclose"},
    {"FAILOVER": "yes", "HEALTH_CHECK": "check inter 1s"},
)
RELOADS_ALLOWED = ("settings that HAProxy has not loaded",)
"""A profile that no service has used since the last reload is added by one."""


@dataclass(slots=True)
class Shop:
    """The containers of a few services, and the changes that can happen to them."""

    chance: random.Random
    services: dict[str, list[Container]] = field(default_factory=dict)
    created: int = 0

    def containers(self) -> list[Container]:
        """Return all running containers. One service is always there: it keeps the ports and the default certificate."""
        labels = with_labels(
            VIRTUAL_HOST="always.example, https://always.example",
            SSL_CERT=one_line(make_pem("always.example")),
            TCP_PORTS=str(TCP_PORT),
        )
        always = make_container("always-1", ports=(BACKEND_PORT, TCP_PORT), labels=labels)
        return [always, *(container for group in self.services.values() for container in group)]

    def change(self) -> None:
        """Make one random change."""
        name = self.chance.choice(NAMES)
        if name not in self.services:
            self.services[name] = [self._make(name, self._labels(name))]
            return
        group = self.services[name]
        steps = (self._remove, self._relabel, self._scale_up, self._scale_down, self._recreate, self._pause, self._move)
        self.chance.choice(steps)(name, group)

    def _make(self, name: str, labels: dict[str, str]) -> Container:
        self.created += 1
        return make_container(
            f"{name}-{self.created}",
            ports=(BACKEND_PORT, TCP_PORT),
            address=f"127.0.0.{self.chance.randint(2, 9)}",
            created=self.created,
            service=name,
            labels=labels,
        )

    def _labels(self, name: str) -> dict[str, str]:
        labels = {"VIRTUAL_HOST": self.chance.choice(HOSTS).format(name)}
        if self.chance.random() < 0.3:
            labels["VIRTUAL_HOST_WEIGHT"] = str(self.chance.randint(-2, 3))
        if self.chance.random() < 0.3:
            labels["WEIGHT"] = str(self.chance.choice((0, 10, 100, 200)))
        if self.chance.random() < 0.4:
            labels.update(self.chance.choice(SETTING_SETS))
        if self.chance.random() < 0.2:
            labels["DEFAULT_SSL_CERT"] = one_line(make_pem(f"{name}.example", str(self.chance.randint(3, 4))))
        if self.chance.random() < 0.3:
            labels["SSL_CERT"] = one_line(make_pem(f"{name}.example", str(self.chance.randint(1, 2))))
        if self.chance.random() < 0.3:
            labels["TCP_PORTS"] = str(TCP_PORT)
        if self.chance.random() < 0.1:
            del labels["VIRTUAL_HOST"]
            labels["required"] = "true"
        return dict(with_labels(**labels))

    def _remove(self, name: str, group: list[Container]) -> None:
        del self.services[name]

    def _relabel(self, name: str, group: list[Container]) -> None:
        labels = self._labels(name)
        self.services[name] = [self._make(name, labels) for _ in group]

    def _scale_up(self, name: str, group: list[Container]) -> None:
        group.append(self._make(name, dict(group[0].labels)))

    def _scale_down(self, name: str, group: list[Container]) -> None:
        group.pop(self.chance.randrange(len(group)))
        if not group:
            del self.services[name]

    def _recreate(self, name: str, group: list[Container]) -> None:
        self.services[name] = [self._make(name, dict(container.labels)) for container in group]

    def _pause(self, name: str, group: list[Container]) -> None:
        container = group[0]
        group[0] = replace(container, state=State.RUNNING if container.state is State.PAUSED else State.PAUSED)

    def _move(self, name: str, group: list[Container]) -> None:
        group[0] = replace(group[0], address=f"127.0.0.{self.chance.randint(2, 9)}")


@pytest.mark.parametrize(
    ("seed", "where"), [*((seed, Where.OWN_ENGINE) for seed in range(4)), (4, Where.ROUTED), (5, Where.PUBLISHED)]
)
def test_random_changes_leave_what_a_fresh_start_would_have(
    haproxy_binary: str, tmp_path: Path, seed: int, where: Where
) -> None:
    shop = Shop(random.Random(seed))
    place = Place(where, ExitStack())
    offset = free_offset(80, 443, 1936, TCP_PORT)
    settings = make_settings(
        PROXY_PORT_OFFSET=str(offset), ADDITIONAL_SERVICES="*", EXTRA_FRONTEND_SETTINGS_80=NAMING_LINES, **place.variables
    )
    reconciled = Reconciled(haproxy_binary, tmp_path / "state", settings, place)
    with reconciled.run(shop.containers()):
        for _ in range(STEPS):
            shop.change()
            reconciled.apply(shop.containers(), seconds=shop.chance.choice((0.1, 1.0, 20.0)))
        reconciled.settle()

        reported = reconciled.report()

    unexpected = [reason for reason in reconciled.reload_reasons() if not any(text in reason for text in RELOADS_ALLOWED)]
    (tmp_path / "fresh").mkdir()
    assert [] == differences(reported, reconciled.report_fresh(haproxy_binary, tmp_path / "fresh"))
    assert [] == unexpected or not reconciled.takes_backends_at_runtime
