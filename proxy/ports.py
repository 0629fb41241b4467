"""What the reconciler needs of the world, as Protocols. The adapters implement them, and the fakes of the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from proxy.core.containers import Snapshot
from proxy.core.schedule import Trigger


class ContainerSource(Protocol):
    """Where containers are learnt from."""

    name: str

    def read(self) -> Snapshot:
        """Return all containers; raise SourceError when that cannot be known now."""

    def invalidate(self) -> None:
        """Forget what is known, so that the next `read` looks at everything."""

    def watch(self, put: Callable[[Trigger], None]) -> None:
        """Put a hint for each change, until `stop` is called; blocks."""

    def stop(self) -> None:
        """End `watch`, from another thread."""


class HaproxyControl(Protocol):
    """The HAProxy that runs."""

    def check(self, config: Path) -> None:
        """Raise ConfigCheckError unless HAProxy would load `config`."""

    def is_running(self) -> bool:
        """Whether a master answers; False before the supervisor has started it."""

    def reload(self) -> None:
        """Have a new worker take over from the current files; raise ReloadError if it did not."""


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
