"""Services of simple routing that name the same address share it. Each set of services is one backend."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

from proxy.core.containers.containers import Container
from proxy.core.haproxy.file_names import CONFIG_FILE
from proxy.core.haproxy.loaded import load_sections
from proxy.core.haproxy.runtime_commands import Command
from proxy.core.haproxy.runtime_plan import make_step
from proxy.core.labels.simple_routing import parse_container
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.model import Backend, RoutingModel, ServerState
from proxy.core.model.model_index import ModelIndex
from proxy.core.model.service_table import Specs, label_specs
from proxy.grammar.syntax import service_of_backend
from tests.builders import make_renderer
from tests.simple import simple_container, simple_model, simple_settings

PROBED = {"probe__url": "http://container/ping"}


def routes_of(model: RoutingModel) -> dict[str, str]:
    (frontend,) = model.frontends
    return {f"{route.entry.domain}{route.entry.path}": service_of_backend(route.backend) for route in frontend.routes}


def backend_of(model: RoutingModel, name: str) -> Backend:
    """Return the only backend of a service, or of services that share an address, whatever its settings."""
    (backend,) = [backend for backend in model.backends if service_of_backend(backend.name) == name]
    return backend


def test_service_alone_at_its_addresses_is_one_backend() -> None:
    model = simple_model(simple_container("web-1", "www.example.com;wp"), simple_container("web-2", "www.example.com;wp"))

    assert {"www.example.com": "shop:web:80", "wp.localhost": "shop:web:80"} == routes_of(model)
    assert ["web-1", "web-2"] == [server.container for server in backend_of(model, "shop:web:80").servers]


def test_each_set_of_services_is_a_backend() -> None:
    model = simple_model(simple_container("blue-1", "a.com;b.com"), simple_container("green-1", "b.com"))

    shared = "shared:shop:blue:80..shop:green:80"
    assert {"a.com": "shop:blue:80", "b.com": shared} == routes_of(model)
    assert {"shop:blue:80": ["blue-1"], shared: ["blue-1", "green-1"]} == {
        backend.name: [server.container for server in backend.servers] for backend in model.backends
    }


def test_servers_of_a_shared_backend_take_their_health_from_the_service_s_own() -> None:
    """Services may probe different paths, and no container is probed twice."""
    model = simple_model(
        simple_container("blue-1", probe__url="http://container/blue"),
        simple_container("green-1", probe__url="tcp://container:80"),
    )

    shared = backend_of(model, "shared:shop:blue:80..shop:green:80")
    names = {server.container: server.name for server in shared.servers}
    blue, green = backend_of(model, "shop:blue:80"), backend_of(model, "shop:green:80")
    assert [f"track {blue.name}/{names['blue-1']}", f"track {green.name}/{names['green-1']}"] == [
        server.options for server in shared.servers
    ]
    assert ["check port 80 inter 2s fall 2 rise 2"] == [s.options for s in backend_of(model, "shop:blue:80").servers]


def test_service_of_weight_0_gets_nothing_but_is_probed() -> None:
    model = simple_model(simple_container("blue-1", **PROBED), simple_container("green-1", routing__weight="0", **PROBED))

    shared = backend_of(model, "shared:shop:blue:80..shop:green:80")
    (probed,) = backend_of(model, "shop:green:80").servers
    assert [ServerState.READY, ServerState.MAINT] == [server.state for server in shared.servers]
    assert [100, 0] == [server.service_weight for server in shared.servers]
    assert ServerState.READY is probed.state
    assert "shop:green:80" not in routes_of(model).values()


def test_service_of_weight_0_alone_answers_nobody_and_is_probed() -> None:
    model = simple_model(simple_container("green-1", routing__weight="0", **PROBED))

    assert {"www.example.com": "shared:shop:green:80"} == routes_of(model)
    assert [ServerState.MAINT] == [server.state for server in backend_of(model, "shared:shop:green:80").servers]
    assert [ServerState.READY] == [server.state for server in backend_of(model, "shop:green:80").servers]


def test_shared_backend_is_sticky_only_if_every_service_is() -> None:
    model = simple_model(simple_container("blue-1"), simple_container("green-1", routing__session_sticky="false"))

    (backend,) = model.backends
    assert ["", ""] == [server.cookie for server in backend.servers]
    assert not [line for line in backend.profile.lines if "cookie" in line.lower()]


def test_redirect_names_its_domains_where_others_share_the_backend() -> None:
    model = simple_model(simple_container("web-1", "a.com;b.com", routing__force_https="b.com"))

    (backend,) = model.backends
    (line,) = [line for line in backend.profile.lines if "redirect code 301" in line]
    assert line.endswith("if { req.hdr(X-Forwarded-Proto) -i http } { req.hdr(host),host_only,rtrim(.),lower -m str b.com }")


def test_redirect_of_many_domains_stays_below_the_words_of_a_line() -> None:
    """HAProxy refuses lines of more than 64 words."""
    names = ";".join(f"d{number}.com" for number in range(100))
    model = simple_model(simple_container("web-1", f"{names};other.com", routing__force_https=names))

    lines = [line for line in model.backends[0].profile.lines if "redirect code 301" in line]
    assert 3 == len(lines)
    assert max(len(line.split()) for line in lines) < 64


def test_order_of_containers_leaves_no_trace() -> None:
    containers = [
        simple_container(f"{name}-{number}", addresses, **PROBED)
        for (name, addresses), number in itertools.product(
            {"blue": "a.com;b.com", "green": "b.com", "red": "b.com/x;a.com"}.items(), (1, 2)
        )
    ]
    shuffled = random.Random(7).sample(containers, len(containers))

    assert simple_model(*containers) == simple_model(*shuffled)


def test_server_that_follows_the_health_of_a_new_one_waits_for_a_reload_and_the_new_one_does_not() -> None:
    """HAProxy refuses to track a server that was added at runtime [tried: 2.6 and 3.4]."""
    settings = simple_settings()

    def groups_of(*containers: Container) -> dict[str, Specs]:
        specs = (parse_container(container, settings.routing.simple)[0] for container in containers)
        return label_specs(spec for group in specs for spec in group)

    old, new = simple_container("web-1", **PROBED), simple_container("web-2", **PROBED)
    other = simple_container("zoo-1", **PROBED)
    index = ModelIndex(settings, None, ProxyCertificates())
    index.update(groups_of(old, other))
    config = make_renderer(settings, Path("/state")).render(index.model()).files[CONFIG_FILE]
    loaded = load_sections(config, has_runtime_backends=True)

    step = make_step(index.update(groups_of(old, new)), loaded, leaving=frozenset(), leaving_backends={})

    assert step.now
    texts = [command.text for command in step.now.commands if isinstance(command, Command)]
    added = [text.split()[2] for text in texts if text.startswith("add server")]
    assert [True] == [name.startswith(backend_of(index.model(), "shop:web:80").name) for name in added]
    assert [True] == ["uses the health of another" in reason for reason in step.reload_reasons]


def test_other_settings_of_a_probe_are_other_backends() -> None:
    """Neither a backend's settings nor the server that a server tracks can change while HAProxy runs."""
    zoo = simple_container("zoo-1", **PROBED)
    before, after = (
        simple_model(simple_container("web-1", "www.example.com;web.example.com", **probe), zoo)
        for probe in (PROBED, {"probe__url": "http://container/pong"})
    )

    kept = {backend.name for backend in before.backends} & {backend.name for backend in after.backends}
    assert {"shop:zoo:80"} == {service_of_backend(name) for name in kept}
    services = {"shop:web:80", "shop:zoo:80", "shared:shop:web:80..shop:zoo:80"}
    assert services == {service_of_backend(backend.name) for backend in after.backends}


def test_weight_does_not_show_in_the_name_of_a_backend() -> None:
    """It can be changed while HAProxy runs."""
    before, after = (
        simple_model(simple_container("web-1", **PROBED), simple_container("zoo-1", routing__weight=weight, **PROBED))
        for weight in ("10", "20")
    )

    assert [backend.name for backend in before.backends] == [backend.name for backend in after.backends]
    assert before.backends != after.backends
