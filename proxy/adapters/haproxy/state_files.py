"""The files that HAProxy runs from. A whole set is replaced at once, and the last good set is never damaged.

In: a set of files as relative name -> text. Out: folders `generations/<n>`, and the symlink `current` to the set in force.
Rules: files are 0600 and folders 0700, because they hold keys. Everything is on disk (fsync) before `current` points to it.
An unchanged file is a hard link to the one of the set before, so files are never written in place.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from proxy.adapters.haproxy.obstacles import clear_obstacles
from proxy.adapters.haproxy.state_layout import CA_FILE, CONFIG_FILE, StateLayout, StateLock
from proxy.core.haproxy.loaded import read_digest
from proxy.errors import StateError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Promotion:
    """The result of a `promote`: the set that was replaced; None if there was none."""

    previous: Path | None


class StateFiles:
    """The only writer of a state folder. A second one gets StateError until this one is closed.

    At the start it removes files that were left from checks. Sets of files that a crash left are removed by a `promote`
    after the first `pin`. Every method raises StateError if the disk fails, and `current` then stays as it was.
    """

    def __init__(self, layout: StateLayout) -> None:
        self._layout = layout
        clear_obstacles(layout)
        self._lock = StateLock(layout, "controller.lock")
        self._promotion: _Promotion | None = None
        self._pinned: frozenset[Path] = frozenset()
        self._known: tuple[Path, Mapping[str, str]] | None = None
        try:
            layout.generations.mkdir(mode=0o700, exist_ok=True)
            shutil.rmtree(layout.checks, ignore_errors=True)
            self._pinned = frozenset(layout.generations.iterdir())  # HAProxy may run from any of them: see `pin`
        except OSError as error:
            self.close()
            raise StateError(f"state folder {layout.folder} cannot be written: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let another process use the folder."""
        self._lock.release()

    def read_current(self) -> Mapping[str, str] | None:
        """Return the files in force; None if there are none, or if they cannot be read completely."""
        generation = self._current_generation()
        return read_files(generation) if generation else None

    def pin(self, digest: str) -> Mapping[str, str] | None:
        """Keep the set of files whose configuration has `digest`, from which HAProxy runs, until another set is pinned.

        Returns the files that no runtime command changes: the configuration and the CA. Returns None if there is no such
        set.
        """
        found = find_generation(self._layout, digest)
        if found is None:
            return None
        generation, config = found
        self._pinned = frozenset({generation})
        ca_file = generation / CA_FILE
        return {CONFIG_FILE: config} | ({CA_FILE: ca_file.read_text()} if ca_file.exists() else {})

    def write_scratch(self, files: Mapping[str, str]) -> Path:
        """Write a set of files only for a check, and return its folder. Several threads may call it at the same time."""
        try:
            self._layout.checks.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=self._layout.checks))
            for name, text in files.items():
                target = folder / _safe_name(name)
                _make_private(target.parent)
                _write(target, text, is_synced=False)
        except OSError as error:
            raise StateError(f"files to be checked cannot be written to {self._layout.checks}: {error.strerror}") from error
        return folder

    def write_candidate(self, files: Mapping[str, str]) -> Path:
        """Write a set of files beside the current one and return its folder. If this fails, nothing of it is left."""
        clear_obstacles(self._layout)
        current, known = self._read_known()
        candidate = self._layout.generations / str(self._highest_number() + 1)
        try:
            candidate.mkdir(mode=0o700, parents=True)
            for name, text in files.items():
                target = candidate / _safe_name(name)
                _make_private(target.parent)
                if not (current and known.get(name) == text and _link(current / name, target)):
                    _write(target, text)
            for folder in [candidate, *(path for path in candidate.rglob("*") if path.is_dir())]:
                _sync_folder(folder)
        except (OSError, StateError) as error:
            shutil.rmtree(candidate, ignore_errors=True)
            reason = error.strerror if isinstance(error, OSError) else error
            raise StateError(f"files for HAProxy cannot be written to {self._layout.folder}: {reason}") from error
        return candidate

    def promote(self, candidate: Path) -> None:
        """Make a candidate the current set. The previous set is kept for `rollback`, older ones are removed."""
        previous = self._current_generation()
        self._point_current_to(candidate)
        self._promotion = _Promotion(previous=previous)
        self._remove_others(candidate, previous)

    def rollback(self) -> None:
        """Undo the last `promote`: the previous set is current again; if there was none, there is none again."""
        if self._promotion is None:
            raise StateError("there is no earlier set of files to go back to")
        previous = self._promotion.previous
        if previous is not None:
            self._point_current_to(previous)
        else:
            self._remove_current()
        self._promotion = None
        self._remove_others(previous)

    def discard(self, candidate: Path) -> None:
        """Remove a candidate that is not used."""
        shutil.rmtree(candidate, ignore_errors=True)

    def _current_generation(self) -> Path | None:
        """Return the folder in force; None if there is none, or if the symlink leads nowhere."""
        try:
            generation = self._layout.folder / self._layout.current.readlink()
        except OSError:
            return None
        return generation if generation.is_dir() else None

    def _read_known(self) -> tuple[Path | None, Mapping[str, str]]:
        """Return the current folder and its texts, which are read only once per generation."""
        current = self._current_generation()
        if current is None:
            return None, {}
        if self._known is None or self._known[0] != current:
            self._known = current, self.read_current() or {}
        return self._known

    def _highest_number(self) -> int:
        try:
            names = [path.name for path in self._layout.generations.iterdir()]
        except FileNotFoundError:
            return 0  # another program has deleted it
        except OSError as error:
            raise StateError(f"{self._layout.generations} cannot be read: {error.strerror}") from error
        return max((int(name) for name in names if name.isdigit()), default=0)

    def _point_current_to(self, generation: Path) -> None:
        """Change the symlink in one step, by rename. It is relative, so that the state folder may be moved."""
        draft = self._layout.folder / "current.new"
        try:
            draft.unlink(missing_ok=True)
            draft.symlink_to(generation.relative_to(self._layout.folder))
            draft.replace(self._layout.current)
            _sync_folder(self._layout.generations)
            _sync_folder(self._layout.folder)
        except OSError as error:
            raise StateError(f"{self._layout.current} cannot be changed: {error.strerror}") from error

    def _remove_current(self) -> None:
        try:
            self._layout.current.unlink(missing_ok=True)
        except OSError as error:
            raise StateError(f"{self._layout.current} cannot be removed: {error.strerror}") from error

    def _remove_others(self, *kept: Path | None) -> None:
        """Remove all other generations. What cannot be removed now only takes disk space, and is tried again later."""
        with contextlib.suppress(OSError):
            for path in self._layout.generations.iterdir():
                if path not in kept and path not in self._pinned:
                    shutil.rmtree(path, ignore_errors=True)


