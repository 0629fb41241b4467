"""What a container asks for: which containers and ports take part, which value is used, and how faults are reported."""

from typing import Any

import pytest

from proxy.core.containers.containers import Container, ContainerPort
from proxy.core.labels.labels import LABELS, parse_container
from proxy.core.labels.specs import ContainerSpec, TcpPort
from proxy.settings import ExtraSettings
from tests.builders import make_container, make_pem, one_line, with_labels


def spec_of(container: Container) -> ContainerSpec:
    """Return the spec of a container that has no faults."""
    spec, problems = parse_container(container)
    assert () == problems
    assert spec is not None
    return spec


@pytest.mark.parametrize(
    ("labels", "takes_part"),
    [
        pytest.param({"VIRTUAL_HOST": "a.com"}, True, id="virtual-host"),
        pytest.param({"required": "true"}, True, id="required"),
        pytest.param({"required": "TRUE"}, True, id="required-in-capitals"),
        pytest.param({"TCP_PORTS": "9000"}, True, id="tcp-ports"),
        pytest.param({"required": "false"}, False, id="not-required"),
        pytest.param({"VIRTUAL_HOST": " "}, False, id="empty"),
        pytest.param({"BALANCE": "source"}, False, id="settings-alone"),
        pytest.param({}, False, id="nothing"),
    ],
)
def test_container_takes_part_when_a_label_says_so(labels: dict[str, str], takes_part: bool) -> None:
    spec, problems = parse_container(make_container(labels=with_labels(**labels)))

    assert (takes_part, ()) == (spec is not None, problems)


def test_labels_of_orchestrators_are_left_alone() -> None:
    labels = {"aliyun.scale": "x", "aliyun.proxy.unknown": "x", "com.docker.compose.project": "shop"}

    assert (None, ()) == parse_container(make_container(labels=labels))


PUBLISHED = tuple(ContainerPort(number=number, published=number > 8000) for number in (80, 8080, 9090))
EXPOSED = tuple(ContainerPort(number=number) for number in (80, 443))


@pytest.mark.parametrize(
    ("ports", "overrides", "labels", "expected"),
    [
        pytest.param(EXPOSED, {}, {}, (80, 443), id="exposed"),
        pytest.param(PUBLISHED, {}, {}, (8080, 9090), id="published-if-any-is"),
        pytest.param(PUBLISHED, {"alias": "web"}, {}, (80, 8080, 9090), id="all-exposed-of-a-link"),
        pytest.param(EXPOSED, {}, {"EXCLUDE_PORTS": "443, 3306"}, (80,), id="excluded"),
        pytest.param(PUBLISHED, {}, {"EXCLUDE_PORTS": "8080,9090"}, (), id="all-excluded"),
        pytest.param(EXPOSED, {}, {"TCP_PORTS": "443/ssl"}, (80,), id="tcp"),
        pytest.param((), {}, {"PORTS": "8081, 8080,8081"}, (8080, 8081), id="named-and-not-exposed"),
        pytest.param(EXPOSED, {}, {"PORTS": "443"}, (443,), id="one-of-the-exposed"),
        pytest.param(PUBLISHED, {}, {"PORTS": "80"}, (80,), id="named-beside-the-published"),
        pytest.param(EXPOSED, {"alias": "web", "environment": {"PORTS": "443"}}, {}, (443,), id="named-by-a-variable"),
        pytest.param((), {}, {"PORTS": "1,2,3", "EXCLUDE_PORTS": "1", "TCP_PORTS": "3"}, (2,), id="named-less-the-others"),
        pytest.param(EXPOSED, {}, {"TCP_PORTS": "9000"}, (80, 443), id="tcp-not-exposed"),
    ],
)
def test_routed_ports(
    ports: tuple[ContainerPort, ...], overrides: dict[str, Any], labels: dict[str, str], expected: tuple[int, ...]
) -> None:
    given = with_labels(VIRTUAL_HOST="a.com", **labels)
    container = Container(id="1", name="web-1", ports=ports, labels=given, **overrides)

    assert expected == spec_of(container).ports


def test_tcp_ports_are_those_named_exposed_or_not() -> None:
    spec = spec_of(make_container(labels=with_labels(TCP_PORTS="9001, 9000/ssl, 9002/tcp")))

    expected = (TcpPort(number=9000, tls=True), TcpPort(number=9001), TcpPort(number=9002))
    assert expected == spec.tcp_ports


