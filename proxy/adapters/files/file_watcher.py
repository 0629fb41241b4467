"""Reports that files or folders have changed: certificates, templates, error pages, weights, the services file.

In: paths, which need not exist yet. Out: one `Trigger` per changed path. Editors, `mv`, and the atomic links of Kubernetes
and Docker secrets replace a file instead of writing to it. Then the events name another file, or the watched folder itself
is replaced. So an event only says when to look. A path counts as changed if an event names it or something in it, or if it
now leads to another file than before.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.polling import PollingObserver

from proxy.core.trigger import Trigger

_log = logging.getLogger(__name__)

_LIMIT_REACHED = (errno.ENOSPC, errno.EMFILE)
"""The errors of inotify(7) when the user's limit of watches or of instances is reached."""


class _Folder(NamedTuple):
    """A folder to observe. If another folder is moved to the same path, device and inode number differ."""

    path: Path
    is_recursive: bool
    device: int
    inode: int


class FileWatcher:
    """Watches `paths` from its creation until `stop`. It cannot be started twice."""

    def __init__(self, paths: Iterable[Path], make_observer: Callable[[], BaseObserver] = Observer) -> None:
        self._paths = tuple(Path(os.path.abspath(path)) for path in paths)
        self._make_observer = make_observer
        self._states = {path: _state_of(path) for path in self._paths}
        self._events: SimpleQueue[Path | None] = SimpleQueue()  # None: stop

    def watch(self, put: Callable[[Trigger], None]) -> None:
        """Put a trigger for each changed path. Blocks until `stop`."""
        observation = _Observation(self._make_observer, _Forwarder(self._events.put))
        events: set[Path] | None = set()
        try:
            while events is not None:
                while observation.follow(_folders_of(self._paths)):
                    pass  # a folder that was created before its parent was observed may need to be observed itself
                for path in sorted(self._changed(events)):
                    put(Trigger(reason=f"file {path} changed"))
                events = self._wait()
        finally:
            observation.stop()

    def stop(self) -> None:
        """End `watch`. May be called from any thread."""
        self._events.put(None)

    def _wait(self) -> set[Path] | None:
        """Wait for events that may concern a watched path. Return their paths, or None after `stop`."""
        places = {place for path in self._paths for place in _places_of(path)}
        folders = {place: place if place.is_dir() else place.parent for place in places}
        while True:
            taken = self._take_events()
            if None in taken:
                return None
            # A parent folder may have many events that do not concern the watched paths.
            concerning = {
                event
                for event in taken
                for place, folder in folders.items()
                if event and (event.is_relative_to(folder) or place.is_relative_to(event))
            }
            if concerning:
                return concerning

    def _take_events(self) -> list[Path | None]:
        """Wait for an event, and return it with all others that have come since."""
        taken = [self._events.get()]
        while True:
            try:
                taken.append(self._events.get_nowait())
            except Empty:
                return taken

    def _changed(self, events: set[Path]) -> set[Path]:
        changed = {event for event in events for path in self._paths if event.is_relative_to(path)}
        for path in self._paths:
            state = _state_of(path)
            if state != self._states[path] and not any(event.is_relative_to(path) for event in changed):
                changed.add(path)
            self._states[path] = state
        return changed


class _Forwarder(FileSystemEventHandler):
    """Passes on the paths that events name."""

    def __init__(self, put: Callable[[Path], None]) -> None:
        self._put = put

    def on_any_event(self, event: FileSystemEvent) -> None:
        # Reading a file is an event too. The modification of a folder only repeats the events of its entries.
        if event.event_type in ("opened", "closed_no_write") or (event.is_directory and event.event_type == "modified"):
            return
        for name in (event.src_path, event.dest_path):
            if name:
                self._put(Path(os.fsdecode(name)))


class _Observation:
    """The folders that an observer observes at the moment."""

    def __init__(self, make_observer: Callable[[], BaseObserver], handler: FileSystemEventHandler) -> None:
        self._handler = handler
        self._watches: dict[_Folder, ObservedWatch] = {}
        self._refused: set[_Folder] = set()
        self._is_polling = False
        try:
            self._observer = make_observer()
        except OSError as error:
            if error.errno not in _LIMIT_REACHED:
                raise
            self._observer = _make_polling_observer(error)
            self._is_polling = True
        self._observer.start()

    def follow(self, folders: set[_Folder]) -> bool:
        """Observe `folders` and no others; say whether any of them is new."""
        for folder in self._watches.keys() - folders:
            self._observer.unschedule(self._watches.pop(folder))
        self._refused &= folders
        added = folders - self._watches.keys() - self._refused
        for folder in sorted(added):
            self._add(folder)
        return bool(added)

    def stop(self) -> None:
        """End the observation and its threads."""
        self._observer.stop()
        self._observer.join()

    def _add(self, folder: _Folder) -> None:
        try:
            self._schedule(folder)
        except OSError as error:
            if error.errno in _LIMIT_REACHED and not self._is_polling:
                self._poll_instead(error)
                self._schedule(folder)
            elif error.errno != errno.ENOENT:  # a folder that has gone since is no longer needed
                _log.warning("cannot watch %s: %s. Its changes are not seen", folder.path, error.strerror)
                self._refused.add(folder)

    def _schedule(self, folder: _Folder) -> None:
        path, is_recursive = str(folder.path), folder.is_recursive
        self._watches[folder] = self._observer.schedule(self._handler, path, recursive=is_recursive)

    def _poll_instead(self, error: OSError) -> None:
        self.stop()
        self._observer = _make_polling_observer(error)
        self._is_polling = True
        self._observer.start()
        for folder in list(self._watches):
            self._schedule(folder)


def _make_polling_observer(error: OSError) -> BaseObserver:
    _log.warning(
        "cannot be told of changed files: %s. Files are now looked at every second; raise fs.inotify.max_user_watches "
        "and fs.inotify.max_user_instances to see changes at once",
        error.strerror,
    )
    return PollingObserver()


def _places_of(path: Path) -> set[Path]:
    """Return the path and, if it contains links, the path that they lead to."""
    return {path, Path(os.path.realpath(path))}


def _folders_of(paths: Iterable[Path]) -> set[_Folder]:
    """Return the folders whose events report changes of `paths`: the folder of each path, and the parent of that folder.

    The parent reports that the folder is replaced. For a path that does not exist yet, it is the nearest existing parent.
    """
    folders: dict[Path, bool] = {}
    for place in (place for path in paths for place in _places_of(path)):
        folder = place if place.is_dir() else next(parent for parent in place.parents if parent.is_dir())
        folders[folder] = folders.get(folder, False) or folder == place
        folders.setdefault(folder.parent, False)
    found = set()
    for folder, is_recursive in folders.items():
        try:
            status = folder.stat()
        except FileNotFoundError:
            continue  # gone since; its event leads here again
        found.add(_Folder(folder, is_recursive, status.st_dev, status.st_ino))
    return found


def _state_of(path: Path) -> tuple[object, ...]:
    """Return values that change whenever the file, or any file of the folder, does; empty if the path does not exist."""
    try:
        if path.is_dir():
            return tuple(sorted((str(entry), *_identity_of(entry)) for entry in path.rglob("*")))
    except FileNotFoundError:
        return ()
    return _identity_of(path)


def _identity_of(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
