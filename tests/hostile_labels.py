"""Random labels, variables and names, as a careless user writes them and as a hostile one would (hypothesis strategies).

Every value is made of pieces that mean something to some grammar, of examples that are right, and of anything at all. So
many values are nearly right, which is where a parser is most likely to go wrong.
"""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st

from proxy.core.containers.containers import Container, Health, State
from proxy.core.labels.label import Label
from proxy.core.labels.labels import LABELS, PREFIX
from proxy.core.labels.simple_routing import ROUTING_LABELS
from proxy.settings.variables.all import VARIABLES
from proxy.settings.variables.variable import Variable
from tests.builders import make_container, make_pem, one_line

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


@st.composite
def containers(draw: st.DrawFn, *, number: int = 1) -> Container:
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
def groups(draw: st.DrawFn) -> list[Container]:
    """One to three containers of somebody else."""
    return [draw(containers(number=number)) for number in range(1, draw(st.integers(2, 4)))]


def bystander() -> Container:
    """A container that was there before all others."""
    return make_container("bystander-1", project="calm", virtual_host=BYSTANDER_HOST, created=0, id="f" * 64)


_variable_names = sorted({re.sub("<[A-Z]+>", "80" if "<PORT>" in row.name else "web", row.name) for row in VARIABLES})
variable_sets = st.dictionaries(st.sampled_from(_variable_names), values, max_size=4)
"""Variables of the proxy itself."""