def test_linked_container_is_configured_by_its_variables() -> None:
    environment = {"VIRTUAL_HOST": "a.com", "BALANCE": "source", "PATH": "/bin", "FORCE_SSL": "yes"}

    spec = spec_of(make_container(alias="web", environment=environment))

    assert ("a.com", "source", True) == (spec.virtual_host_text, spec.settings.balance, spec.settings.force_ssl)


def test_linked_container_takes_part_without_any_setting() -> None:
    assert () == spec_of(make_container(alias="web")).virtual_hosts


def test_variables_of_other_containers_mean_nothing() -> None:
    container = make_container(virtual_host="a.com", environment={"BALANCE": "source", "VIRTUAL_HOST": "b.com"})

    assert ("a.com", None) == (spec_of(container).virtual_host_text, spec_of(container).settings.balance)


def test_label_wins_over_variable() -> None:
    container = make_container(
        alias="web", labels=with_labels(BALANCE="source"), environment={"BALANCE": "leastconn", "COOKIE": "SRV insert"}
    )

    settings = spec_of(container).settings

    assert ("source", "SRV insert") == (settings.balance, settings.cookie)


@pytest.mark.parametrize(("alias", "expected"), [("web", "web"), ("web-1", "web"), ("web_2", "web"), ("web-1-b", "web-1-b")])
def test_aliases_that_differ_in_their_number_are_one_service(alias: str, expected: str) -> None:
    container = make_container(alias=alias, project="", service="")

    assert expected == spec_of(container).service


FAULTS = {
    "VIRTUAL_HOST": ("ftp://a.com", "is not http, https, ws or wss"),
    "VIRTUAL_HOST_WEIGHT": ("high", "is not an integer"),
    "required": ("perhaps", "is neither true nor false"),
    "TCP_PORTS": ("9000/udp", "only /ssl may follow a port"),
    "EXCLUDE_PORTS": ("80-90", "is not a number from 1 to 65535"),
    "BALANCE": ("fastest", "is not a balancing algorithm"),
    "COOKIE": ("'SRV'\ninsert", "is a single line"),
    "APPSESSION": ("JSESSIONID", "is not 'COOKIE len LENGTH timeout TIME'"),
    "HSTS_MAX_AGE": ("1 year", "is not a number of seconds"),
    "GZIP_COMPRESSION_TYPE": ("text/html 'x'", "must be a single word"),
    "HEALTH_CHECK": ('check port "$PORT"', "uses an environment variable"),
    "HTTP_CHECK": ("what?", "is not an HTTP check"),
    "OPTION": ("httpchk 'x", "ends inside quotes"),
    "EXTRA_ROUTE_SETTINGS": ("check\nserver x", "is a single line"),
    "EXTRA_SETTINGS": ("defaults", "starts a new section"),
    "WEIGHT": ("-1", "is not a whole number from 0"),
}


@pytest.mark.parametrize(("name", "value", "reason"), [(name, *fault) for name, fault in FAULTS.items()], ids=FAULTS)
def test_fault_is_told_with_container_label_and_value(name: str, value: str, reason: str) -> None:
    labels = {**with_labels(required="true"), **with_labels(**{name: value})}

    spec, problems = parse_container(make_container(labels=labels))

    assert spec is None
    (problem,) = problems
    shown = value if next(label for label in LABELS if label.name == name).is_shown else ""
    assert ("shop:web", "web-1", f"aliyun.proxy.{name}", shown) == (
        problem.service,
        problem.container,
        problem.setting,
        problem.value,
    )
    assert reason in problem.reason


def test_every_fault_of_a_container_is_told() -> None:
    labels = with_labels(VIRTUAL_HOST="a.com:x", BALANCE="fastest", HSTS_MAX_AGE="soon")

    _, problems = parse_container(make_container(labels=labels))

    assert ["BALANCE", "HSTS_MAX_AGE", "VIRTUAL_HOST"] == sorted(p.setting.removeprefix("aliyun.proxy.") for p in problems)


@pytest.mark.parametrize("name", ["SSL_CERT", "DEFAULT_SSL_CERT"])
def test_fault_in_a_secret_does_not_show_it(name: str) -> None:
    labels = {**with_labels(VIRTUAL_HOST="a.com"), **with_labels(**{name: one_line(make_pem("a.com"))[:300]})}

    _, problems = parse_container(make_container(labels=labels))

    (problem,) = problems
    assert "" == problem.value
    assert "PRIVATE KEY-----" not in str(problem)


