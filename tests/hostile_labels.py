"""Random labels, variables and names, as a careless user writes them and as a hostile one would (hypothesis strategies).

Every value is made of pieces that mean something to some grammar, of examples that are right, and of anything at all. So
many values are nearly right, which is where a parser is most likely to go wrong.
"""

from __future__ import annotations

import os
import re
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from proxy.core.containers.containers import Container, Health, State
from proxy.core.labels.label import Label
from proxy.core.labels.labels import LABELS, PREFIX
from proxy.core.labels.simple_routing import ROUTING_LABELS
from proxy.settings.variables.all import VARIABLES
from proxy.settings.variables.variable import Variable
from tests.builders import make_container, make_pem, one_line

SOAK_EXAMPLES = int(os.environ.get("SOAK_EXAMPLES", "100000"))
"""How many examples each long run tries."""


def examples(number: int) -> settings:
    """Return settings for a test that tries `number` examples, however long one takes."""
    return settings(max_examples=number, deadline=None, suppress_health_check=list(HealthCheck))


BYSTANDER_HOST = "bystander.example"
"""The host of a service that nobody else may change."""

PIECES = (
    *("*", "**", ".", "/", "//", ":", "://", ",", ";", "=", "?", "#", "@", "%", "$", "~", "-", "_", "|", "&", "!", "^", "+"),
    *(
        " ",
        "\t",
        "\n",
        "\r\n",
        "\\",
        "\\n",
        "\\,",
        "\0",
        "\x1b[31m",
        "\u2028",
        "\u202e",
        "\ufeff",
        "，",
        "。",
        "é",
        "ß",
        "中",
    ),
    *('"', "'", "`", "{", "}", "[", "]", "(", ")", "<", ">", "${HOME}", "$(id)", "%[req.hdr(host)]", "%ci", "'\"'\"'"),
    *("http", "https", "ws", "wss", "tcp", "ssl", "a", "www", "example", "com", "localhost", "xn--", "web", "v1", "json"),
    *("0", "1", "-1", "80", "443", "1936", "65535", "65536", "99999999999999999999", "1e9", "0x50", "٣", "3s", "10d", "1.5"),
    *("true", "false", "yes", "no", "on", "off", "roundrobin", "source", "leastconn", "uri", "hash", "insert", "indirect"),
    *("check", "inter", "weight", "backup", "send-proxy", "agent-check", "cookie", "server", "server-template", "backend"),
    *("frontend", "global", "defaults", "listen", "http-request", "set-header", "lua.x", "use_backend", "option", "timeout"),
    *("/etc/passwd", "../", "ca-file", "crt", "file", "map(", "reqrep", "rspadd", "acl", "stick-table", "errorfile", "log"),
    *("-----BEGIN CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----", "user:secret", "$6$salt$hash", "nbproc", "mode tcp"),
)

_pieces = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
_spaced_pieces = st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join)
_long = st.builds(lambda piece, times: piece * times, st.sampled_from(PIECES), st.integers(100, 3000))
_rows: tuple[Label | Variable, ...] = (*LABELS, *ROUTING_LABELS, *VARIABLES)
_examples = sorted({text for row in _rows for text in (row.example, row.default) if text})
_hosts = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(("", "http://", "https://", "ws://", "wss://")),
    st.sampled_from(("a.example", "*.a.example", "A.example.", "*", "*/v*/users/*.json", "www.*", "straße.example")),
    st.sampled_from(("", ":80", ":8080", ":443", ":0")),
    st.sampled_from(("", "/", "/cart", "/*", "/a*b*c", "*.php")),
)
values = st.one_of(
    st.sampled_from(_examples),
    st.lists(_hosts, min_size=1, max_size=3).map(", ".join),
    _pieces,
    _spaced_pieces,
    st.builds("{}{}".format, st.sampled_from(_examples), _pieces),
    st.builds("{}{}".format, _pieces, st.sampled_from(_examples)),
    _long,
    st.text(max_size=40),
    st.just(one_line(make_pem("a.example"))),
)
"""Values of labels and variables."""

names = st.one_of(
    st.sampled_from(("shop", "web", "web-1", "a:b", "shared", "stats", "http", "", "*", "容器", "..", "a b")),
    _pieces.map(lambda text: text[:60]),
    st.text(max_size=20),
)
"""Names of projects, services and containers."""

label_names = st.one_of(
    st.sampled_from([f"{PREFIX}{label.name}" for label in LABELS]),
    st.sampled_from([label.name for label in ROUTING_LABELS]),
    st.sampled_from(
        ("aliyun.routing.port_80", "aliyun.routing.port_x", "aliyun.proxy.", "aliyun.proxy.virtual_host", "aliyun")
    ),
    _pieces,
)
label_sets = st.dictionaries(label_names, values, max_size=6)


routing_label_sets = st.dictionaries(
    st.sampled_from(("aliyun.routing.port_80", "aliyun.routing.port_443", *(label.name for label in ROUTING_LABELS))),
    values | st.sampled_from(("shop", "shop;http://a.example/cart", "http://container/ping", "a.example:/b")),
    max_size=6,
)
"""Labels that simple routing reads."""


@st.composite
def containers(draw: st.DrawFn, *, number: int = 1, label_sets: st.SearchStrategy[dict[str, str]] = label_sets) -> Container:
    """A container that somebody else runs; the containers of one example need different numbers."""
    name = draw(names)
    overrides: dict[str, Any] = {
        "id": f"{number:064x}",
        "project": draw(names),
        "service": draw(names) or name,
        "labels": draw(label_sets),
        "state": draw(st.sampled_from(State)),
        "health": draw(st.sampled_from(Health)),
        "created": draw(st.integers(0, 3)),
    }
    ports = draw(st.sampled_from(((80,), (), (80, 443), (1936,), (6379, 6380, 6381))))
    return make_container(name, ports=ports, **overrides)


@st.composite
def groups(draw: st.DrawFn, *, label_sets: st.SearchStrategy[dict[str, str]] = label_sets) -> list[Container]:
    """One to three containers of somebody else."""
    return [draw(containers(number=number, label_sets=label_sets)) for number in range(1, draw(st.integers(2, 4)))]


def bystander() -> Container:
    """A container that was there before all others, in both modes of routing."""
    labels = {"aliyun.routing.port_80": BYSTANDER_HOST}
    return make_container("bystander-1", project="calm", virtual_host=BYSTANDER_HOST, labels=labels, created=0, id="f" * 64)


@st.composite
def link_variables(draw: st.DrawFn) -> dict[str, str]:
    """Variables that the engine gives to a container with links, and others that look like them."""
    found: dict[str, str] = {}
    for prefix in draw(st.lists(st.sampled_from(("WEB", "WEB_1", "A_ENV_B", "中")) | names, max_size=3)):
        address = draw(st.sampled_from(("tcp://172.17.0.5:80", "tcp://[fd00::2]:80", "tcp://172.17.0.5:0")) | values)
        found[f"{prefix}_PORT_{draw(st.sampled_from(('80', '443', '٣', '0')))}_TCP"] = address
        found[f"{prefix}_NAME"] = draw(names | names.map("/proxy/{}".format))
        for name in draw(st.lists(st.sampled_from([label.name for label in LABELS]) | names, max_size=4)):
            found[f"{prefix}_ENV_{name}"] = draw(values)
    return found


_variable_names = sorted({re.sub("<[A-Z]+>", "80" if "<PORT>" in row.name else "web", row.name) for row in VARIABLES})
variable_sets = st.dictionaries(st.sampled_from(_variable_names), values, max_size=4)
"""Variables of the proxy itself."""
