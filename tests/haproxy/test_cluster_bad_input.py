"""Wrong settings of a cluster, on the running program: each is told, and the key never is."""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path

import pytest

from proxy.adapters.cluster.peer import OTHER_KEY
from tests.eventually import eventually
from tests.haproxy.client import ask
from tests.haproxy.cluster import Node
from tests.haproxy.product import Product
from tests.haproxy.test_cluster import make_container, serves
from tests.haproxy.test_secrets import MARK, exposed_secrets

pytestmark = pytest.mark.haproxy

COMMANDS = (["check"], ["render"], ["routes"], ["health"])


def test_other_key_is_told_on_both_sides_until_it_is_the_same_and_is_never_shown(
    haproxy_binary: str, tmp_path: Path, product: Product
) -> None:
    first, second = Node(tmp_path, "first", haproxy_binary), Node(tmp_path, "second", haproxy_binary)
    first.set_key(f"{MARK}-of-the-first-node")
    second.set_key(f"{MARK}-of-the-second-node")
    with first.running_engine(), second.running_engine():
        second.engine.start(make_container("there", product.backend("there"), "there.example"))
        with first.running(second, DEBUG="true"), second.running(first, DEBUG="true"):
            eventually(lambda: first.says(f"{second.address} cannot be asked: {OTHER_KEY}"))
            eventually(lambda: second.says(f"{first.address} cannot be asked: {OTHER_KEY}"))
            eventually(lambda: serves(second, "there.example", "there"))
            assert ask(first.port, host="there.example").status == 503

            second.set_key(f"{MARK}-of-the-first-node")
            eventually(lambda: serves(first, "there.example", "there"), timeout=20)

            told = [first.run(*command, others=(second,)) for command in COMMANDS]
        private = [line for line in first.certificate.read_text().split("PRIVATE KEY")[1].splitlines() if len(line) > 40]
        shown = "".join(one.stdout + one.stderr for one in told) + first.log.read_text() + second.log.read_text()

    assert [] == [line for line in shown.splitlines() if MARK in line or any(part in line for part in private)]
    assert private
    assert [] == [*exposed_secrets(first.folder / "state")]
    assert [] == [
        path for path in (first.folder / "state").rglob("*") if path.is_file() and MARK.encode() in path.read_bytes()
    ]


def test_each_fault_is_a_problem(haproxy_binary: str, tmp_path: Path) -> None:
    node = Node(tmp_path, "alone", haproxy_binary)
    node.key_file.chmod(0o644)
    peers = "tasks.no-such-name.invalid"
    with node.running_engine(), socket.create_server(("0.0.0.0", node.cluster_port)), node.running(PROXY_CLUSTER=peers):
        for fault in (
            "problem: the proxy: PROXY_CLUSTER='tasks.no-such-name.invalid': cannot be resolved",
            f"problem: the proxy: PROXY_CLUSTER_PORT: another process listens on port {node.cluster_port}",
            f"problem: the proxy: PROXY_CLUSTER_KEY_FILE: {node.key_file} can be read by all users",
        ):
            eventually(partial(node.says, fault))
        node.key_file.unlink()
        eventually(lambda: node.says(f"problem: the proxy: PROXY_CLUSTER_KEY_FILE: {node.key_file} cannot be read"))
        check = node.run("check", PROXY_CLUSTER=peers)

    assert (1, 3) == (check.returncode, check.stdout.count("problem: the proxy: PROXY_CLUSTER"))