def test_free_form_labels_can_be_forbidden() -> None:
    labels = with_labels(VIRTUAL_HOST="a.com", EXTRA_SETTINGS="balance source")

    spec, problems = parse_container(make_container(labels=labels), extra_settings=ExtraSettings.FORBIDDEN)

    assert spec is None
    assert ["aliyun.proxy.EXTRA_SETTINGS"] == [problem.setting for problem in problems]


def test_every_label_is_explained_in_both_languages() -> None:
    assert [] == [label.name for label in LABELS if not (label.help and label.help_zh)]


@pytest.mark.parametrize("word", ["false", "no", "off", "0", "FALSE", "No", "oFF"])
@pytest.mark.parametrize("name", [label.name for label in LABELS if label.is_switch] + ["required"])
def test_words_that_mean_no_turn_a_switch_off(name: str, word: str) -> None:
    """`EXCLUDE_BASIC_AUTH: "false"` must not open the site."""
    plain = spec_of(make_container(labels=with_labels(TCP_PORTS="9000")))

    spec = spec_of(make_container(labels=with_labels(TCP_PORTS="9000", **{name: word})))

    assert plain.settings == spec.settings


def test_word_that_means_no_does_not_route_a_container() -> None:
    assert (None, ()) == parse_container(make_container(labels=with_labels(required="off")))


@pytest.mark.parametrize("word", ["true", "yes", "on", "1", "YES", "On"])
def test_words_that_mean_yes_turn_every_switch_on(word: str) -> None:
    labels = with_labels(required=word, FORCE_SSL=word, EXCLUDE_BASIC_AUTH=word, FAILOVER=word)

    settings = spec_of(make_container(labels=labels)).settings

    assert (True, True, True) == (settings.force_ssl, settings.exclude_basic_auth, settings.is_backup)


def test_other_words_turn_a_switch_on_with_a_note() -> None:
    spec, notes = parse_container(make_container(labels=with_labels(VIRTUAL_HOST="a.com", FORCE_SSL="always")))

    (note,) = notes
    assert spec is not None
    assert (True, True) == (spec.settings.force_ssl, note.is_note)
    assert "container web-1: aliyun.proxy.FORCE_SSL='always': is neither yes nor no, and counts as yes" in str(note)


BOUNDS = {
    "tcp-ports": ({"TCP_PORTS": ",".join(map(str, range(1, 1001)))}, "has 1000 entries, more than 100"),
    "excluded-ports": ({"EXCLUDE_PORTS": ",".join(map(str, range(1, 1001)))}, "has 1000 entries, more than 100"),
    "hosts": ({"VIRTUAL_HOST": ",".join(f"a{number}.com" for number in range(501))}, "has 501 entries, more than 500"),
    "types": ({"GZIP_COMPRESSION_TYPE": "a/b " * 61}, "has 61 entries, more than 60"),
    "options": ({"OPTION": "httpclose," * 61}, "has 61 entries, more than 60"),
    "length": ({"NETWORK": "a" * 8193}, "has 8193 characters, more than 8192"),
    "certificate": ({"SSL_CERT": "a" * 65537}, "has 65537 characters, more than 65536"),
    "session": ({"APPSESSION": "J len 100000000 timeout 3h"}, "has a length of more than 512"),
    "integer": ({"VIRTUAL_HOST_WEIGHT": "9" * 5000}, "is not an integer of at most 9 digits"),
    "weight": ({"WEIGHT": "9" * 5000}, "is not a whole number from 0 to 1000000"),
    "seconds": ({"HSTS_MAX_AGE": "9" * 5000}, "is not a number of seconds"),
    "scheme": ({"VIRTUAL_HOST": "x" * 900 + "://a.com"}, "is not http, https, ws or wss"),
    "suffix": ({"TCP_PORTS": "80/" + "x" * 900}, "only /ssl may follow a port"),
    "port": ({"VIRTUAL_HOST": "a.com:" + "9" * 900}, "is not a number from 1 to 65535"),
}


@pytest.mark.parametrize(("labels", "reason"), BOUNDS.values(), ids=BOUNDS)
def test_value_that_is_too_long_is_told(labels: dict[str, str], reason: str) -> None:
    spec, (problem,) = parse_container(make_container(labels=with_labels(**{"VIRTUAL_HOST": "a.com", **labels})))

    assert spec is None
    assert reason in problem.reason
    assert len(str(problem)) < 700


def test_container_that_exposes_a_range_of_ports_is_told() -> None:
    ports = tuple(range(1, 1001))

    spec, (problem,) = parse_container(make_container(ports=ports, labels=with_labels(VIRTUAL_HOST="a.com")))

    assert spec is None
    assert "has 1000 ports to route to, more than 100" in problem.reason


