"""Where the other proxies are: names are resolved, and this proxy's own addresses left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from proxy.adapters.cluster.peer import Address
from proxy.adapters.cluster.peer_addresses import PeerAddresses, is_own_address
from proxy.adapters.files.host_names import HostNames
from proxy.settings import Peer
from tests.eventually import eventually

PORT = 7376


class Dns:
    """Names and their addresses; a name without any does not exist."""

    def __init__(self, **names: tuple[str, ...]) -> None:
        self.names = dict(names)

    def resolve(self, host: str) -> tuple[str, ...]:
        if found := self.names.get(host):
            return found
        raise OSError(-2, "no such name")


@contextmanager
def peers(dns: Dns, *wanted: Peer) -> Iterator[PeerAddresses]:
    found = PeerAddresses(wanted, PORT, HostNames(dns.resolve, again_in=0.01))
    yield found
    found.stop()


def test_addresses_are_taken_as_they_are() -> None:
    with peers(Dns(), Peer(host="203.0.113.1"), Peer(host="2001:db8::1", port=9)) as found:
        assert {Address("203.0.113.1", PORT), Address("2001:db8::1", 9)} == found.look()
        assert found.is_complete
        assert [] == [*found.problems()]


def test_name_stands_for_all_its_addresses() -> None:
    with peers(Dns(lb=("203.0.113.1", "203.0.113.2")), Peer(host="lb"), Peer(host="203.0.113.2")) as found:
        assert {Address("203.0.113.1", PORT), Address("203.0.113.2", PORT)} == found.look()


def test_own_address_is_left_out_on_the_own_port_only() -> None:
    with peers(Dns(lb=("127.0.0.1", "203.0.113.1")), Peer(host="lb"), Peer(host="127.0.0.1", port=9)) as found:
        assert {Address("203.0.113.1", PORT), Address("127.0.0.1", 9)} == found.look()


def test_name_without_addresses_is_a_problem_and_an_answer() -> None:
    with peers(Dns(), Peer(host="tasks.lbb")) as found:
        assert set() == found.look()
        assert found.is_complete
        (problem,) = found.problems()
        assert "PROXY_CLUSTER='tasks.lbb': cannot be resolved (no such name)" in str(problem)


def test_name_that_fails_keeps_its_addresses_and_a_newcomer_is_found() -> None:
    dns = Dns(lb=("203.0.113.1",))
    with peers(dns, Peer(host="lb")) as found:
        assert {Address("203.0.113.1", PORT)} == found.look()
        dns.names["lb"] = ("203.0.113.1", "203.0.113.2")
        eventually(lambda: len(found.look()) == 2)

        dns.names.clear()
        asked = [found.look() for _ in range(20)]

        assert [2] * 20 == [*map(len, asked)]
        assert [] == [*found.problems()]


def test_address_of_this_machine_is_known() -> None:
    assert [True, True, False, False] == [*map(is_own_address, ("127.0.0.1", "::1", "203.0.113.1", "2001:db8::1"))]
