"""Whatever happens to a real HAProxy and to the controller beside it, HAProxy has exactly the model when things calm down.

The same idea as in `unit/test_transaction.py`, through real processes, sockets and files. A seed names a course of events.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.core.containers.containers import Container
from proxy.errors import CheckNotRunError, StateError
from tests.builders import make_container, make_pem, make_settings, one_line, with_labels
from tests.haproxy.reconciled import Reconciled, differences
from tests.ports import free_offset

pytestmark = pytest.mark.haproxy

STEPS = 25
TCP_PORT = 6379
BACKEND_PORT = 9
HOSTS = ("{0}.example", "*.{0}.example", "shared.example/{0}/*", "{0}.example, https://{0}.example")
SETTING_SETS: tuple[dict[str, str], ...] = ({}, {"BALANCE": "leastconn"}, {"WEIGHT": "7"}, {"COOKIE": "SRV insert indirect"})
BROKEN = "retries many"


class Events:
    """What may happen, at random but repeatable."""

    def __init__(self, chance: random.Random, reconciled: Reconciled) -> None:
        self._chance = chance
        self._reconciled = reconciled
        self._services: dict[str, list[Container]] = {}
        self._created = 0
        self.every: tuple[Callable[[], None], ...] = (
            self.change,
            self.change,
            self.change,
            reconciled.kill_haproxy,
            reconciled.restart_controller,
            self.change_by_hand,
            self.fail_disk,
            self.kill_check,
            reconciled.mend,
        )

    def containers(self) -> list[Container]:
        labels = with_labels(
            VIRTUAL_HOST="always.example, https://always.example",
            SSL_CERT=one_line(make_pem("always.example")),
            TCP_PORTS=str(TCP_PORT),
        )
        always = make_container("always-1", ports=(BACKEND_PORT, TCP_PORT), labels=labels)
        return [always, *(container for group in self._services.values() for container in group)]

    def happen(self) -> None:
        """Let one thing happen."""
        self._chance.choice(self.every)()

    def change(self) -> None:
        """Let a service start, change, grow or stop."""
        name = self._chance.choice(("api", "blog", "cart"))
        if name in self._services and self._chance.random() < 0.4:
            del self._services[name]
            return
        labels = {"VIRTUAL_HOST": self._chance.choice(HOSTS).format(name), **self._chance.choice(SETTING_SETS)}
        if self._chance.random() < 0.15:
            labels["EXTRA_SETTINGS"] = BROKEN
        self._services[name] = [self._make(name, labels) for _ in range(self._chance.randint(1, 2))]

    def change_by_hand(self) -> None:
        """Change something over the socket that no event tells of."""
        send = self._reconciled.send
        commands = (
            "set server {0} weight 99",
            "set server {0} state maint",
            "set server {0} addr 127.9.9.9 port 9",
            "clear map maps/80-hosts.map",
            "add map maps/80-hosts.map by-hand.example nowhere",
            "del map maps/80-hosts.map always.example",
        )
        servers = send("show servers conn").splitlines()
        names = [line.split()[0] for line in servers if "/" in line and "always" in line]
        if names:
            send(self._chance.choice(commands).format(names[0]))

    def fail_disk(self) -> None:
        self._reconciled.fail(self._chance.choice(("write_candidate", "promote", "write_scratch")), StateError("disk full"))

    def kill_check(self) -> None:
        self._reconciled.fail("check", CheckNotRunError("killed"))

    def _make(self, name: str, labels: dict[str, str]) -> Container:
        self._created += 1
        return make_container(
            f"{name}-{self._created}",
            ports=(BACKEND_PORT,),
            address=f"127.0.0.{self._created % 250 + 2}",
            created=self._created,
            service=name,
            labels=with_labels(**labels),
        )


@pytest.mark.parametrize("seed", range(3))
def test_haproxy_has_the_model_whatever_happened(haproxy_binary: str, tmp_path: Path, seed: int) -> None:
    offset = free_offset(80, 443, 1936, TCP_PORT)
    settings = make_settings(PROXY_PORT_OFFSET=str(offset), ADDITIONAL_SERVICES="*", ROUTE_LINGER="0")
    reconciled = Reconciled(haproxy_binary, tmp_path / "state", settings)
    events = Events(random.Random(seed), reconciled)
    with reconciled.run(events.containers()):
        for number in range(2):
            for _ in range(STEPS):
                events.happen()
                reconciled.try_to_apply(events.containers())
            reconciled.mend()
            reconciled.calm_down(events.containers())

            reported = reconciled.report()
            fresh = tmp_path / f"fresh-{number}"
            fresh.mkdir()

            assert [] == differences(reported, reconciled.report_fresh(haproxy_binary, fresh))
            assert reconciled.pending.is_done


def test_restarted_controller_takes_changes_over_without_a_reload(haproxy_binary: str, tmp_path: Path) -> None:
    offset = free_offset(80, 443, 1936)
    settings = make_settings(PROXY_PORT_OFFSET=str(offset), ADDITIONAL_SERVICES="*", ROUTE_LINGER="0")
    reconciled = Reconciled(haproxy_binary, tmp_path / "state", settings)
    first, second, third = (make_container(f"{name}-1", virtual_host=f"{name}.example") for name in ("one", "two", "three"))
    with reconciled.run([first, second]):
        reconciled.restart_controller()
        reconciled.calm_down([second, third])

        reported = reconciled.report()

    assert ["shop:three", "shop:two"] == [name for name in reported["backends"] if name.startswith("shop:")]  # type: ignore[attr-defined]
    (tmp_path / "fresh").mkdir()
    assert [] == differences(reported, reconciled.report_fresh(haproxy_binary, tmp_path / "fresh"))
    assert [] == reconciled.reload_reasons() or not reconciled.takes_backends_at_runtime