MISTAKES = {
    "quotes": ("VIRTUAL_HOST", "'a.com'", "is in quotes, and they are part of the value"),
    "double-quotes": ("HSTS_MAX_AGE", '"300"', "is in quotes, and they are part of the value"),
    "quoted-lines": ("EXTRA_SETTINGS", "'retries 2'", "is in quotes, and they are part of the value"),
    "wide-comma": ("VIRTUAL_HOST", "a.com，b.com", "it contains '，': write ',' instead"),
    "wide-comma-of-ports": ("TCP_PORTS", "80，81", "it contains '，': write ',' instead"),
    "wide-comma-in-a-path": ("VIRTUAL_HOST", "a.com/x，b.com/y", "write each address as an entry of its own"),
    "enumeration-comma": ("EXCLUDE_PORTS", "80、81", "it contains '、': write ',' instead"),
    "wide-colon": ("VIRTUAL_HOST", "a.com：8080", "it contains '：': write ':' instead"),
    "semicolon": ("VIRTUAL_HOST", "a.com;b.com", "separate entries with ','"),
    "semicolon-before-a-scheme": ("VIRTUAL_HOST", "a.com/x;http://b.com", "write each address as an entry of its own"),
    "semicolon-of-types": ("GZIP_COMPRESSION_TYPE", "text/html;text/css", "separate entries with ','"),
    "semicolon-of-options": ("OPTION", "httpclose;redispatch", "separate entries with ','"),
    "semicolon-of-lines": ("EXTRA_SETTINGS", "balance source; retries 2", "separate entries with ','"),
    "blanks": ("TCP_PORTS", "9000 9001", "separate entries with ','"),
    "blank-between-hosts": ("VIRTUAL_HOST", "a.com b.com", "separate entries with ','"),
    "line-break-between-hosts": ("VIRTUAL_HOST", "a.com\nb.com", "separate entries with ','"),
    "one-slash": ("VIRTUAL_HOST", "http:/a.com", "write http://, then the domain at once"),
    "no-colon": ("VIRTUAL_HOST", "https//a.com", "write https://, then the domain at once"),
    "blank-after-the-scheme": ("VIRTUAL_HOST", "https:// a.com", "write https://, then the domain at once"),
    "three-slashes": ("VIRTUAL_HOST", "ws:///a.com", "write ws://, then the domain at once"),
    "two-schemes": ("VIRTUAL_HOST", "http://https://a.com", "write http://, then the domain at once"),
}


@pytest.mark.parametrize(("name", "text", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_typical_mistake_is_told(name: str, text: str, hint: str) -> None:
    spec, (problem,) = parse_container(make_container(labels=with_labels(**{"required": "true", name: text})))

    assert spec is None
    assert hint in problem.reason


@pytest.mark.parametrize("host", ["http.example.com", "https:8443/x", "wss", "https/path", "a.com/;v=1", "a.com/x,b.com"])
def test_host_that_only_looks_like_a_mistake_is_routed(host: str) -> None:
    assert spec_of(make_container(virtual_host=host)).virtual_hosts


@pytest.mark.parametrize(("text", "is_open"), [("'false'", False), ('"no"', False), ("'yes'", True)])
def test_switch_in_quotes_means_what_it_says(text: str, is_open: bool) -> None:
    settings = spec_of(make_container(labels=with_labels(VIRTUAL_HOST="a.com", EXCLUDE_BASIC_AUTH=text))).settings

    assert is_open == settings.exclude_basic_auth


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("300", "max-age=300; includeSubDomains", id="seconds, as in the old images"),
        pytest.param("max-age=300", "max-age=300", id="without the subdomains"),
        pytest.param("300; includeSubdomains; preload", "max-age=300; includeSubDomains; preload", id="as in a header"),
        pytest.param("max-age=0 ;preload;", "max-age=0; preload", id="blanks and a last semicolon"),
    ],
)
def test_value_of_strict_transport_security(value: str, expected: str) -> None:
    spec = spec_of(make_container(labels=with_labels(VIRTUAL_HOST="a.com", HSTS_MAX_AGE=value)))

    assert expected == spec.settings.hsts_max_age


@pytest.mark.parametrize("value", ["300; everything", "max-age=; preload", "-1", "includeSubDomains"])
def test_value_of_strict_transport_security_that_is_none(value: str) -> None:
    _, problems = parse_container(make_container(labels=with_labels(VIRTUAL_HOST="a.com", HSTS_MAX_AGE=value)))

    assert ["aliyun.proxy.HSTS_MAX_AGE"] == [problem.setting for problem in problems]
