"""What the grammar of labels accepts, HAProxy accepts as well; and each of HAProxy's server options is in the grammar."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path

import pytest

from proxy.core.haproxy.runtime_commands import add_server
from proxy.core.model.model import ServerState
from proxy.grammar.keywords import FORBIDDEN_OPTIONS, OPTION_VALUES
from proxy.grammar.syntax import ServerName
from tests.haproxy.client import HOST
from tests.haproxy.product import Product
from tests.label_lines import ALGORITHMS, COOKIES, DIRECTIVES, SERVER_OPTIONS

pytestmark = pytest.mark.haproxy

HEAD = """\
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend all
    bind unix@haproxy.sock
"""
NEEDS = {
    "use-server": ("server extra 10.0.0.9:80",),
    "http-request deny if { sc": ("stick-table type ip size 1k store http_req_rate(10s)", "http-request track-sc0 src"),
    "http-request track": ("stick-table type ip size 1k store http_req_rate(10s)",),
    "stick on": ("stick-table type ip size 1k",),
    "http-check": ("option httpchk",),
    "http-request deny if { path_beg": ("acl api path_beg /api",),
}
"""Lines without which HAProxy does not accept a line, by the beginning of the line."""


def section(number: int, lines: tuple[str, ...], options: str = "") -> str:
    written = "".join(f"    {line}\n" for line in lines)
    return f"backend b{number}\n{written}    server s{number} 127.0.0.1:1 cookie c {options}\n"


def test_what_labels_may_have_passes_the_check(haproxy_binary: str, tmp_path: Path) -> None:
    needed = {line: next((more for start, more in NEEDS.items() if line.startswith(start)), ()) for line in DIRECTIVES}
    lines = [(*more, line) for line, more in needed.items()]
    lines += [(f"balance {text}",) for text in ALGORITHMS] + [(f"cookie {text}",) for text in COOKIES]
    sections = [section(number, given) for number, given in enumerate(lines)]
    sections += [section(number, (), options) for number, options in enumerate(SERVER_OPTIONS, start=len(lines))]
    config = tmp_path / "haproxy.cfg"
    config.write_text(HEAD + "".join(sections))

    checked = subprocess.run([haproxy_binary, "-c", "-f", str(config)], capture_output=True, text=True, check=False)

    assert 0 == checked.returncode, checked.stderr


def test_every_server_option_is_in_the_grammar(haproxy_binary: str, tmp_path: Path) -> None:
    """An option with another number of values would let a label put a forbidden option where a value is expected."""
    config = tmp_path / "haproxy.cfg"
    config.write_text(HEAD)

    listed = subprocess.run([haproxy_binary, "-dKcfg", "-c", "-f", str(config)], capture_output=True, text=True, check=False)

    found = re.findall(r"^\tserver <name> <addr> (\S+)(?: \+-?(\d))?$", listed.stdout, re.MULTILINE)
    values = {name: int(number or 0) for name, number in found} | {"set-proxy-v2-tlv-fmt": 1, "usesrc": 1}
    assert len(values) > 100
    assert {} == {name: n for name, n in values.items() if OPTION_VALUES.get(name) != n and name not in FORBIDDEN_OPTIONS}


def test_operator_s_word_lets_a_label_name_a_file(product: Product, tmp_path: Path) -> None:
    page = tmp_path / "page.txt"
    page.write_text("from a file")
    line = f"http-request return status 200 content-type text/plain file {page}"
    container = product.backend().container(VIRTUAL_HOST=HOST, EXTRA_SETTINGS=line)

    serving = product.serve(container, PROXY_ALLOW_EXTRA_SETTINGS="unrestricted")

    assert (200, "from a file") == (serving.ask().status, serving.ask().body)


def test_file_in_a_balancing_algorithm_is_never_read(product: Product, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    container = product.backend("bad-1").container(VIRTUAL_HOST="bad.example", BALANCE=f"hash req.hdr(a),map_int({secret})")

    serving = product.serve(container, product.backend().container(VIRTUAL_HOST=HOST))

    assert [503, 200] == [serving.ask(host=host).status for host in ("bad.example", HOST)]
    (problem,) = serving.problems
    assert "uses map_int(), which reads a file" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize("text", ["'x;disable frontend port_80'", r"x\\;a\ b\'c", "'a  b <<'"])
def test_text_of_a_label_is_one_word_of_a_runtime_command(product: Product, text: str) -> None:
    """A `;` behind two backslashes began another command on HAProxy's socket, which may do anything."""
    options = f"agent-check agent-port 1 agent-send {text}"
    serving = product.serve(product.backend().container(VIRTUAL_HOST=HOST, EXTRA_ROUTE_SETTINGS=options))
    (backend,) = serving.model.backends
    (server,) = backend.servers
    added = dataclasses.replace(server, name=ServerName("another"), state=ServerState.MAINT)

    command, *_ = add_server(backend.name, added, "check")

    assert command.is_accepted(serving.haproxy.runtime(command.text))
    assert "web-1" == serving.ask().server
