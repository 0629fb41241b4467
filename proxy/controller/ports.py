"""What the reconciler needs of the world, as Protocols. The adapters implement them, and the fakes of the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Protocol

from proxy.core.containers.containers import Container, ProxyContainer, Snapshot
from proxy.core.haproxy.runtime_commands import Action, Command
from proxy.core.model.readiness import Target
from proxy.core.model.spec_index import Key
from proxy.core.trigger import Trigger


class ContainerSource(Protocol):
    """Where containers are learnt from."""

    name: str

    def read_changes(self) -> Snapshot:
        """Return what has changed since the last call, or everything; raise SourceError when that cannot be known."""

    def invalidate(self) -> None:
        """Forget what is known, so that the next `read` looks at everything."""

    def watch(self, put: Callable[[Trigger], None]) -> None:
        """Put a hint for each change, until `stop` is called; blocks."""

    def stop(self) -> None:
        """End `watch`, from another thread."""


class Overlay(Protocol):
    """What the proxy itself knows of containers, laid over what the sources say."""

    def changed(self) -> set[Key]:
        """Return the containers for which it has changed since the last call."""

    def lay_over(
        self, containers: Mapping[Key, Container | None], proxy: ProxyContainer | None, new_sources: frozenset[str]
    ) -> Mapping[Key, Container | None]:
        """Return `containers` with it; `new_sources` are those that are read for the first time."""


class HaproxyControl(Protocol):
    """The HAProxy that runs."""

    def check(self, config: Path, *, is_urgent: bool = True) -> None:
        """Raise ConfigCheckError unless HAProxy would load `config`; what is not urgent may take long."""

    def is_running(self) -> bool:
        """Whether a master answers; False before the supervisor has started it."""

    def reload(self, reweighed: AbstractSet[tuple[str, str]] = frozenset()) -> None:
        """Have a new worker take over from the current files; raise ReloadError if it did not.

        Of the servers that are `reweighed`, as (backend, server), it takes the files' weights and not those that run.
        """

    def has_runtime_backends(self) -> bool:
        """Whether the HAProxy that runs takes new backends at runtime; raise RuntimeApiError if it does not answer."""

    def find_taken_ports(self, ports: Iterable[int]) -> tuple[int, ...]:
        """Return those of `ports` that another process listens on."""


class Runtime(Protocol):
    """The runtime API of the worker that serves."""

    def execute(self, stages: Iterable[Sequence[Action]]) -> None:
        """Carry out stage after stage; raise RuntimeApiError, and begin no further one, where an action is refused."""

    def attempt(self, commands: Sequence[Command]) -> Sequence[bool]:
        """Carry out every command, and return of each whether HAProxy says that it is done."""


class Prober(Protocol):
    """Waits for new servers to accept connections."""

    def ask_at_once(self, targets: frozenset[Target]) -> set[Target]:
        """Return those that accept a connection at once."""

    def wait_for(self, targets: frozenset[Target]) -> None:
        """Wait for exactly these from now on."""

    def take_answers(self) -> set[Target]:
        """Return who has answered since the last call."""


class StateStore(Protocol):
    """The files HAProxy runs from; a whole set is replaced at once."""

    def write_candidate(self, files: Mapping[str, str]) -> Path:
        """Write a set beside the current one and return its folder."""

    def promote(self, candidate: Path) -> None:
        """Make a candidate the current set."""

    def rollback(self) -> None:
        """Make the set before the last `promote` the current one again."""

    def discard(self, candidate: Path) -> None:
        """Remove a candidate that is not used."""

    def read_current(self) -> Mapping[str, str] | None:
        """Return the current set; None when there is none."""
