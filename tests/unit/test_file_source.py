"""Backends are read from a file in Compose's vocabulary, and a fault in it affects as little as possible."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from proxy.adapters.files.file_source import FileSource
from proxy.adapters.files.file_watcher import FileWatcher
from proxy.adapters.files.host_names import HostNames
from proxy.adapters.files.kept_files import KeptFiles
from proxy.core.containers.containers import Container, ContainerPort, Snapshot
from proxy.core.trigger import Trigger
from proxy.errors import SourceError
from tests.eventually import eventually

SHOP = """
name: shop
services:
  web:
    labels:
      aliyun.proxy.VIRTUAL_HOST: www.example.com
      aliyun.proxy.required: true
      aliyun.proxy.VIRTUAL_HOST_WEIGHT: 5
    external:
      host: [10.0.0.5, 10.0.0.6]
      ports: [8001]
"""


def resolve_nothing(host: str) -> tuple[str, ...]:
    raise AssertionError(f"{host} is an address")


def make_source(folder: Path, text: str) -> FileSource:
    path = folder / "services.yml"
    path.write_text(text, encoding="utf-8")
    return FileSource(path, FileWatcher([path]), HostNames(resolve_nothing), KeptFiles(path.parent / "state"))


def read(folder: Path, text: str) -> tuple[Container, ...]:
    return make_source(folder, text).read().containers


def test_service_becomes_one_container_per_host(tmp_path: Path) -> None:
    first, second = read(tmp_path, SHOP)

    assert first == Container(
        id="shop/web-1",
        name="web-1",
        source="file",
        project="shop",
        service="web",
        labels={
            "aliyun.proxy.VIRTUAL_HOST": "www.example.com",
            "aliyun.proxy.required": "true",
            "aliyun.proxy.VIRTUAL_HOST_WEIGHT": "5",
        },
        ports=(ContainerPort(number=8001),),
        address="10.0.0.5",
    )
    assert (second.name, second.address) == ("web-2", "10.0.0.6")


def test_labels_may_be_a_list(tmp_path: Path) -> None:
    text = "services: {web: {labels: ['a=b=c', d], external: {host: 10.0.0.5, ports: 80}}}"

    (container,) = read(tmp_path, text)

    assert container.labels == {"a": "b=c", "d": ""}


def test_first_compose_format_has_services_at_the_top(tmp_path: Path) -> None:
    text = "db: {external: {host: 10.0.0.5, ports: ['3306']}}\nnetworks: {default: {}}\n"

    (container,) = read(tmp_path, text)

    assert (container.id, container.project, container.service) == ("db-1", "", "db")


def test_address_may_be_that_of_a_network_with_compose_ports(tmp_path: Path) -> None:
    text = """
services:
  web:
    networks: {edge: {ipv4_address: 10.0.0.5}}
    expose: [9000, "53/udp"]
    ports: ["8080:80", "127.0.0.1:8443:443/tcp", "7000-7001", {target: 5432, published: 5432}]
