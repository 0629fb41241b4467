"""What needs a reload holds up nothing else, and nobody is led to a service that is not theirs meanwhile."""

from __future__ import annotations

from pathlib import Path

from proxy.core.containers.containers import Container, State
from proxy.core.haproxy.file_names import CONFIG_FILE
from proxy.core.haproxy.loaded import Loaded, load_sections
from proxy.core.haproxy.runtime_parts import Parts, divide
from proxy.core.labels.labels import parse_container
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.model_index import ModelIndex
from proxy.core.model.service_table import Specs, label_specs
from tests.builders import make_container, make_renderer, make_settings, with_labels


def web(name: str = "web-1", host: str = "a.com", state: State = State.RUNNING, **labels: str) -> Container:
    return make_container(name, state=state, labels=with_labels(VIRTUAL_HOST=host, **labels))


def specs_of(containers: tuple[Container, ...]) -> dict[str, Specs]:
    return label_specs(spec for spec, _ in map(parse_container, containers) if spec)


def parts_of(before: tuple[Container, ...], after: tuple[Container, ...], *, has_runtime_backends: bool = True) -> Parts:
    """How the way from one set of containers to another is divided, on an HAProxy that has loaded the first."""
    index = ModelIndex(make_settings(), None, ProxyCertificates())
    index.update(specs_of(before))
    config = make_renderer(make_settings(), Path("/state")).render(index.model()).files[CONFIG_FILE]
    loaded: Loaded = load_sections(config, has_runtime_backends=has_runtime_backends)
    change = index.update({**dict.fromkeys(specs_of(before), ()), **specs_of(after)})
    return divide(change, loaded, {})


def rows(parts: Parts, port: int = 80) -> tuple[set[str], set[str]]:
    """Hosts whose rows go now, and those that wait."""
    now, rest = (change.rows.get(port) for change in (parts.now, parts.rest))
    return {*(now.rows.get("hosts", {}) if now else {})}, {*(rest.rows.get("hosts", {}) if rest else {})}


def test_server_that_stops_is_stopped_while_another_service_waits_for_a_reload() -> None:
    stopping = web(state=State.STOPPING)

    parts = parts_of((web(),), (stopping, web("api-1", "b.com", BALANCE="leastconn")))

    assert ["shop:web"] == [*parts.now.backends]
    assert ["new backend shop:api"] == [" ".join(reason.split()[:3]).partition("::")[0] for reason in parts.reasons]


def test_server_that_is_added_needs_a_reload_to_get_what_a_default_server_line_says() -> None:
    first, second = (web(name, EXTRA_SETTINGS="default-server send-proxy") for name in ("web-1", "web-2"))

    more = parts_of((first,), (first, second))
    fewer = parts_of((first, second), (first,))

    assert [True] == ["has settings of a default-server line" in reason for reason in more.reasons]
    assert () == tuple(fewer.reasons)


def test_rows_of_a_host_wait_for_its_backend_and_those_of_others_do_not() -> None:
    parts = parts_of((web(),), (web(), web("api-1", "b.com", BALANCE="leastconn"), web("docs-1", "c.com")))

    assert ({"c.com"}, {"b.com"}) == rows(parts)
    assert {"shop:docs"} == {*parts.now.backends}


def test_backend_stays_while_a_row_that_waits_leads_to_it() -> None:
    """The host would answer 503 until the reload."""
    parts = parts_of((web(),), (web(BALANCE="leastconn"),))

    assert {} == parts.now.backends
    assert ("shop:web", None) == next((name, pair[1]) for name, pair in parts.rest.backends.items() if pair[0])


def test_visitors_of_one_service_never_meet_another_while_a_reload_is_awaited() -> None:
    """On an HAProxy without runtime backends: two services shared a backend, and one of them gets a host of its own."""
    before = web("also-1", "a.com"), web("web-1", "a.com")
    after = web("also-1", "b.com"), web("web-1", "a.com")

    parts = parts_of(before, after, has_runtime_backends=False)

    assert {} == parts.now.backends, "the servers of both stay where the host leads"
    assert (set(), {"a.com", "b.com"}) == rows(parts)


def test_rows_of_a_port_that_is_not_loaded_wait_for_it() -> None:
    parts = parts_of((web(),), (web(), web("api-1", "b.com:8080")))

    assert (set(), {"b.com"}) == rows(parts, 8080)
    assert ("new listening port 8080",) == parts.reasons
    assert ["shop:api"] == [*parts.now.backends]
