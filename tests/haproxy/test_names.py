"""HAProxy accepts every name that is made from what users call their services. Other settings give other names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.core.containers.containers import Container
from tests.builders import make_container, make_pem, make_settings, one_line, with_labels
from tests.haproxy.backend_server import BackendServer, run_backend
from tests.haproxy.client import ask
from tests.haproxy.conftest import find_binary
from tests.haproxy.reconciled import Reconciled, differences
from tests.haproxy.simple_site import played_by
from tests.ports import free_offset

pytestmark = pytest.mark.haproxy

NASTY = (
    ("", "商店"),
    ("", "商城"),
    ("", "web a"),
    ("", "web-a"),
    ("shop", "Web"),
    ("shop", "web"),
    ("shop", "default"),
    ("", "shop"),
    ("shared", "web"),
    ("shared", "a..b"),
    ("a:b", "c"),
    ("a", "b:c"),
    ("a::b", ":c:"),
    ("", ".:"),
    ("", "-"),
    ("", "."),
    ("", "#1"),
    ("", "x~default"),
    ("", "a/b;c\n'\"\\"),
    ("", "\U0001f6d2"),
    *(
        ("", name)
        for name in (
            "stats",
            "http",
            "tcp",
            "sources",
            "cluster",
            "port_80",
            "tcp_80",
            "workers",
            "proxy_users",
            "profile_ab12",
        )
    ),
    *(("", name) for name in ("GLOBAL", "MASTER", "BACKEND", "FRONTEND", "from", "global", "defaults", "123")),
    ("x" * 120, "y" * 120),
    ("x" * 120, "y" * 119 + "z"),
)


class Site:
    """A reconciled HAProxy, and backends that stand for containers."""

    def __init__(self, binary: str, folder: Path, stack: ExitStack, **variables: str) -> None:
        self._stack = stack
        self.offset = free_offset(80, 443, 1936)
        settings = make_settings(PROXY_PORT_OFFSET=str(self.offset), ADDITIONAL_SERVICES="*", **variables)
        self.haproxy = Reconciled(binary, folder, settings)

    def run(self, *containers: Container) -> None:
        self._stack.enter_context(self.haproxy.run(containers))

    def backend(self, name: str) -> BackendServer:
        return self._stack.enter_context(run_backend(name))

    def status(self, host: str) -> int:
        return ask(80 + self.offset, host=host).status

    def nasty_containers(self) -> list[Container]:
        """Return one container of each service, all at the same address."""
        port = self.backend("any").port
        return [
            make_container(
                f"{service}-1",
                project=project,
                service=service,
                ports=(port,),
                labels=with_labels(
                    VIRTUAL_HOST=f"n{number}.example, https://n{number}.example",
                    SSL_CERT=one_line(make_pem(f"n{number}.example")),
                    COOKIE="SRV insert",
                ),
                **({"id": f"{project}/{service}-1"} if number % 2 else {"id": f"{number:064x}"}),
            )
            for number, (project, service) in enumerate(NASTY)
        ]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def modern_binary() -> str:
    return find_binary("HAPROXY_34") or pytest.fail("HAPROXY_34 is unknown")


def test_haproxy_loads_services_of_any_name(haproxy_binary: str, tmp_path: Path, stack: ExitStack) -> None:
    site = Site(haproxy_binary, tmp_path / "state", stack)
    site.run(*site.nasty_containers())

    assert [] == site.haproxy.problems()
    assert [200] * len(NASTY) == [site.status(f"n{number}.example") for number in range(len(NASTY))]
    certificates = site.haproxy.report()["certificates"]
    assert isinstance(certificates, dict)
    assert len(NASTY) + 1 == len(certificates)


def test_services_of_any_name_come_and_go_without_a_reload(modern_binary: str, tmp_path: Path, stack: ExitStack) -> None:
    site = Site(modern_binary, tmp_path / "state", stack)
    nasty = site.nasty_containers()
    always = dataclasses.replace(nasty[5], name="always-1", id="a" * 64, service="always", source="docker")
    site.run(always)

    site.haproxy.apply([always, *nasty])
    assert [200] * len(NASTY) == [site.status(f"n{number}.example") for number in range(len(NASTY))]
    site.haproxy.settle()
    (tmp_path / "fresh").mkdir()
    reported = site.haproxy.report()
    fresh = site.haproxy.report_fresh(modern_binary, tmp_path / "fresh")
    site.haproxy.apply([always])
    site.haproxy.settle()

    assert [] == site.haproxy.reload_reasons()
    assert [] == differences(reported, fresh)
    assert {"always"} == {str(name).split(":")[1] for name in backends_of(site) if name.startswith("shop:")}
    assert len(backends_of(site)) < 10


def backends_of(site: Site) -> list[str]:
    names = site.haproxy.report()["backends"]
    assert isinstance(names, list)
    return names


def test_other_settings_of_a_server_of_the_file_take_no_reload(
    haproxy_binary: str, tmp_path: Path, stack: ExitStack
) -> None:
    """The name of such a server contains no id, so its settings must distinguish it from the one before."""
    site = Site(haproxy_binary, tmp_path / "state", stack)
    port = site.backend("any").port

    def container(**labels: str) -> Container:
        return make_container(
            "web-1",
            id="web-1",
            source="file",
            ports=(port,),
            labels=with_labels(VIRTUAL_HOST="web.example", **labels),
        )

    site.run(container())
    for labels in ({"HEALTH_CHECK": "check inter 1s"}, {"EXTRA_ROUTE_SETTINGS": "maxconn 5"}, {"FAILOVER": "yes"}, {}):
        site.haproxy.apply([container(**labels)])
        assert 200 == site.status("web.example")
    site.haproxy.settle()

    assert [] == site.haproxy.reload_reasons()
    (tmp_path / "fresh").mkdir()
    fresh = site.haproxy.report_fresh(haproxy_binary, tmp_path / "fresh")
    assert [] == differences(site.haproxy.report(), fresh)


def test_another_probe_takes_no_reload(modern_binary: str, tmp_path: Path, stack: ExitStack) -> None:
    """Another probe means another container, and another backend for HAProxy."""
    site = Site(modern_binary, tmp_path / "state", stack, PROXY_MODE="acsrouting")
    web, zoo = site.backend("web-1"), site.backend("zoo-1")
    first = {"probe__url": "http://container:PORT/", "routing__session_sticky": "false"}
    second = {"probe__url": "tcp://container:PORT"}
    zoos = [
        dataclasses.replace(played_by(zoo, f"{number}.example.com", **labels), id=str(number) * 64, service=f"zoo{number}")
        for number, labels in enumerate((first, second))
    ]
    site.run(played_by(web, "www.example.com", **first), *zoos)

    for number, labels in enumerate((second, first, second, {}), start=2):
        labels = {name: value.replace("PORT", str(zoo.port)) for name, value in labels.items()}
        relabelled = dataclasses.replace(played_by(web, "www.example.com", **labels), id=str(number) * 64)
        site.haproxy.apply([relabelled, *zoos])
        assert 200 == site.status("www.example.com")

    assert [] == site.haproxy.reload_reasons()
    site.haproxy.settle()
    (tmp_path / "fresh").mkdir()
    fresh = site.haproxy.report_fresh(modern_binary, tmp_path / "fresh")
    assert [] == differences(site.haproxy.report(), fresh)


def test_another_probe_at_a_shared_address_takes_over(haproxy_binary: str, tmp_path: Path, stack: ExitStack) -> None:
    """It takes a reload: other servers cannot track a server that was added at runtime [tried: 2.6 and 3.4]."""
    site = Site(haproxy_binary, tmp_path / "state", stack, PROXY_MODE="acsrouting")
    web, zoo = site.backend("web-1"), site.backend("zoo-1")
    addresses = "www.example.com;web.example.com"
    other = played_by(zoo, "www.example.com", probe__url="tcp://container:PORT")
    site.run(played_by(web, addresses, probe__url="http://container:PORT/"), other)

    relabelled = dataclasses.replace(played_by(web, addresses, probe__url="tcp://container:PORT"), id="2" * 64)
    site.haproxy.apply([relabelled, other])

    assert [200, 200] == [site.status("www.example.com"), site.status("web.example.com")]
    site.haproxy.settle()
    (tmp_path / "fresh").mkdir()
    fresh = site.haproxy.report_fresh(haproxy_binary, tmp_path / "fresh")
    assert [] == differences(site.haproxy.report(), fresh)