"""

    (container,) = read(tmp_path, text)

    assert container.address == "10.0.0.5"
    assert container.ports == (
        *(ContainerPort(number=number, published=True) for number in (80, 443, 5432, 7000, 7001)),
        ContainerPort(number=9000),
    )


def test_every_address_of_a_name_is_a_container(tmp_path: Path) -> None:
    path = tmp_path / "services.yml"
    path.write_text("services: {db: {external: {host: db.example.com, ports: [80]}}}", encoding="utf-8")
    source = FileSource(
        path,
        FileWatcher([path]),
        HostNames({"db.example.com": ("10.0.0.7", "10.0.0.8")}.__getitem__),
        KeptFiles(path.parent / "state"),
    )

    containers = source.read().containers

    assert [(container.name, container.address) for container in containers] == [
        ("db-1", "10.0.0.7"),
        ("db-2", "10.0.0.8"),
    ]


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        pytest.param("[]", "service bad: is not a mapping", id="no mapping"),
        pytest.param("{labels: 5, external: {host: 10.0.0.5}}", "labels='5'", id="labels"),
        pytest.param("{external: 10.0.0.5}", "external='10.0.0.5'", id="external"),
        pytest.param("{external: {host: '10.0.0.5:80'}}", "external.host='10.0.0.5:80'", id="port in host"),
        pytest.param("{external: {host: 10.0.0.5, ports: [http]}}", "external.ports='http'", id="port"),
        pytest.param("{external: {host: 10.0.0.5, ports: [70000]}}", "is not a port from 1 to 65535", id="port range"),
        pytest.param("{networks: {x: {ipv4_address: nowhere}}}", "networks.x.ipv4_address='nowhere'", id="address"),
        pytest.param("{image: nginx}", "service bad: has no address", id="no address"),
    ],
)
def test_faulty_service_costs_only_itself(tmp_path: Path, service: str, reason: str) -> None:
    source = make_source(tmp_path, f"{SHOP}  bad: {service}\n")

    snapshot = source.read()

    assert ["web-1", "web-2"] == [container.name for container in snapshot.containers]
    (problem,) = snapshot.problems
    assert reason in str(problem)


def test_problem_of_a_corrected_service_is_gone(tmp_path: Path) -> None:
    source = make_source(tmp_path, "services: {web: {image: nginx}}")
    assert source.read().problems
    (tmp_path / "services.yml").write_text(SHOP, encoding="utf-8")

    snapshot = source.read()

    assert () == snapshot.problems
    assert 2 == len(snapshot.containers)


def test_name_that_cannot_be_resolved_costs_only_that_host(tmp_path: Path) -> None:
    def resolve(host: str) -> tuple[str, ...]:
        if host == "away.example.com":
            raise OSError(-2, "Name or service not known")
        return (host,)

    path = tmp_path / "services.yml"
    path.write_text("services: {web: {external: {host: [away.example.com, 10.0.0.5], ports: [80]}}}", encoding="utf-8")

    snapshot = FileSource(path, FileWatcher([path]), HostNames(resolve), KeptFiles(path.parent / "state")).read()

    assert ["10.0.0.5"] == [container.address for container in snapshot.containers]
    (problem,) = snapshot.problems
    assert "external.host='away.example.com': cannot be resolved (Name or service not known)" in str(problem)


def test_missing_file_is_an_error_and_not_an_empty_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "services.yml"

    with pytest.raises(SourceError, match=r"there is no services file .*services\.yml; create or mount it"):
        FileSource(path, FileWatcher([path]), HostNames(), KeptFiles(path.parent / "state")).read()


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"services\.yml line 4 is not valid YAML"):
        read(tmp_path, "services:\n  web:\n    labels: [a\n  db: {}\n")


@pytest.mark.parametrize("text", ["- web", "services: [web]"])
def test_file_without_a_mapping_of_services_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match="not a mapping of"):
        read(tmp_path, text)


def test_empty_file_is_an_error_since_it_may_be_half_written(tmp_path: Path) -> None:
    source = make_source(tmp_path, "")

    with pytest.raises(SourceError, match="is empty"):
        source.read()


def test_file_with_no_services_has_none(tmp_path: Path) -> None:
    assert () == make_source(tmp_path, "services: {}").read().containers


def test_replaced_file_is_a_trigger(tmp_path: Path) -> None:
    source = make_source(tmp_path, SHOP)
    triggers: list[Trigger] = []
    thread = threading.Thread(target=source.watch, args=(triggers.append,), daemon=True)
    thread.start()

    (tmp_path / "services.new").write_text("services: {}", encoding="utf-8")
    (tmp_path / "services.new").replace(tmp_path / "services.yml")

    eventually(lambda: Trigger(reason=f"file {tmp_path / 'services.yml'} changed") in triggers)
    assert source.read().containers == ()
    source.stop()
    thread.join(5)
    assert not thread.is_alive()


OTHER_SHOP = SHOP.replace("10.0.0.6", "10.0.0.7")


def write_with_time(path: Path, text: str, *, age_seconds: float) -> None:
    """Write the file in place, with a modification time that is this long ago."""
    path.write_text(text, encoding="utf-8")
    then = round(time.time()) - age_seconds
    os.utime(path, (then, then))


def addresses(snapshot: Snapshot) -> list[str]:
    return [container.address for container in snapshot.containers]


def test_file_whose_status_is_as_before_is_read_again_after_invalidate_only(tmp_path: Path) -> None:
    source, path = make_source(tmp_path, SHOP), tmp_path / "services.yml"
    write_with_time(path, SHOP, age_seconds=100)
    before = addresses(source.read())
    write_with_time(path, OTHER_SHOP, age_seconds=100)

    unread = addresses(source.read())
    source.invalidate()

    assert (["10.0.0.5", "10.0.0.6"], before) == (before, unread)
    assert ["10.0.0.5", "10.0.0.7"] == addresses(source.read())


def test_file_that_was_written_just_now_is_read_again_whatever_its_status(tmp_path: Path) -> None:
    """Two writes within one tick of the file system's clock leave the same status."""
    source, path = make_source(tmp_path, SHOP), tmp_path / "services.yml"
    write_with_time(path, SHOP, age_seconds=0)
    source.read()

    write_with_time(path, OTHER_SHOP, age_seconds=0)

    assert ["10.0.0.5", "10.0.0.7"] == addresses(source.read())


