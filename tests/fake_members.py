"""A cluster's source whose members a test speaks for. Nothing in it asks another machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from proxy.adapters.cluster.cluster_source import ClusterSource
from proxy.adapters.cluster.member import Member, Status
from proxy.adapters.cluster.offer import NodeOffer
from proxy.adapters.cluster.own_node import OwnNode
from proxy.adapters.cluster.peer import Address, Told
from proxy.adapters.cluster.peer_addresses import PeerAddresses
from proxy.adapters.files.host_names import HostNames
from proxy.adapters.haproxy.runtime_socket import RuntimeSocket
from proxy.core.containers.containers import Container
from proxy.core.trigger import Trigger
from proxy.errors import SourceError
from proxy.settings import ClusterSettings, Peer

FIRST_PORT = 20000


class FakeMember:
    """A member that tells what the test says. It answers after `looks` at its status."""

    def __init__(self, address: Address, containers: Iterable[Container], looks: int) -> None:
        self.address = address
        self.told: Told | None = None
        self.fault = ""
        self.lost_at: float | None = None
        self.looked_at: float | None = None
        self.look_seconds = 0.0
        self.asked_again = 0
        self.has_news = False
        self._looks = looks
        self._status = Status.NEW
        self.revision = 0
        self._changes: dict[str, Container | None] = {container.id: container for container in containers}
        self._answer_in_time()

    @property
    def status(self) -> Status:
        self._looks -= 1
        self._answer_in_time()
        return self._status

    def _answer_in_time(self) -> None:
        if self._status is Status.NEW and self._looks <= 0:
            self._status, self.has_news = Status.FOLLOWED, bool(self._changes)
            self.revision += 1

    def tell(self, changed: Iterable[Container] = (), gone: Iterable[str] = ()) -> None:
        """Have something to tell."""
        self._changes |= {container.id: container for container in changed} | dict.fromkeys(gone)
        self.has_news = True

    def lose(self, fault: str) -> None:
        """Be unreachable."""
        self._status, self.fault = Status.LOST, fault
        self.revision += 1

    def take(self) -> Mapping[str, Container | None]:
        changes, self._changes, self.has_news = self._changes, {}, False
        return changes

    def look_again(self) -> None:
        self.asked_again += 1

    def count(self) -> int:
        return 1

    def is_lost_on(self, down_nodes: Iterable[str]) -> bool:
        return False

    def is_superseded(self, others: Iterable[Member]) -> bool:
        return False

    def start(self) -> None:
        """Need no thread."""

    def stop(self) -> None:
        """Have no thread."""

    def note_connection(self) -> None:
        """Stay as the test says."""


class FakeCluster:
    """A cluster of `count` members, which begin with the `containers` that are given by their numbers."""

    def __init__(
        self, folder: Path, count: int, containers: Callable[[int], Iterable[Container]] = lambda _: (), looks: int = 0
    ) -> None:
        key = folder / "key"
        key.write_text("a secret that only this test knows")
        key.chmod(0o600)
        peers = tuple(Peer(host="127.0.0.1", port=FIRST_PORT + number) for number in range(count))
        settings = ClusterSettings(peers=peers, key_file=key, port=7376)
        self.members: dict[int, FakeMember] = {}
        self.triggers: list[Trigger] = []

        def make(address: Address, _put: Callable[[Trigger], None]) -> Member:
            number = address.port - FIRST_PORT
            self.members[number] = FakeMember(address, containers(number), looks)
            return cast(Member, self.members[number])

        self.source = ClusterSource(
            PeerAddresses(peers, settings.port, HostNames()),
            OwnNode(_know_nothing, "this proxy"),
            NodeOffer(folder, settings, {}, RuntimeSocket(folder / "no.sock")),
            make,
        )

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Run the thread that follows the members until the block ends."""
        thread = threading.Thread(target=self.source.watch, args=(self.triggers.append,))
        thread.start()
        try:
            yield
        finally:
            self.source.stop()
            thread.join()


def _know_nothing() -> Mapping[str, Any]:
    raise SourceError("there is no engine")
