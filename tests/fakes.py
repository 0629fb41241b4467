"""Fakes for the ports of `proxy/controller/ports.py`, so that a pass needs no engine, network or HAProxy."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from proxy.core.containers.containers import Container, ProxyContainer, Snapshot
from proxy.core.haproxy.file_names import CONFIG_FILE
from proxy.core.haproxy.loaded import read_digest
from proxy.core.model.readiness import Target
from proxy.core.model.spec_index import Key
from proxy.core.trigger import Trigger


class FakeSource:
    """Containers that a test sets. Each reading reports what differs from the one before."""

    name = "docker"

    def __init__(self) -> None:
        self.fault: Callable[[str], None] = lambda place: None
        self._containers: dict[str, Container] = {}
        self._told: dict[str, Container] | None = None
        self._single: Snapshot | None = None

    def set(self, containers: Iterable[Container]) -> None:
        """From now on, exactly these containers run."""
        self._containers = {container.id: container for container in containers}

    def tell(self, *, changed: tuple[Container, ...] = (), gone: tuple[str, ...] = ()) -> None:
        """Make the next reading report only this. Everything that was set before stays."""
        self._single = Snapshot(containers=changed, gone=gone, is_complete=False)

    def read_changes(self) -> Snapshot:
        self.fault("read")
        single, self._single = self._single, None
        if single and self._told is not None:
            self._told |= {container.id: container for container in single.containers}
            for container_id in single.gone:
                self._told.pop(container_id, None)
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
        """Do nothing: no change happens by itself."""

    def stop(self) -> None:
        """Do nothing: no thread runs."""


class FakeOverlay:
    """Lays nothing over; `news` are containers that it has something new of. `fault` is called before each use."""

    def __init__(self) -> None:
        self.fault: Callable[[str], None] = lambda place: None
        self.news: set[Key] = set()

    def changed(self) -> set[Key]:
        self.fault("overlay")
        news, self.news = self.news, set()
        return news

    def lay_over(
        self, containers: Mapping[Key, Container | None], proxy: ProxyContainer | None, new_sources: frozenset[str]
    ) -> Mapping[Key, Container | None]:
        self.fault("lay over")
        return containers


class FakeProber:
    """Servers answer as soon as they are waited for, or only when a test says so. `fault` is called before each use."""

    def __init__(self, *, answers_at_once: bool = True) -> None:
        self.waited_for: frozenset[Target] = frozenset()
        self.answers_at_once = answers_at_once
        self.fault: Callable[[str], None] = lambda place: None
        self._answers: set[Target] = set()

    def ask_at_once(self, targets: frozenset[Target]) -> set[Target]:
        self.fault("ask_at_once")
        return set()

    def wait_for(self, targets: frozenset[Target]) -> None:
        self.fault("wait_for")
        self.waited_for = targets
        if self.answers_at_once:
            self._answers |= targets

    def answer(self) -> None:
        """Let every server that is waited for accept a connection."""
        self._answers |= self.waited_for

    def take_answers(self) -> set[Target]:
        self.fault("take_answers")
        answers, self._answers = self._answers, set()
        return answers


class FakeStore:
    """Files in memory; a folder on disk holds only what HAProxy is to check. `fault` is called before each use."""

    def __init__(self, folder: Path) -> None:
        self.current: Mapping[str, str] | None = None
        self.writes = 0
        self.fault: Callable[[str], None] = lambda place: None
        self._folder = folder
        self._candidates: dict[Path, Mapping[str, str]] = {}
        self._before: Mapping[str, str] | None = None
        self._promoted: list[Mapping[str, str]] = []
        self._pinned: Mapping[str, str] | None = None

    def write_candidate(self, files: Mapping[str, str]) -> Path:
        self.fault("write")
        self.writes += 1
        folder = self._folder / f"candidate-{self.writes}"
        folder.mkdir()
        (folder / CONFIG_FILE).write_text(files[CONFIG_FILE])
        self._candidates[folder] = files
        return folder

    def write_scratch(self, files: Mapping[str, str]) -> Path:
        self.fault("scratch")
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        (folder / CONFIG_FILE).write_text(files[CONFIG_FILE])
        return folder

    def promote(self, candidate: Path) -> None:
        self.fault("promote")
        self._before, self.current = self.current, self._candidates.pop(candidate)
        shutil.rmtree(candidate)
        self._promoted = [*self._promoted[-1:], self.current]

    def rollback(self) -> None:
        self.fault("rollback")
        self.current = self._before

    def discard(self, candidate: Path) -> None:
        self._candidates.pop(candidate, None)
        shutil.rmtree(candidate)

    def pin(self, digest: str) -> Mapping[str, str] | None:
        self.fault("pin")
        known = [*self._promoted, *([self._pinned] if self._pinned else [])]
        found = next((files for files in known if read_digest(files[CONFIG_FILE]) == digest), None)
        self._pinned = found or self._pinned
        return found
