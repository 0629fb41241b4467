"""Names of backends, servers and certificate files: no two objects share one, whatever users call their services."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.containers.containers import Container
from proxy.core.labels.specs import BackendSettings, ContainerSpec
from proxy.core.model.server_names import cookie_value, server_name
from proxy.grammar.syntax import (
    NAME_LENGTH,
    make_backend_name,
    make_file_name,
    make_label,
    make_server_name,
    make_shared_name,
    make_variant_name,
    service_of_backend,
)

HAPROXY_NAME = re.compile(r"[A-Za-z0-9_.:-]+")
PIECES = st.one_of(
    st.text(alphabet="ab:.~-AB \\/商店", max_size=5),
    st.sampled_from(["shared", "default", "port_80", "stats", "web-a", "web a", "x" * 230, "X" * 230, "x" * 229 + "y"]),
    st.text(max_size=20),
)
SERVICES = st.tuples(PIECES, PIECES.filter(bool))
"""(project, service)"""


def name_of(service: tuple[str, str]) -> str:
    return make_backend_name(make_label(*service))


def assert_distinct(names: Iterable[str]) -> None:
    listed = list(names)
    assert len(listed) == len({*listed}), sorted(name for name in listed if listed.count(name) > 1)


def with_forged(services: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Add services that have the names of other services' backends."""
    names = {name_of(service) for service in services}
    halves = {(project, rest) for project, sign, rest in (name.partition(":") for name in names) if sign and rest}
    return services | {("", name) for name in names} | halves


@given(st.sets(SERVICES, max_size=8).map(with_forged))
def test_services_never_share_a_backend(services: set[tuple[str, str]]) -> None:
    assert_distinct(name_of(service) for service in services)


@given(st.sets(SERVICES, max_size=8).map(with_forged))
def test_services_never_share_a_certificate_file(services: set[tuple[str, str]]) -> None:
    """They do not share one even on a disk that ignores case."""
    names = [name_of(service) for service in services]
    stems = [make_file_name(name, "service", is_taken=name.endswith(":default")) for name in names]

    assert_distinct(stem.lower() for base in stems for stem in (base, f"{base}~default"))
    assert not [stem for stem in stems if stem.startswith("~")]
    assert [] == [stem for stem in stems if len(f"~{stem}~default.pem".encode()) > 255 or "/" in stem or ":" in stem]


@given(st.sets(st.lists(SERVICES, min_size=1, max_size=3, unique=True).map(tuple), max_size=6))
def test_backends_of_services_that_share_an_address_are_told_apart(groups: set[tuple[tuple[str, str], ...]]) -> None:
    parts = [[make_backend_name(make_label(*service, "80")) for service in group] for group in groups]
    shared = [make_shared_name(names) for names in parts]
    alone = {name for names in parts for name in names}

    assert_distinct([*shared, *alone, *(name_of(("", name)) for name in shared)])


@given(SERVICES, SERVICES)
def test_backend_with_settings_of_its_own_is_that_of_its_service(service: tuple[str, str], other: tuple[str, str]) -> None:
    name = make_backend_name(make_label(*service))
    shared = make_shared_name([name, make_backend_name(make_label(*other))])

    assert name == service_of_backend(make_variant_name(name, "0123456789ab"))
    assert shared == service_of_backend(make_variant_name(shared, "0123456789ab"))
    assert HAPROXY_NAME.fullmatch(name)
    assert max(len(name), len(shared)) <= NAME_LENGTH


@given(st.sets(st.tuples(PIECES, st.sampled_from([80, 8080]), st.sampled_from(["", "0123456789ab"])), max_size=8))
def test_servers_never_share_a_name(servers: set[tuple[str, int, str]]) -> None:
    names = [make_server_name(text, "file", port, variant) for text, port, variant in servers]

    assert_distinct(names)
    assert [] == [name for name in names if not HAPROXY_NAME.fullmatch(name)]


@given(st.sets(st.tuples(st.sampled_from(["pem", "crt", "cer", "PEM"]), PIECES), max_size=8))
def test_files_of_a_folder_never_become_one(files: set[tuple[str, str]]) -> None:
    assert_distinct(make_file_name(stem, ending, is_taken=ending != "pem").lower() for ending, stem in files)


def shared(*labels: str) -> str:
    return make_shared_name([make_backend_name(label) for label in labels])


def forged_file_name() -> str:
    """Return a file name that looks like the changed name of another file."""
    return make_file_name("a b", "pem").replace("~~", "::")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(make_label("a\\", ":b"), make_label("", "a::b"), id="backslash-before-a-colon"),
        pytest.param(shared("a:80..b:80"), shared("a:80", "b:80"), id="service-called-like-two"),
        pytest.param(shared("a..b"), shared("a", "b"), id="short-service-called-like-two"),
        pytest.param(shared("a.", "b"), shared("a", ".b"), id="dots-at-the-border"),
        pytest.param(
            shared(*["a" * 99] * 2), name_of(("shared", f"{'a' * 99} {'a' * 99}")), id="service-called-like-a-list"
        ),
        pytest.param(make_file_name("a b", "pem"), make_file_name(forged_file_name(), "pem"), id="file-called-like-another"),
        pytest.param(make_server_name("é", "docker", 80), make_server_name("é", "file", 80), id="server-of-another-source"),
    ],
)
def test_names_that_look_alike_are_two(one: str, other: str) -> None:
    assert one != other


@pytest.mark.parametrize(
    "label",
    ["shop:web", "web", "shop:web-a_b.c", "a--b", "Shop:Web", "shop:port_80", "a..b", "x" * NAME_LENGTH, "shared"],
)
def test_name_that_haproxy_takes_stays(label: str) -> None:
    assert label == make_backend_name(label)


