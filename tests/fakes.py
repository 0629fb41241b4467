"""Fakes for the ports of `proxy/controller/ports.py`: what a pass meets, without engine, network and HAProxy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from proxy.core.containers.containers import Container, Snapshot
from proxy.core.haproxy.runtime_commands import Action, Command, ReplaceMap
from proxy.core.model.readiness import Target
from proxy.core.trigger import Trigger
from proxy.errors import ConfigCheckError, ReloadError, RuntimeApiError


class FakeSource:
    """Containers that a test sets; each reading tells what differs from the one before."""

    name = "docker"

    def __init__(self) -> None:
        self._containers: dict[str, Container] = {}
        self._told: dict[str, Container] | None = None
        self._single: Snapshot | None = None

    def set(self, containers: Iterable[Container]) -> None:
        """From now on, exactly these run."""
        self._containers = {container.id: container for container in containers}

    def tell(self, *, changed: tuple[Container, ...] = (), gone: tuple[str, ...] = ()) -> None:
        """The next reading tells just this; all that was set before goes on."""
        self._single = Snapshot(containers=changed, gone=gone, is_complete=False)

    def read_changes(self) -> Snapshot:
        single, self._single = self._single, None
        if single:
            return single
        told, self._told = self._told, dict(self._containers)
        if told is None:
            return Snapshot(containers=tuple(self._containers.values()))
        changed = [container for key, container in self._containers.items() if told.get(key) != container]
        return Snapshot(
            containers=tuple(changed), gone=tuple(sorted(told.keys() - self._containers.keys())), is_complete=False
        )

    def invalidate(self) -> None:
        self._told = None

    def watch(self, put: Callable[[Trigger], None]) -> None:
        """Nothing happens by itself."""

    def stop(self) -> None:
        """Nothing runs."""


class FakeProber:
    """Servers answer as soon as they are waited for, or only when a test says so."""

    def __init__(self, *, answers_at_once: bool = True) -> None:
        self.waited_for: frozenset[Target] = frozenset()
        self.answers_at_once = answers_at_once
        self._answers: set[Target] = set()

    def ask_at_once(self, targets: frozenset[Target]) -> set[Target]:
        return set()

    def wait_for(self, targets: frozenset[Target]) -> None:
        self.waited_for = targets
        if self.answers_at_once:
            self._answers |= targets

    def answer(self) -> None:
        """Everybody who is waited for answers."""
        self._answers |= self.waited_for

    def take_answers(self) -> set[Target]:
        answers, self._answers = self._answers, set()
        return answers


@dataclass(slots=True)
class FakeHaproxy:
    """An HAProxy that checks and reloads as told; `refuses` is a word that no configuration may hold."""

    has_backends: bool = True
    runs: bool = True
    refuses: str = ""
    reload_failure: str = ""
    checks: int = 0
    reloads: int = 0

    def check(self, config: Path, *, is_urgent: bool = True) -> None:
        self.checks += 1
        if self.refuses and self.refuses in config.read_text():
            raise ConfigCheckError([f"{config}:1 : {self.refuses!r} is refused"])

    def is_running(self) -> bool:
        return self.runs

    def reload(self, reweighed: AbstractSet[tuple[str, str]] = frozenset()) -> None:
        if self.reload_failure:
            raise ReloadError(self.reload_failure)
        self.reloads += 1

    def has_runtime_backends(self) -> bool:
        if not self.runs:
            raise RuntimeApiError("nothing answers")
        return self.has_backends

    def find_taken_ports(self, ports: Iterable[int]) -> tuple[int, ...]:
        return ()


@dataclass(slots=True)
class FakeRuntime:
    """Takes commands down; those that begin with `refuses` are refused, those with `attached` are not done yet."""

    refuses: str = ""
    attached: str = ""
    sent: list[str] = field(default_factory=list)

    def execute(self, stages: Iterable[Sequence[Action]]) -> None:
        for action in (action for stage in stages for action in stage):
            text = f"replace map {action.file}" if isinstance(action, ReplaceMap) else action.text
            if self.refuses and text.startswith(self.refuses):
                raise RuntimeApiError(f"`{text}`: refused")
            self.sent.append(text)

    def attempt(self, commands: Sequence[Command]) -> Sequence[bool]:
        self.sent += [command.text for command in commands]
        return [not (self.attached and command.text.startswith(self.attached)) for command in commands]


class FakeStore:
    """Files in memory, written before a call returns; a folder on disk holds only what HAProxy is to check."""

    def __init__(self, folder: Path) -> None:
        self.current: Mapping[str, str] | None = None
        self.writes = 0
        self._folder = folder
        self._candidates: dict[Path, Mapping[str, str]] = {}
        self._before: Mapping[str, str] | None = None

    def write_candidate(self, files: Mapping[str, str]) -> Path:
        self.writes += 1
        folder = self._folder / str(self.writes)
        folder.mkdir()
        (folder / "haproxy.cfg").write_text(files["haproxy.cfg"])
        self._candidates[folder] = files
        return folder

    def promote(self, candidate: Path) -> None:
        self._before, self.current = self.current, self._candidates.pop(candidate)

    def rollback(self) -> None:
        self.current = self._before

    def discard(self, candidate: Path) -> None:
        del self._candidates[candidate]

    def read_current(self) -> Mapping[str, str] | None:
        return self.current
