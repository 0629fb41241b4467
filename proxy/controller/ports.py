"""What the reconciler needs of the world, as Protocols. The adapters implement them, and the fakes of the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from proxy.core.containers.containers import Container, ProxyContainer, Snapshot
from proxy.core.haproxy.reported import Reported, Worker
from proxy.core.haproxy.runtime_commands import Action, Command
from proxy.core.haproxy.served import Place
from proxy.core.model.readiness import Target
from proxy.core.model.spec_index import Key
from proxy.core.trigger import Trigger

Result = TypeVar("Result")


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
        """Return `containers` with it; `new_sources` are those that are read for the first time.

        Raises SourceError, at a start, where too little is known to publish anything.
        """


class HaproxyControl(Protocol):
    """The HAProxy that runs."""

    def check(self, config: Path, *, is_urgent: bool = True) -> None:
        """Raise ConfigCheckError unless HAProxy would load `config`; what is not urgent may take long.

        Raises CheckNotRunError where that could not be found out.
        """

    def is_running(self) -> bool:
        """Whether a master answers; False before the supervisor has started it."""

    def reload(self) -> None:
        """Have a new worker take over from the current files; raise ReloadError if it did not."""

    def ask_replacement(self) -> None:
        """Tell the supervisor, where there is one, that the HAProxy that runs cannot be reached."""

    def tell_synchronised(self) -> None:
        """Tell the supervisor, where there is one, that HAProxy has told what it has: both have started well."""

    def find_taken_ports(self, ports: Iterable[int]) -> frozenset[int]:
        """Return those of `ports` that another program listens on."""

    def find_ipv4_only_ports(self, ports: Iterable[int]) -> frozenset[int]:
        """Return those of `ports` that HAProxy cannot have over IPv6."""


class Runtime(Protocol):
    """The runtime API of the worker that serves. Every method raises RuntimeApiError where nothing answers.

    Those that name a worker raise WorkerReplacedError, and change nothing, where another one answers.
    """

    def identify(self) -> Worker:
        """Return which worker answers."""

    def report(self, worker: Worker) -> Reported:
        """Return everything that it says it has."""

    def read_down(self) -> Mapping[Place, str]:
        """Return the servers that their health checks have taken out, with the reason; whichever worker answers."""

    def execute(self, stages: Iterable[Sequence[Action]], worker: Worker) -> None:
        """Carry out stage after stage; raise CommandRefusedError, and begin no further one, where an action is refused."""

    def attempt(self, commands: Sequence[Command], worker: Worker) -> Sequence[bool]:
        """Carry out every command, and return of each whether HAProxy says that it is done."""


class Background(Protocol):
    """Runs jobs beside the deciding thread. Results come back when that thread asks for them."""

    def submit(
        self,
        name: str,
        job: Callable[[], Result],
        *,
        done: Callable[[Result], None],
        failed: Callable[[Exception], None],
        urgency: int = 0,
    ) -> None:
        """Have `job` run; then `done` gets its result, or `failed` what it raised. A lower `urgency` comes first."""

    def is_busy(self, name: str) -> bool:
        """Whether a job of that name has not been delivered yet."""

    def deliver(self) -> bool:
        """Hand over what has finished; return whether anything has."""


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

    def pin(self, digest: str) -> Mapping[str, str] | None:
        """Keep the set that HAProxy runs from, which has a configuration of this digest; return its fixed files.

        None where there is none of it.
        """

    def write_scratch(self, files: Mapping[str, str]) -> Path:
        """Write a set only to be checked, and return its folder; this may be called from another thread."""