def read_files(generation: Path) -> Mapping[str, str] | None:
    """Return the files of a set; None if they cannot be read completely."""
    try:
        paths = sorted(path for path in generation.rglob("*") if path.is_file())
        files = {str(path.relative_to(generation)): path.read_bytes().decode() for path in paths}
    except (OSError, UnicodeDecodeError):
        return None
    return files if CONFIG_FILE in files else None


def find_generation(layout: StateLayout, digest: str) -> tuple[Path, str] | None:
    """Return the set of files whose configuration has this digest, and that configuration; None if there is no such set."""
    for generation in sorted(layout.generations.glob("*"), reverse=True):
        try:
            config = (generation / CONFIG_FILE).read_text()
        except (OSError, UnicodeDecodeError):
            continue
        if digest and read_digest(config) == digest:
            return generation, config
    return None


def _make_private(folder: Path) -> None:
    """Create the folder and those above it that are missing, for their owner only (`mkdir` gives the mode to the last)."""
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _safe_name(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise StateError(f"{name!r} is not the name of a file in the state folder")
    return name


def _link(source: Path, target: Path) -> bool:
    """Make `target` a hard link to `source`. Return False if the file system cannot, or if `source` is gone."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def _write(path: Path, text: str, *, is_synced: bool = True) -> None:
    with FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        remaining = memoryview(text.encode())
        while remaining:
            remaining = remaining[file.write(remaining) :]
        if is_synced:
            os.fsync(file)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
