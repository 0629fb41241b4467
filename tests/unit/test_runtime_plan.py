"""The plan for a change on a running HAProxy: which commands, in which order, or why a reload."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from proxy.core.containers.containers import Container, State
from proxy.core.haproxy.file_names import CONFIG_FILE
from proxy.core.haproxy.loaded import Loaded, load_sections
from proxy.core.haproxy.plans import Plan, Reload, RuntimeUpdate, Unchanged
from proxy.core.haproxy.runtime_commands import Command, ReplaceMap
from proxy.core.haproxy.runtime_plan import make_step
from proxy.core.labels.labels import parse_container
from proxy.core.model.backends import make_profile
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.model_index import ModelIndex
from proxy.core.model.service_table import Specs, label_specs
from proxy.grammar.certificates import parse_certificate
from proxy.settings import ProxyMode
from tests.builders import make_container, make_pem, make_renderer, make_settings, one_line, with_labels

OWN = ProxyCertificates(default=parse_certificate(make_pem("default.example")))
PEM_A, PEM_B = one_line(make_pem("a.com")), one_line(make_pem("www.a.com", "a.com"))


def web(name: str = "web-1", **labels: str) -> Container:
    return make_container(name, labels=with_labels(**{"VIRTUAL_HOST": "a.com", **labels}))


def api(**labels: str) -> Container:
    return make_container("api-1", labels=with_labels(**{"VIRTUAL_HOST": "b.com", **labels}))


def database(address: str = "10.0.0.1", **labels: str) -> Container:
    return make_container("db-1", ports=(9000,), address=address, labels=with_labels(**{"TCP_PORTS": "9000", **labels}))


def plan(
    before: tuple[Container, ...],
    after: tuple[Container, ...],
    *,
    has_runtime_backends: bool = True,
    certificates: ProxyCertificates = OWN,
) -> Plan:
    """Return the plan that leads from one set of containers to another, for an HAProxy that has loaded the first."""
    index = ModelIndex(make_settings(), None, certificates)
    index.update(groups_of(before))
    loaded = loaded_from(index, has_runtime_backends=has_runtime_backends)
    gone: dict[str, Specs] = dict.fromkeys(groups_of(before), ())
    change = index.update({**gone, **groups_of(after)})
    return make_step(change, loaded, leaving=frozenset(), leaving_backends={}).plan


def loaded_from(index: ModelIndex, *, has_runtime_backends: bool) -> Loaded:
    """Return what an HAProxy has loaded that was started from the model of `index`."""
    config = make_renderer(make_settings(), Path("/state")).render(index.model()).files[CONFIG_FILE]
    return load_sections(config, has_runtime_backends=has_runtime_backends)


def groups_of(containers: tuple[Container, ...]) -> Mapping[str, Specs]:
    return label_specs(spec for spec, _ in map(parse_container, containers) if spec)


def texts(found: Plan) -> list[str]:
    """Return the commands of a plan. For servers, the text after their address is cut off."""
    assert isinstance(found, RuntimeUpdate), found
    words = [command.text.split() for command in found.commands if isinstance(command, Command)]
    return [" ".join(line[:5] if line[0] == "add" else line) for line in words]


WEB_SERVER = "web-1.7765622d3100:80"
WEB_1 = f"shop:web/{WEB_SERVER}"
SOURCE = make_profile(ProxyMode.HTTP, ["balance source"])
WEB_SOURCE = "shop:web::" + SOURCE.name.removeprefix("profile_")
WEB_2 = "shop:web/web-2.7765622d3200:80"
API = "shop:api/api-1.6170692d3100:80"
DB = "tcp_9000/db-1.64622d310000:9000"

UPDATES = {
    "new-service": (
        (web(),),
        (web(), api()),
        [
            f"add backend shop:api from {make_profile(ProxyMode.HTTP, ['balance roundrobin']).name}",
            f"add server {API} 127.0.0.1:80 check",
            f"enable health {API}",
            f"set server {API} state ready",
            "publish backend shop:api",
            "add map maps/80-hosts.map",
        ],
    ),
    "service-is-gone": (
        (web(), api()),
        (web(),),
        ["del map maps/80-hosts.map b.com", "unpublish backend shop:api", f"set server {API} state maint"],
    ),
    "scaled-up": (
        (web(),),
        (web(), web("web-2")),
        [f"add server {WEB_2} 127.0.0.1:80 check", f"enable health {WEB_2}", f"set server {WEB_2} state ready"],
    ),
    "scaled-down": ((web(), web("web-2")), (web(),), [f"set server {WEB_2} state maint"]),
    "another-virtual-host": (
        (web(),),
        (web(VIRTUAL_HOST="c.com"),),
        ["add map maps/80-hosts.map", "del map maps/80-hosts.map a.com"],
    ),
    "paths-are-there-before-they-are-asked-for": (
        (web(),),
        (web(VIRTUAL_HOST="a.com/x, a.com/y/*"),),
        [
            "add map maps/80-prefixes.map",
            "add map maps/80-paths.map",
            "add map maps/80-choices.map",
            "del map maps/80-hosts.map a.com",
        ],
    ),
    "paths-are-gone-after-nobody-asks-for-them": (
        (web(VIRTUAL_HOST="a.com/x, a.com/y/*"),),
        (web(),),
        [
            "add map maps/80-hosts.map",
            "del map maps/80-choices.map ha.com",
            "del map maps/80-paths.map ha.com/x",
            "del map maps/80-prefixes.map ha.com/y/",
        ],
    ),
    "another-address": (
        (database(),),
        (database("10.0.0.2"),),
        [f"set server {DB} addr 10.0.0.2 port 9000"],
    ),
    "settings-that-another-service-has": (
        (web(), api(BALANCE="source")),
        (web(BALANCE="source"), api(BALANCE="source")),
        [
            f"add backend {WEB_SOURCE} from {SOURCE.name}",
            f"add server {WEB_SOURCE}/{WEB_SERVER} 127.0.0.1:80 check",
            f"enable health {WEB_SOURCE}/{WEB_SERVER}",
            f"set server {WEB_SOURCE}/{WEB_SERVER} state ready",
            f"publish backend {WEB_SOURCE}",
            f"set map maps/80-hosts.map a.com {WEB_SOURCE}",
            "unpublish backend shop:web",
            f"set server {WEB_1} state maint",
        ],
    ),
    "new-certificate": (
        (web(),),
        (web(SSL_CERT=PEM_A),),
        [
            "new ssl cert certs/shop~web.pem",
            "set ssl cert certs/shop~web.pem",
            "commit ssl cert certs/shop~web.pem",
            "add ssl crt-list certificates.list certs/shop~web.pem",
        ],
    ),
    "renewed-certificate": (
        (web(SSL_CERT=PEM_A),),
        (web(SSL_CERT=PEM_B),),
        ["set ssl cert certs/shop~web.pem", "commit ssl cert certs/shop~web.pem"],
    ),
    "certificate-is-gone": (
        (web(SSL_CERT=PEM_A),),
        (web(),),
        ["del ssl crt-list certificates.list certs/shop~web.pem", "del ssl cert certs/shop~web.pem"],
    ),
}


@pytest.mark.parametrize(("before", "after", "commands"), UPDATES.values(), ids=UPDATES)
def test_change_takes_these_commands_and_no_reload(
    before: tuple[Container, ...], after: tuple[Container, ...], commands: list[str]
) -> None:
    assert commands == texts(plan(before, after))


RELOADS = {
    "new-port": ((web(),), (web(VIRTUAL_HOST="a.com:81"),), "new listening port 81"),
    "port-is-gone": ((web(VIRTUAL_HOST="a.com:81"),), (web(),), "port 81 is no longer used"),
    "port-turns-tls": (
        (web(VIRTUAL_HOST="a.com:81"),),
        (web(VIRTUAL_HOST="https://a.com:81"),),
        "port 81 changes its settings",
    ),
    "new-tcp-port": ((web(),), (web(), database()), "new TCP port 9000"),
    "tcp-port-changes": (
        (database(),),
        (database(BALANCE="source"),),
        "TCP port 9000 changes its settings",
    ),
    "settings-of-a-backend": (
        (web(),),
        (web(BALANCE="source"),),
        f"new backend {WEB_SOURCE} has settings that HAProxy has not loaded",
    ),
    "settings-that-stand-in-the-backend": (
        (web(APPSESSION="S len 8 timeout 1h"),),
        (web(APPSESSION="S len 9 timeout 1h"),),
        "backend shop:web changes its settings",
    ),
    "settings-of-a-server": (
        (web(),),
        (web(HEALTH_CHECK="check inter 1s"),),
        f"server {WEB_1} changes its settings",
    ),
    "settings-that-no-other-has": (
        (web(),),
        (web(), api(BALANCE="source")),
        f"new backend shop:api::{SOURCE.name.removeprefix('profile_')} has settings that HAProxy has not loaded",
    ),
    "settings-that-only-a-file-can-give": (
        (web(),),
        (web(), api(APPSESSION="S len 8 timeout 1h")),
        "new backend shop:api has settings that need a reload",
    ),
}


@pytest.mark.parametrize(("before", "after", "reason"), RELOADS.values(), ids=RELOADS)
def test_change_takes_a_reload_for_this_reason(
    before: tuple[Container, ...], after: tuple[Container, ...], reason: str
) -> None:
    found = plan(before, after)

    assert isinstance(found, Reload)
    assert reason in found.reasons


@pytest.mark.parametrize("is_back", [False, True], ids=["to-patterns", "from-patterns"])
def test_host_is_tried_in_order_only_while_its_patterns_are_there(is_back: bool) -> None:
    """An ordered map is replaced as a whole, before the host is sent to it and after it no longer is."""
    by_path, in_order = (web(VIRTUAL_HOST="a.com/x"),), (web(VIRTUAL_HOST="a.com/x, a.com/*.js"),)

    found = plan(in_order, by_path) if is_back else plan(by_path, in_order)

    assert isinstance(found, RuntimeUpdate)
    steps = [action.file if isinstance(action, ReplaceMap) else action.text for action in found.commands]
    order = ["maps/80-patterns.map", f"set map maps/80-choices.map ha.com {'/' if is_back else '~'}"]
    assert (order[::-1] if is_back else order) == [step for step in steps if step in order]


def test_other_default_certificate_is_taken_into_use_as_a_renewed_one() -> None:
    """Its file has the same name, no matter whose certificate it is."""
    before, after = (web(DEFAULT_SSL_CERT=PEM_A),), (web(DEFAULT_SSL_CERT=PEM_A), api(DEFAULT_SSL_CERT=PEM_B))

    commands = texts(plan(before, after, certificates=ProxyCertificates()))

    assert ["set ssl cert certs/default/cert0.pem", "commit ssl cert certs/default/cert0.pem"] == [
        command for command in commands if "default/" in command
    ]


@pytest.mark.parametrize(("before", "after"), [((web(),), (web(), api())), ((web(), api()), (web(),))], ids=["new", "gone"])
def test_older_haproxy_takes_a_reload_for_a_backend(before: tuple[Container, ...], after: tuple[Container, ...]) -> None:
    found = plan(before, after, has_runtime_backends=False)

    assert isinstance(found, Reload)
    assert found.reasons[0].endswith("backend shop:api; this HAProxy version needs a reload for it")


def test_first_certificate_takes_a_reload() -> None:
    found = plan((web(),), (web(SSL_CERT=PEM_A),), certificates=ProxyCertificates())

    assert Reload(("TLS termination begins or ends",)) == found


def test_same_containers_take_nothing() -> None:
    assert isinstance(plan((web(), api(), database()), (database(), api(), web())), Unchanged)


def test_server_of_a_stopping_container_gets_no_more_requests() -> None:
    stopping = make_container(labels=with_labels(VIRTUAL_HOST="a.com"), state=State.STOPPING)

    assert [f"set server {WEB_1} state maint"] == texts(plan((web(),), (stopping,)))


def test_server_that_comes_back_while_its_connections_end_is_taken_back() -> None:
    index = ModelIndex(make_settings(), None, OWN)
    index.update(groups_of((web(),)))
    change = index.update(groups_of((web(), web("web-2"))))
    backend, _, server = WEB_2.partition("/")

    found = make_step(change, Loaded(), leaving=frozenset({(backend, server)}), leaving_backends={}).plan

    assert [
        f"set server {WEB_2} addr 127.0.0.1 port 80",
        f"set server {WEB_2} weight 1",
        f"set server {WEB_2} state ready",
    ] == texts(found)
    assert isinstance(found, RuntimeUpdate)
    assert ((backend, server),) == found.servers_returning


def test_reload_without_a_reason_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        Reload(())
