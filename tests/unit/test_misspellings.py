"""Labels and variables that are nearly right are told with the name that is meant, and others are left alone."""

from __future__ import annotations

import pytest

from proxy.core.containers.containers import Container, ProxyContainer
from proxy.core.labels.labels import LABELS
from proxy.core.labels.misspellings import OF_OTHER_MODE, find_misspellings, find_own_labels, find_own_misspellings
from proxy.settings import RoutingMode
from proxy.settings.variables.all import VARIABLES
from tests.builders import make_container, with_labels

HOST = "aliyun.proxy.VIRTUAL_HOST"


def told(container: Container, mode: RoutingMode = RoutingMode.CUSTOM) -> list[str]:
    return [str(problem) for problem in find_misspellings(container, mode)]


MISSPELT = {
    "VIRTUAL_HOTS": "VIRTUAL_HOST",
    "virtual_host": "VIRTUAL_HOST",
    "VIRTUALHOST": "VIRTUAL_HOST",
    "VIRTUAL-HOST": "VIRTUAL_HOST",
    "VHOST": "VIRTUAL_HOST",
    "DOMAIN": "VIRTUAL_HOST",
    "VIRTUAL_HOST_WIEGHT": "VIRTUAL_HOST_WEIGHT",
    "Required": "required",
    "TCP_PORT": "TCP_PORTS",
    "EXCLUDE_PORT": "EXCLUDE_PORTS",
    "BALENCE": "BALANCE",
    "COOKIES": "COOKIE",
    "FORCE_HTTPS": "FORCE_SSL",
    "SSL_CERTIFICATE": "SSL_CERT",
    "HEALTHCHECK": "HEALTH_CHECK",
    "EXTRA_SETTING": "EXTRA_SETTINGS",
    "EXCLUDE_BASIC_AUHT": "EXCLUDE_BASIC_AUTH",
}


@pytest.mark.parametrize(("written", "meant"), MISSPELT.items(), ids=MISSPELT)
def test_misspelt_label_is_a_problem_with_the_nearest_name(written: str, meant: str) -> None:
    (problem,) = find_misspellings(make_container(labels=with_labels(**{written: "x"})), RoutingMode.CUSTOM)

    assert (f"aliyun.proxy.{written}", False) == (problem.setting, problem.is_note)
    assert f"did you mean aliyun.proxy.{meant}?" in problem.reason


@pytest.mark.parametrize(
    "key",
    [
        "aliyun.VIRTUAL_HOST",
        "aliyun.virtual_host",
        "aliyun_proxy.VIRTUAL_HOST",
        "aliyun-proxy.VIRTUAL_HOST",
        "aliyun_proxy_VIRTUAL_HOST",
        "ALIYUN.PROXY.VIRTUAL_HOST",
        "alyun.proxy.VIRTUAL_HOST",
        "aliyun.porxy.VIRTUAL_HOST",
        "aliyun.haproxy.VIRTUAL_HOST",
        "com.aliyun.proxy.VIRTUAL_HOST",
        "proxy.VIRTUAL_HOST",
        "VIRTUAL_HOST",
        '"aliyun.proxy.VIRTUAL_HOST',
        " aliyun.proxy.VIRTUAL_HOST",
    ],
)
def test_label_with_another_prefix_is_told(key: str) -> None:
    (line,) = told(make_container(labels={key: "a.com"}))

    assert line.endswith(f"did you mean {HOST}?")


def test_label_whose_name_holds_the_value_is_explained_without_it() -> None:
    """Compose makes such a label of `- "NAME: value"`."""
    (line,) = told(make_container(labels={"aliyun.proxy.SSL_CERT: -----BEGIN PRIVATE KEY-----\nx": ""}))

    assert ("BEGIN" in line, "\n" in line) == (False, False)
    assert line.startswith("container web-1: aliyun.proxy.SSL_CERT: has something after its name")


def test_value_of_a_misspelt_label_is_not_shown() -> None:
    assert "s3cret" not in str(told(make_container(labels=with_labels(SSL_CRET="s3cret"))))


def test_setting_of_the_proxy_as_a_label_is_told() -> None:
    (line,) = told(make_container(labels=with_labels(VIRTUAL_HOST="a.com", STATS_AUTH="a:b")))

    assert "set it as a variable of the proxy's container" in line


def test_every_label_is_right() -> None:
    labels = with_labels(**{label.name: "x" for label in LABELS})

    assert [] == told(make_container(labels=labels))


@pytest.mark.parametrize("mode", RoutingMode)
@pytest.mark.parametrize(
    "key",
    [
        *("aliyun.scale", "aliyun.global", "aliyun.depends", "aliyun.rolling_updates", "aliyun.custom_addon", "aliyun.gpu"),
        *("aliyun.lb.port_80", "aliyun.logs.catalina", "aliyun.log_store_x", "aliyun.probe.url", "aliyun.routing.weight"),
        *("com.docker.compose.project", "traefik.http.routers.web.rule", "maintainer", "proxy.enabled", "HOST"),
    ],
)
def test_labels_of_others_are_left_alone(key: str, mode: RoutingMode) -> None:
    assert [] == told(make_container(labels={key: "x"}), mode)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("aliyun_routing.port_80", "aliyun.routing.port_80"),
        ("aliyun.port_8080", "aliyun.routing.port_8080"),
        ("routing.port_80", "aliyun.routing.port_80"),
        ("aliyun.routng.session_sticky", "aliyun.routing.session_sticky"),
    ],
)
def test_label_of_simple_routing_with_another_prefix_is_told(key: str, meant: str) -> None:
    (line,) = told(make_container(labels={key: "a"}), RoutingMode.SIMPLE)

    assert line.endswith(f"did you mean {meant}?")