def test_file_at_fault_is_told_at_each_read_and_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    source, path = make_source(tmp_path, SHOP), tmp_path / "services.yml"
    broken = "[" + SHOP[1:]
    write_with_time(path, broken, age_seconds=100)
    for _ in range(2):
        with pytest.raises(SourceError, match="is not valid YAML"):
            source.read()
    write_with_time(path, SHOP, age_seconds=100)  # the same status
    with pytest.raises(SourceError, match="is not valid YAML"):
        source.read()

    write_with_time(path, SHOP, age_seconds=90)

    assert ["10.0.0.5", "10.0.0.6"] == addresses(source.read())


def test_changes_are_everything_first_then_nothing_until_something_changes_or_all_is_asked_for(tmp_path: Path) -> None:
    source = make_source(tmp_path, f"{SHOP}  bad: []\n")

    first, second = source.read_changes(), source.read_changes()
    source.invalidate()
    third = source.read_changes()

    assert (True, 2) == (first.is_complete, len(first.containers))
    assert Snapshot(is_complete=False, problems=first.problems) == second
    assert first == third
    assert first.problems


def test_dead_dns_delays_neither_a_read_nor_the_services_with_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name without an answer yet is not a problem; one that has failed is."""
    path, is_over, triggers = tmp_path / "services.yml", threading.Event(), list[Trigger]()
    names = "".join(f"  db{number}: {{external: {{host: db{number}.example.com, ports: 80}}}}\n" for number in range(3))
    path.write_text(SHOP + names, encoding="utf-8")

    def resolve(host: str) -> tuple[str, ...]:
        is_over.wait(60)
        raise OSError(-3, "Temporary failure in name resolution")

    source = FileSource(path, FileWatcher([path]), HostNames(resolve), KeptFiles(path.parent / "state"))
    thread = threading.Thread(target=source.watch, args=(triggers.append,), daemon=True)
    thread.start()
    source.read()
    monkeypatch.setattr("proxy.adapters.files.host_names.START_SECONDS", 3600.0)  # a read that waits again never ends

    snapshot = source.read()

    assert (["10.0.0.5", "10.0.0.6"], ()) == (addresses(snapshot), snapshot.problems)
    is_over.set()
    eventually(lambda: len(triggers) == 3)
    assert 3 == len(source.read_changes().problems)
    source.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_new_answer_for_a_name_is_a_change_that_a_trigger_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.adapters.files.host_names.RESOLVE_SECONDS", 0.02)
    path, answer, triggers = tmp_path / "services.yml", ["10.0.0.7"], list[Trigger]()
    path.write_text("services: {db: {external: {host: db.example.com, ports: [80]}}}", encoding="utf-8")
    source = FileSource(path, FileWatcher([path]), HostNames(lambda host: tuple(answer)), KeptFiles(path.parent / "state"))
    thread = threading.Thread(target=source.watch, args=(triggers.append,), daemon=True)
    thread.start()
    assert ["10.0.0.7"] == addresses(source.read_changes())

    answer[0] = "10.0.0.8"

    eventually(lambda: [Trigger(reason="name db.example.com resolves to 10.0.0.8")] == triggers)
    assert ["10.0.0.8"] == addresses(source.read_changes())
    source.stop()
    thread.join(5)


def test_services_of_a_file_that_is_gone_at_the_start_are_those_that_it_held_last(tmp_path: Path) -> None:
    before = read(tmp_path, SHOP)
    path = tmp_path / "services.yml"
    path.unlink()
    source = FileSource(path, FileWatcher([path]), HostNames(resolve_nothing), KeptFiles(tmp_path / "state"))

    snapshots = [source.read(), source.read_changes()]
    path.write_text(SHOP.replace("8001", "8002"))
    corrected = source.read()

    assert [before, ()] == [snapshot.containers for snapshot in snapshots]
    assert all("there is no services file" in str(snapshot.problems) for snapshot in snapshots)
    assert ([8002] * 2, ()) == ([container.ports[0].number for container in corrected.containers], corrected.problems)


@pytest.mark.parametrize("text", ["services: [", ""], ids=["invalid", "empty"])
def test_file_that_is_broken_at_the_start_counts_as_gone(tmp_path: Path, text: str) -> None:
    before = read(tmp_path, SHOP)

    snapshot = make_source(tmp_path, text).read()

    assert (before, 1) == (snapshot.containers, len(snapshot.problems))
    assert before == make_source(tmp_path, text).read().containers, "the broken file is not what is kept"


def test_file_that_breaks_later_is_an_error_as_ever(tmp_path: Path) -> None:
    """What it said last stays in force without a copy (see `Observation`)."""
    source = make_source(tmp_path, SHOP)
    source.read()
    (tmp_path / "services.yml").unlink()

    with pytest.raises(SourceError, match="there is no services file"):
        source.read()
