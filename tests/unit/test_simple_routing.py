"""The label grammar of simple routing: the seed's examples, its limits, and the messages about labels outside it."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import pytest

from proxy.core.labels.probing import Probe, Target
from proxy.core.labels.simple_routing import find_probe, parse_container
from proxy.core.labels.stickiness import COOKIE_DIRECTIVE
from tests.builders import make_container
from tests.simple import CLUSTER, parse_simple, simple_settings

PORT_80 = "aliyun.routing.port_80"
CLUSTER_DOMAIN = f"{CLUSTER}.cn-beijing.alicontainer.com"


def hosts_of(text: str, **variables: str) -> list[str]:
    """Return what a container whose port 80 has this label serves, as `domain` or `domain/path`."""
    ((spec,), problems) = parse_simple({PORT_80: text}, **variables)
    assert problems == ()
    return [f"{host.domain}{host.path}" for host in spec.virtual_hosts]


def problem_of(text: str, label: str = PORT_80) -> str:
    """Return the only problem of a container with this label. Only that label is lost: another port is still served."""
    specs, problems = parse_simple({label: text, "aliyun.routing.port_8080": "other.example.com"})
    assert [spec.label for spec in specs] == ["shop:web:8080"]
    (problem,) = problems
    return problem


# Sections 4.1, 4.4, 4.5, 4.8 and 4.10 of the seed's orchestration labels, 7.3, 7.5 and 7.6 of its service discovery.
SEED_EXAMPLES = {
    "wordpress;http://www.example.com;https://www.nice.com": [
        f"wordpress.{CLUSTER_DOMAIN}",
        "www.example.com",
        "www.nice.com",
    ],
    "wordpress;http://wp.sample.com/context": [
        f"wordpress.{CLUSTER_DOMAIN}",
        "wp.sample.com/context",
        "wp.sample.com/context/*",
    ],
    "http://wordpress": [f"wordpress.{CLUSTER_DOMAIN}"],
    "wordpress-with-log": [f"wordpress-with-log.{CLUSTER_DOMAIN}"],
    "www.aliyuntest.club": ["www.aliyuntest.club"],
    "http://www.example.com": ["www.example.com"],
    "restserver.local": ["restserver.local"],
}


@pytest.mark.parametrize(("text", "expected"), SEED_EXAMPLES.items(), ids=SEED_EXAMPLES)
def test_label_of_the_seed_names_its_addresses(text: str, expected: list[str]) -> None:
    assert expected == hosts_of(text, PROXY_CLUSTER_ID=CLUSTER, PROXY_REGION_ID="cn-beijing")


def test_root_domain_replaces_the_domain_of_the_cluster() -> None:
    variables = {"PROXY_CLUSTER_ID": "c2818a77aac20428488694c0cd1600e6e", "PROXY_REGION_ID": "cn-shenzhen"}

    before, after = hosts_of("nginx", **variables), hosts_of("nginx", **variables, PROXY_ROOT_DOMAIN="51ili.com")

    assert ["nginx.c2818a77aac20428488694c0cd1600e6e.cn-shenzhen.alicontainer.com"] == before
    assert ["nginx.51ili.com"] == after


def test_prefix_without_any_domain_is_a_name_of_this_machine() -> None:
    assert ["nginx.localhost"] == hosts_of("nginx")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("wp.sample.com:context", ["wp.sample.com/context", "wp.sample.com/context/*"], id="colon"),
        pytest.param("wp.sample.com:/context", ["wp.sample.com/context", "wp.sample.com/context/*"], id="colon and slash"),
        pytest.param("wp.sample.com/a/b/", ["wp.sample.com/a/b", "wp.sample.com/a/b/*"], id="slash at the end"),
        pytest.param("wp.sample.com/", ["wp.sample.com"], id="root"),
        pytest.param("shop/cart", ["shop.localhost/cart", "shop.localhost/cart/*"], id="prefix with path"),
        pytest.param("WSS://WWW.Example.COM", ["www.example.com"], id="any case, any scheme"),
        pytest.param("a.example.com;;a.example.com; b.example.com ;", ["a.example.com", "b.example.com"], id="list"),
        pytest.param(f"{'x' * 124}.com", [f"{'x' * 124}.com"], id="domain of 128 characters"),
        pytest.param(f"a.com/{'p' * 127}", [f"a.com/{'p' * 127}", f"a.com/{'p' * 127}/*"], id="path of 128 characters"),
    ],
)
def test_spelling_is_understood(text: str, expected: list[str]) -> None:
    assert expected == hosts_of(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(";", "contains no domain", id="empty list"),
        pytest.param("http://", "has no domain", id="no domain"),
        pytest.param("ftp://a.com", "scheme 'ftp' is not http, https, ws or wss", id="scheme"),
        pytest.param(f"{'x' * 125}.com", "the domain has 129 characters, more than 128", id="long domain"),
        pytest.param(f"a.com/{'p' * 128}", "the context path has 129 characters, more than 128", id="long path"),
        pytest.param("*.a.com", "has a wildcard, which simple routing does not support", id="wildcard"),
        pytest.param("a.com/x*", "the context path has a wildcard", id="wildcard in path"),
        pytest.param("a.com:8080", "has the port 8080; an address cannot have a port", id="port"),
        pytest.param("a.com:8080/x", "has the port 8080; an address cannot have a port", id="port and path"),
        pytest.param("a b.com", "; use letters, digits", id="blank"),
        pytest.param("a.com/x?y=1", "contains ? or #", id="query"),
        pytest.param("a.com/x y", "contains a blank or control character", id="blank in path"),
        pytest.param("a.com\nb.com", "; use letters, digits", id="line break"),
    ],
)
def test_label_outside_the_grammar_costs_only_itself(text: str, reason: str) -> None:
    problem = problem_of(text)

    assert problem.startswith(f"container web-1: {PORT_80}={text!r}"[:60])
    assert reason in problem


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        pytest.param("aliyun.routing.port_0", "port '0' is not a number from 1 to 65535", id="port 0"),
        pytest.param("aliyun.routing.port_http", "port 'http' is not a number", id="no number"),
        pytest.param("aliyun.routing.sesion_sticky", "did you mean aliyun.routing.session_sticky?", id="misspelt"),
        pytest.param("aliyun.probe.uri", "did you mean aliyun.probe.url?", id="misspelt probe"),
    ],
)
def test_unknown_label_is_told(label: str, reason: str) -> None:
    assert reason in problem_of("www.example.com", label)


def test_each_port_is_a_service_of_its_own() -> None:
    specs, problems = parse_simple({PORT_80: "www.example.com", "aliyun.routing.port_8080": "admin.example.com"})

    assert () == problems
    assert [("shop:web:80", (80,)), ("shop:web:8080", (8080,))] == [(spec.label, spec.ports) for spec in specs]


@pytest.mark.parametrize(
    ("labels", "cookie"),
    [
        pytest.param({}, COOKIE_DIRECTIVE, id="default"),
        pytest.param({"aliyun.routing.session_sticky": "true"}, COOKIE_DIRECTIVE, id="on"),
        pytest.param({"aliyun.routing.session_sticky": "false"}, None, id="off"),
        pytest.param({"aliyun.routing.session_sticky": "No"}, None, id="another-word-for-off"),
    ],
)
def test_stickiness_is_on_unless_a_label_says_false(labels: dict[str, str], cookie: str | None) -> None:
    ((spec,), _) = parse_simple({PORT_80: "wordpress;http://wp.sample.com/context", **labels})

    assert cookie == spec.settings.cookie


def test_setting_at_fault_is_told_and_has_its_default() -> None:
    labels = {PORT_80: "a.com", "aliyun.routing.weight": "-1", "aliyun.routing.session_sticky": "maybe"}

    ((spec,), problems) = parse_simple(labels)

    assert (100, COOKIE_DIRECTIVE) == (spec.settings.weight, spec.settings.cookie)
    assert [
        "container web-1: aliyun.routing.session_sticky='maybe': is neither true nor false",
        "container web-1: aliyun.routing.weight='-1': is not a whole number from 0 to 1000000",
    ] == list(problems)


# Sections 4.4 and 4.12 of the seed's orchestration labels, 7.6 of its service discovery.
SEED_PROBES = [
    pytest.param(
        {"url": "http://container/ping", "timeout_seconds": "10", "initial_delay_seconds": "3"},
        Probe(target=Target(port=80, path="/ping"), timeout_seconds=10, initial_delay_seconds=3),
        id="url",
    ),
    pytest.param({"url": "http://container:8080/ping"}, Probe(target=Target(port=8080, path="/ping")), id="url with port"),
    pytest.param({"url": "tcp://container:3306"}, Probe(target=Target(port=3306)), id="tcp"),
    pytest.param(
        {"cmd": "health_check.sh", "initial_delay_seconds": "3"},
        Probe(command="health_check.sh", initial_delay_seconds=3),
        id="cmd",
    ),
    pytest.param(
        {"url": "http://container/license.txt", "initial_delay_seconds": "10"},
        Probe(target=Target(port=80, path="/license.txt"), initial_delay_seconds=10),
        id="wordpress",
    ),
    pytest.param(
        {"url": "http://container:80", "initial_delay_seconds": "2", "timeout_seconds": "2"},
        Probe(target=Target(port=80, path="/"), initial_delay_seconds=2),
        id="restserver",
    ),
    pytest.param({"timeout_seconds": "10", "initial_delay_seconds": "x"}, None, id="neither url nor cmd"),
]


@pytest.mark.parametrize(("labels", "expected"), SEED_PROBES)
def test_probe_of_the_seed_is_understood(labels: dict[str, str], expected: Probe | None) -> None:
    probe = find_probe({PORT_80: "www.example.com", **{f"aliyun.probe.{name}": text for name, text in labels.items()}})

    assert expected == probe


def test_probe_of_a_container_without_a_route_is_not_ours() -> None:
    specs, problems = parse_simple({"aliyun.probe.url": "nonsense", "aliyun.probe.cmd": "true"})

    assert ((), ()) == (specs, problems)


def test_both_url_and_cmd_are_a_problem_and_url_is_used() -> None:
    labels = {PORT_80: "a.com", "aliyun.probe.url": "tcp://container:80", "aliyun.probe.cmd": "true"}

    ((spec,), problems) = parse_simple(labels)

    assert "check port 80 inter 2s fall 2 rise 2" == spec.settings.health_check
    (problem,) = problems
    assert problem.startswith("container web-1: aliyun.probe.cmd: is ignored, because aliyun.probe.url is set as well")


def test_command_probe_without_an_engine_is_a_problem() -> None:
    labels = {PORT_80: "a.com", "aliyun.probe.cmd": "true"}
    container = make_container(labels=labels, source="file")

    _, problems = parse_container(container, simple_settings().routing.simple)

    assert ["needs an engine to run the command, but this container is not from an engine"] == [p.reason for p in problems]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("true", {"www.example.com", "shop.localhost"}, id="all"),
        pytest.param("false", set(), id="none"),
        pytest.param("Yes", {"www.example.com", "shop.localhost"}, id="another word for true"),
        pytest.param("off", set(), id="another word for false"),
        pytest.param("www.example.com", {"www.example.com"}, id="a domain"),
        pytest.param("shop; www.example.com", {"www.example.com", "shop.localhost"}, id="domains"),
    ],
)
def test_redirect_is_per_domain(value: str, expected: AbstractSet[str]) -> None:
    labels = {PORT_80: "www.example.com;shop", "aliyun.routing.force_https": value}

    ((spec,), problems) = parse_simple(labels)

    assert (expected, ()) == (spec.redirected_domains, problems)


def test_redirect_of_a_strange_domain_is_told() -> None:
    _, problems = parse_simple({PORT_80: "www.example.com", "aliyun.routing.force_https": "www.exmaple.com"})

    assert "contains www.exmaple.com, but no aliyun.routing.port_<N> of this container has it" in problems[0]


def test_labels_of_custom_routing_and_of_orchestration_are_ignored() -> None:
    labels = {
        "aliyun.proxy.VIRTUAL_HOST": "http://appone.example.com",
        "aliyun.scale": "3",
        "aliyun.rolling_updates.parallelism": "2",
        "aliyun.lb.port_80": "http://slb:8080",
        "aliyun.log_store_wordpress": "stdout",
    }

    assert ((), ()) == parse_simple(labels)


BOUNDS = {
    "addresses": ({PORT_80: ";".join(f"a{number}.com" for number in range(501))}, "has 501 entries, more than 500"),
    "length": ({PORT_80: "a" * 70000}, "has 70000 characters, more than 65536"),
    "ports": ({f"aliyun.routing.port_{port}": f"a{port}" for port in range(1, 102)}, "one port more than the 100"),
    "command": ({PORT_80: "a", "aliyun.probe.cmd": "x" * 9000}, "has 9000 characters, more than 8192"),
    "path": ({PORT_80: "a", "aliyun.probe.url": "http://container/" + "x" * 1024}, "has a path of 1025 characters"),
}


@pytest.mark.parametrize(("labels", "reason"), BOUNDS.values(), ids=BOUNDS)
def test_label_that_makes_the_configuration_huge_is_told(labels: Mapping[str, str], reason: str) -> None:
    _, (problem,) = parse_simple(labels)

    assert reason in problem


HINTS = {
    "quotes": ("'wordpress'", "is in quotes, and they are part of the value"),
    "wide-semicolon": ("wordpress；blog", "it contains '；': write ';' instead"),
    "comma": ("wordpress,blog", "separate entries with ';'"),
    "blank": ("wordpress blog", "separate entries with ';'"),
    "slash": ("http:/wordpress", "write http://, then the domain at once"),
    "no-colon": ("https//wordpress", "write https://, then the domain at once"),
}


@pytest.mark.parametrize(("text", "hint"), HINTS.values(), ids=HINTS)
def test_typical_mistake_in_an_address_is_told(text: str, hint: str) -> None:
    _, (problem,) = parse_simple({PORT_80: text})

    assert hint in problem