def test_route_of_the_other_mode_is_a_note_that_can_be_told_from_others() -> None:
    (custom,) = find_misspellings(make_container(labels={"aliyun.routing.port_80": "a"}), RoutingMode.CUSTOM)
    (simple,) = find_misspellings(make_container(virtual_host="a.com"), RoutingMode.SIMPLE)

    assert {*OF_OTHER_MODE} == {custom.reason, simple.reason}


def test_settings_without_a_route_are_a_note() -> None:
    (note,) = find_misspellings(make_container(labels=with_labels(BALANCE="source")), RoutingMode.CUSTOM)

    assert (True, "aliyun.proxy.BALANCE") == (note.is_note, note.setting)


@pytest.mark.parametrize("name", ["VIRTUAL_HOST", "virtual_host", "VIRTUAL_HOSTS", HOST])
def test_route_in_a_variable_of_an_unlinked_container_is_a_note(name: str) -> None:
    (note,) = find_misspellings(make_container(environment={name: "a.com", "PATH": "/bin"}), RoutingMode.CUSTOM)

    assert (True, name) == (note.is_note, note.setting)
    assert f"set the label {HOST}" in note.reason


@pytest.mark.parametrize("name", ["VIRTUAL_HOTS", "virtual_host", "EXCLUDE_BASIC_AUHT", HOST])
def test_misspelt_variable_of_a_linked_container_is_told(name: str) -> None:
    (line,) = told(make_container(alias="web", environment={name: "x"}))

    assert "is not a variable of the proxy; did you mean " in line


def test_other_variables_are_left_alone() -> None:
    usual = dict.fromkeys(("PATH", "HOSTNAME", "SSL_CERT_DIR", "SSL_CERT_FILE", "WEIGHTS", "DB_ENV_FORCE_SSL"), "x")

    assert [] == told(make_container(environment=usual))
    assert [] == told(make_container(alias="web", environment={**usual, "VIRTUAL_HOST": "a.com", "COOKIE": "x"}))
    assert [] == told(make_container(virtual_host="a.com", environment={"VIRTUAL_HOST": "a.com"}))


def test_labels_of_a_swarm_service_are_told() -> None:
    (line,) = told(make_container(service_labels=(HOST, "aliyun.scale")))

    assert line.startswith(f"container web-1: {HOST}: is in deploy.labels, which the containers do not get")


@pytest.mark.parametrize("name", ["VIRTUAL_HOST", "TCP_PORTS", "FORCE_SSL", "COOKIE", "EXCLUDE_BASIC_AUTH", "WEIGHT"])
def test_setting_of_a_service_on_the_proxy_is_a_note(name: str) -> None:
    (note,) = find_own_misspellings({name: "x", "PATH": "/bin"})

    assert str(note).startswith(f"the proxy: {name} is a setting of a service")
    assert f"aliyun.proxy.{name}" in note.reason


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("virtual_host", "the label aliyun.proxy.VIRTUAL_HOST"),
        ("FORCE_SSLL", "the label aliyun.proxy.FORCE_SSL"),
        ("BALENCE", "BALANCE"),
        ("TIMOUT", "TIMEOUT"),
        ("MAXCON", "MAXCONN"),
        ("stats_auth", "STATS_AUTH"),
        ("CERTS_FOLDER", "CERT_FOLDER"),
        ("PROXY_STATE_DIR", "PROXY_STATE_FOLDER"),
    ],
)
def test_misspelt_variable_of_the_proxy_is_a_note_with_the_nearest_name(name: str, meant: str) -> None:
    (note,) = find_own_misspellings({name: "x"})

    assert (True, True) == (note.is_note, f"did you mean {meant}" in note.reason)


def test_variables_of_the_proxy_and_of_others_are_left_alone() -> None:
    ours = [variable.name for variable in VARIABLES if "<" not in variable.name]
    others = ["PATH", "HOME", "HOSTNAME", "LANG", "TERM", "TZ", "DOCKER_HOST", "DOCKER_CERT_PATH", "HTTP_PROXY", "NO_PROXY"]
    image = ["PYTHON_VERSION", "HAPROXY_VERSION", "HAPROXY_URL", "HAPROXY_SHA256", "GPG_KEY", "SSL_CERT_FILE"]
    links = ["WEB_NAME", "WEB_PORT_80_TCP", "WEB_ENV_VIRTUAL_HOST", "X_ENV_EXCLUDE_BASIC_AUTH"]

    assert () == find_own_misspellings(dict.fromkeys((*ours, *others, *image, *links), "yes"))
    assert () == find_own_misspellings({"VIRTUAL_HOST": " "})


def test_labels_on_the_proxy_s_own_container_are_a_note() -> None:
    proxy = ProxyContainer(id="0" * 64, name="lb-1", labels={HOST: "a.com", "aliyun.custom_addon": "proxy"})

    assert [f"container lb-1: {HOST}"] == [
        str(note).partition(": has no effect")[0] for note in find_own_labels(proxy, RoutingMode.CUSTOM)
    ]
    assert () == find_own_labels(proxy, RoutingMode.SIMPLE)
