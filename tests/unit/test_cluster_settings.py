"""The settings of a cluster."""

from __future__ import annotations

import pytest

from proxy.errors import SettingsError
from proxy.settings import Peer
from proxy.settings.cluster_parser import parse_peer
from tests.builders import make_settings

BOTH = {"PROXY_CLUSTER": "tasks.lb", "PROXY_CLUSTER_KEY_FILE": "/run/secrets/key"}


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("tasks.lb", Peer(host="tasks.lb")),
        ("tasks.my_stack-lb.", None),
        ("lb:7000", Peer(host="lb", port=7000)),
        ("10.0.0.1", Peer(host="10.0.0.1")),
        ("10.0.0.1:7000", Peer(host="10.0.0.1", port=7000)),
        ("fd00::0001", Peer(host="fd00::1")),
        ("[fd00::1]", Peer(host="fd00::1")),
        ("[fd00::1]:7000", Peer(host="fd00::1", port=7000)),
        ("fe80::1%eth0", Peer(host="fe80::1%eth0")),
        ("10.0.0.300", None),
        ("fd00::1::2", None),
        ("[10.0.0.1.1]", None),
        ("[fd00::1]:70000", None),
        ("lb:", None),
        ("lb:x", None),
        ("lb:0", None),
        ("http://lb", None),
        ("lb/x", None),
        ("a b", None),
        ("", None),
        ("-lb", None),
        ("x" * 300, None),
        ("fe80::1%eth0\n", None),
    ],
)
def test_peer(text: str, peer: Peer | None) -> None:
    if peer:
        assert peer == parse_peer(text)
    else:
        with pytest.raises(ValueError, match=r"."):
            parse_peer(text)


def test_peers_are_a_list_without_repetitions() -> None:
    settings = make_settings(**{**BOTH, "PROXY_CLUSTER": "10.0.0.1, 10.0.0.2:7000, 10.0.0.1"}).cluster

    assert (Peer(host="10.0.0.1"), Peer(host="10.0.0.2", port=7000)) == settings.peers


def test_without_settings_there_is_no_cluster() -> None:
    assert () == make_settings().cluster.peers


@pytest.mark.parametrize("given", BOTH)
def test_peers_and_key_need_each_other(given: str) -> None:
    with pytest.raises(SettingsError, match=f"{given}=.*has no effect without"):
        make_settings(**{given: BOTH[given]})


def test_port_can_be_set() -> None:
    assert [7376, 7000] == [make_settings(**BOTH, **more).cluster.port for more in ({}, {"PROXY_CLUSTER_PORT": "7000"})]


@pytest.mark.parametrize(
    ("variables", "user"),
    [
        ({"PROXY_CLUSTER_PORT": "1936"}, "STATS_PORT"),
        ({"PROXY_CLUSTER_PORT": " 01936"}, "STATS_PORT"),
        ({"PROXY_CLUSTER_PORT": "9000", "STATS_PORT": "9000"}, "STATS_PORT"),
        ({"STATS_PORT": "7376"}, "STATS_PORT"),
        ({"MONITOR_PORT": "7376", "MONITOR_URI": "/ping"}, "MONITOR_PORT"),
        ({"PROXY_CLUSTER_PORT": "80"}, "a port of visitors"),
        ({"PROXY_CLUSTER_PORT": "443"}, "a port of visitors"),
    ],
    ids=str,
)
def test_port_of_the_cluster_is_for_nothing_else(variables: dict[str, str], user: str) -> None:
    with pytest.raises(SettingsError, match=rf"PROXY_CLUSTER_PORT.*{user}"):
        make_settings(**BOTH, **variables)


@pytest.mark.parametrize("variables", [{"STATS_PORT": "off"}, {"STATS_PORT": "7377"}], ids=str)
def test_other_ports_may_be_set(variables: dict[str, str]) -> None:
    assert 7376 == make_settings(**BOTH, **variables).cluster.port


def test_without_a_cluster_its_port_is_free() -> None:
    assert 7376 == make_settings(STATS_PORT="7376").haproxy.stats_port


def test_routed_networks_are_cidrs() -> None:
    settings = make_settings(PROXY_ROUTED_NETWORKS="172.20.0.0/16, fd00::/8")

    assert ("172.20.0.0/16", "fd00::/8") == settings.cluster.routed_networks
    with pytest.raises(SettingsError, match="PROXY_ROUTED_NETWORKS: entry 1 'everything'"):
        make_settings(PROXY_ROUTED_NETWORKS="everything")
