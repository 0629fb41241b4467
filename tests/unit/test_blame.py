"""From HAProxy's messages about a configuration to the service, container and label at fault."""

from pathlib import Path

import pytest

from proxy.core.haproxy.blame import Accusation, blame, find_setting, hide_values
from proxy.core.haproxy.file_names import CONFIG_FILE
from proxy.core.haproxy.rendering import DesiredState
from proxy.core.labels.labels import parse_container
from tests.builders import make_container, make_model, make_pem, make_renderer, make_settings, one_line, with_labels

CONTAINERS = (
    make_container("web-1", labels=with_labels(VIRTUAL_HOST="a.com", EXTRA_SETTINGS="rate-limit x, retries 7")),
    make_container("api-1", labels=with_labels(VIRTUAL_HOST="b.com:81", EXTRA_SETTINGS="retries 5")),
    make_container("twin-1", labels=with_labels(VIRTUAL_HOST="c.com", EXTRA_SETTINGS="retries 5")),
    make_container("db-1", labels=with_labels(TCP_PORTS="9000", EXTRA_SETTINGS="maxconn x"), ports=(9000,)),
    make_container("tls-1", labels=with_labels(VIRTUAL_HOST="d.com", SSL_CERT=one_line(make_pem("d.com")))),
)

API = next(backend.name for backend in make_model(*CONTAINERS).backends if backend.services == ("shop:api",))


@pytest.fixture
def state() -> DesiredState:
    return make_renderer(make_settings(), Path("/state")).render(make_model(*CONTAINERS))


def alert(state: DesiredState, line: str, text: str) -> str:
    """Return HAProxy's message about the first line that equals `line`."""
    lines = [written.strip() for written in state.files[CONFIG_FILE].splitlines()]
    return f"config : parsing [/state/{CONFIG_FILE}:{lines.index(line) + 1}] : {text}"


PLACES = {
    "line-of-a-backend": ("rate-limit x", ["shop:web"]),
    "line-of-a-profile": ("retries 5", ["shop:api", "shop:twin"]),
    "line-of-a-tcp-port": ("maxconn x", ["shop:db"]),
    "bind-of-a-port": ("bind :81,:::81 v6only", ["shop:api"]),
    "line-of-the-proxy": ("maxconn 4096", []),
    "port-of-everybody": ("bind :80,:::80 v6only", []),
}


@pytest.mark.parametrize(("line", "services"), PLACES.values(), ids=PLACES)
def test_line_leads_to_the_services_that_it_is_for(state: DesiredState, line: str, services: list[str]) -> None:
    found = blame([alert(state, line, "unknown keyword")], state)

    assert services == sorted(found)


NAMES = {
    "backend": ("config : backend 'shop:web' has no server available!", ["shop:web"]),
    "server": (f"config : server {API}/api-1.x:80' : unable to bind", ["shop:api"]),
    "certificate": ("unable to load certificate chain from file 'certs/shop~tls.pem'.", ["shop:tls"]),
    "nobody": ("config : not enough memory", []),
}


@pytest.mark.parametrize(("message", "services"), NAMES.values(), ids=NAMES)
def test_name_leads_to_its_services(state: DesiredState, message: str, services: list[str]) -> None:
    assert services == sorted(blame([message], state))


def test_first_accusation_counts_and_is_told_without_the_place(state: DesiredState) -> None:
    messages = [alert(state, "rate-limit x", "unknown keyword 'rate-limit'"), alert(state, "rate-limit x", "again")]

    expected = Accusation(message="unknown keyword 'rate-limit'", line="rate-limit x")
    assert {"shop:web": expected} == blame(messages, state)


def test_label_at_fault_is_the_one_whose_text_is_the_line() -> None:
    spec, _ = parse_container(CONTAINERS[0])
    assert spec

    found = find_setting([spec], Accusation(message="unknown keyword 'rate-limit'", line="rate-limit x"))

    assert ("web-1", "aliyun.proxy.EXTRA_SETTINGS", "") == found


def test_of_two_labels_in_one_line_it_is_the_one_that_the_message_quotes() -> None:
    labels = with_labels(VIRTUAL_HOST="a.com", HEALTH_CHECK="check inter 5s", EXTRA_ROUTE_SETTINGS="weight many")
    spec, _ = parse_container(make_container(labels=labels))
    assert spec
    line = "server web-1:80 127.0.0.1:80 check inter 5s weight many"

    found = find_setting([spec], Accusation(message="'server web-1:80' : unable to set weight 'many'.", line=line))

    assert ("web-1", "aliyun.proxy.EXTRA_ROUTE_SETTINGS", "") == found


def test_no_label_is_accused_for_a_line_that_none_has_written() -> None:
    spec, _ = parse_container(CONTAINERS[0])
    assert spec

    assert ("", "", "") == find_setting([spec], Accusation(message="bad", line="balance roundrobin"))


def test_words_of_lines_that_may_hold_passwords_are_hidden_in_a_message() -> None:
    labels = with_labels(VIRTUAL_HOST="a.com", EXTRA_SETTINGS=r"http-request set-header X-Key hunter2\ s+cr3t, retries 9x9x")
    labels = {**labels, **with_labels(HEALTH_CHECK="check inter 5parsecs", BALANCE="url_param visible")}
    specs = [spec for spec in (parse_container(make_container(labels=labels))[0],) if spec]

    message = "parsing http-request set-header 'X-Key hunter2 s+cr3t': near '9x9x' inter 5parsecs visible"

    assert "parsing http-request set-header '*** *** ***': near '***' inter *** visible" == hide_values(specs, message)