@pytest.mark.parametrize(
    ("project", "service", "expected"),
    [
        pytest.param("", "商店", r"--\.:", id="chinese"),
        pytest.param("", "web a", r"web-a\.:", id="blank"),
        pytest.param("shared", "web", r"shared:web\.:", id="shared-prefix"),
        pytest.param("a:b", "c", r"a-:b:c\.:", id="colon-in-a-project"),
        pytest.param("", "stats", r"stats\.:", id="own-section"),
        pytest.param("", "profile_ab12", r"profile_ab12\.:", id="own-profile"),
        pytest.param("", "GLOBAL", r"GLOBAL\.:", id="proxy-of-haproxy"),
        pytest.param("a", ".:web", r"a:\.-:web\.:", id="sign-of-a-digest"),
        pytest.param("a", "x" * 300, rf"a:x{{{NAME_LENGTH - 16}}}\.:", id="too-long"),
    ],
)
def test_changed_name_resembles_the_original_and_ends_in_a_digest(project: str, service: str, expected: str) -> None:
    assert re.fullmatch(f"(?:{expected})[0-9a-f]{{12}}", name_of((project, service)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("shop:web", "shop~web", id="unchanged"),
        pytest.param("--.:0123456789ab", "--.~0123456789ab", id="changed-before"),
        pytest.param("shop:Web", "shop~Web~~[0-9a-f]{12}", id="upper-case"),
        pytest.param("a/b", "a-b~~[0-9a-f]{12}", id="folder"),
        pytest.param("a~~b", "a--b~~[0-9a-f]{12}", id="sign-of-a-digest"),
    ],
)
def test_file_name_resembles_the_original(name: str, expected: str) -> None:
    assert re.fullmatch(expected, make_file_name(name, "service"))


ENGINE_ID = "0123456789abcdef" * 4


def spec_of(name: str = "web-1", source: str = "file", container_id: str = "", **settings: object) -> ContainerSpec:
    alias = "web" if source == "links" else ""
    container = Container(id=container_id or name, name=name, source=source, alias=alias)
    backend = BackendSettings(**settings)  # type: ignore[arg-type]
    return ContainerSpec(container=container, project="", service="web", ports=(80, 8080), settings=backend)


NUMBERED = st.tuples(PIECES, st.integers(1, 12))
LINKED = st.one_of(PIECES.filter(bool), st.sampled_from(["web-1", "web-1.000000000001", "web-1.:000000000001"]))


@given(st.sets(NUMBERED, max_size=4), st.sets(NUMBERED, max_size=4), st.sets(LINKED, max_size=4))
@example(set(), set(), {"/", "-"})
def test_containers_of_all_sources_are_told_apart(
    engine: set[tuple[str, int]], file: set[tuple[str, int]], links: set[str]
) -> None:
    """Containers of an engine have an id, those of the services file a number. A link can have any name."""
    specs = [spec_of(name, "docker", f"{number:012x}".ljust(64, "0")) for name, number in engine]
    specs += [spec_of(f"{name}-{number}", "file", f"shop/{name}-{number}") for name, number in file]
    specs += [spec_of(name, "links") for name in links]
    cookies = {(spec.container.source, spec.container.id): cookie_value(spec, 80) for spec in specs}

    assert_distinct(server_name(spec, 80) for spec in specs)
    assert_distinct(cookies.values())


def test_link_is_not_called_as_a_container_of_another_source() -> None:
    assert "web-1.0123456789ab:80" == server_name(spec_of("web-1", "docker", ENGINE_ID), 80)
    assert "web-1.0123456789ab:80" != server_name(spec_of("web-1.0123456789ab", "links"), 80)
    assert "web-1:80" == server_name(spec_of("web-1", "file"), 80)
    assert "web-1:80" != server_name(spec_of("web-1", "links"), 80)
    assert "web:80" == server_name(spec_of("web", "links"), 80)


@pytest.mark.parametrize(
    "settings",
    [{"health_check": "check inter 1s"}, {"extra_route_settings": "send-proxy"}, {"is_backup": True}],
    ids=["health-check", "route-settings", "backup"],
)
def test_settings_show_in_the_name_where_no_id_tells_them(settings: Mapping[str, Any]) -> None:
    """Settings cannot be changed while HAProxy runs, so a server with other settings is another server."""
    for source in ("file", "links"):
        plain, special = server_name(spec_of(source=source), 80), server_name(spec_of(source=source, **settings), 80)
        assert re.fullmatch(f"{plain}::[0-9a-f]{{12}}", special)
    own = spec_of("web-1", "docker", ENGINE_ID, **settings)
    assert "web-1.0123456789ab:80" == server_name(own, 80)


def test_settings_of_a_linked_container_show_though_an_engine_has_it() -> None:
    """Its variables count from the moment when the proxy is linked to it."""
    plain, special = (
        server_name(spec_of("web-1", "links", ENGINE_ID, health_check=check), 80) for check in (None, "check inter 1s")
    )

    assert "web-1.0123456789ab:80" == plain
    assert re.fullmatch(f"{plain}::[0-9a-f]{{12}}", special)


def test_name_tells_whether_the_cookie_has_the_port() -> None:
    """The first port can change under the same id, when another network publishes other ports."""
    spec = spec_of("web-1", "docker", ENGINE_ID)
    other = dataclasses.replace(spec, ports=(8080,))

    assert [ENGINE_ID, f"{ENGINE_ID}:8080", ENGINE_ID] == [
        cookie_value(spec, 80),
        cookie_value(spec, 8080),
        cookie_value(other, 8080),
    ]
    assert server_name(spec, 8080, has_cookie=True) != server_name(other, 8080, has_cookie=True)
    assert server_name(spec, 8080) == server_name(other, 8080)
