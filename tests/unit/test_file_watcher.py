"""Changes of files are noticed, however they are made."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.polling import PollingObserver

from proxy.adapters.files.file_watcher import FileWatcher
from proxy.core.trigger import Trigger
from tests.eventually import eventually


class Watch:
    """A running watch. It is in place when a change of its probe file has been reported."""

    def __init__(self, path: Path, probe: Path, make_observer: Callable[[], BaseObserver]) -> None:
        self._probe = probe
        self._triggers: list[Trigger] = []
        self._watcher = FileWatcher([path, probe], make_observer)
        self._thread = threading.Thread(target=self._watcher.watch, args=(self._triggers.append,))
        self._thread.start()
        self.settle()

    def settle(self) -> set[str]:
        """Wait for a change that comes after all others so far. Return the earlier changes, and forget them."""
        marker = f"file {self._probe} changed"
        self._triggers[:] = [trigger for trigger in self._triggers if trigger.reason != marker]
        self._probe.write_text(f"{self._probe.stat().st_mtime_ns}")
        eventually(lambda: marker in self.reasons())
        seen = set(self.reasons()) - {marker}
        self._triggers.clear()
        return seen

    def reasons(self) -> list[str]:
        return [trigger.reason for trigger in self._triggers]

    def stop(self) -> None:
        self._watcher.stop()
        self._thread.join(5)
        assert not self._thread.is_alive()


@contextmanager
def watching(path: Path, folder: Path, make_observer: Callable[[], BaseObserver] = Observer) -> Iterator[Watch]:
    """Run a watch of `path`. Its probe file is in a separate folder."""
    probe = folder / "probe" / "file"
    probe.parent.mkdir()
    probe.touch()
    watch = Watch(path, probe, make_observer)
    try:
        yield watch
    finally:
        watch.stop()


def test_written_file_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("old")
    with watching(path, tmp_path) as watch:
        path.write_text("new")

        eventually(lambda: f"file {path} changed" in watch.reasons())


def test_file_moved_over_another_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("old")
    (tmp_path / "ca.new").write_text("new")
    with watching(path, tmp_path) as watch:
        (tmp_path / "ca.new").replace(path)

        eventually(lambda: f"file {path} changed" in watch.reasons())


@pytest.mark.parametrize("change", [Path.touch, Path.unlink, lambda path: path.write_text("new")])
def test_folder_tells_which_of_its_files_changed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    certificate = tmp_path / "certs" / "www" / "a.pem"
    certificate.parent.mkdir(parents=True)
    certificate.write_text("old")
    with watching(tmp_path / "certs", tmp_path) as watch:
        change(certificate)

        eventually(lambda: f"file {certificate} changed" in watch.reasons())


def test_reading_a_folder_is_no_change(tmp_path: Path) -> None:
    """The proxy reads what it watches. A trigger for that would cause an endless loop."""
    certificate = tmp_path / "certs" / "a.pem"
    certificate.parent.mkdir()
    certificate.write_text("text")
    with watching(tmp_path / "certs", tmp_path) as watch:
        certificate.read_text()
        seen = watch.settle()

        assert set() == seen


def test_neighbour_of_a_file_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("text")
    with watching(path, tmp_path) as watch:
        (tmp_path / "other").write_text("text")
        seen = watch.settle()

        assert set() == seen


@pytest.mark.parametrize("watched", ["secrets", "secrets/tls.pem"], ids=["folder", "file"])
def test_atomically_exchanged_link_is_seen(tmp_path: Path, watched: str) -> None:
    """Kubernetes mounts secrets as links through `..data`, which it renames to the new version."""
    secrets = tmp_path / "secrets"
    for version in ("..1", "..2"):
        (secrets / version).mkdir(parents=True)
        (secrets / version / "tls.pem").write_text(version)
    (secrets / "..data").symlink_to("..1")
    (secrets / "tls.pem").symlink_to("..data/tls.pem")
    with watching(tmp_path / watched, tmp_path) as watch:
        (secrets / "..new").symlink_to("..2")
        (secrets / "..new").replace(secrets / "..data")

        eventually(lambda: [reason for reason in watch.reasons() if str(tmp_path / watched) in reason])


def test_change_of_what_a_link_leads_to_is_seen(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "real.pem"
    target.parent.mkdir()
    target.write_text("old")
    link = tmp_path / "mounted" / "tls.pem"
    link.parent.mkdir()
    link.symlink_to(target)
    with watching(link, tmp_path) as watch:
        target.write_text("new text")

        eventually(lambda: f"file {link} changed" in watch.reasons())


def test_path_that_does_not_exist_yet_is_seen_when_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "weights.json"
    with watching(path, tmp_path) as watch:
        path.parent.mkdir(parents=True)
        path.write_text("{}")
        eventually(lambda: f"file {path} changed" in watch.reasons())
        watch.settle()

        path.write_text("{ }")

        eventually(lambda: f"file {path} changed" in watch.reasons())


def test_exchanged_folder_is_seen_and_watched_on(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    for name in ("certs", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.pem").write_text(name)
    with watching(folder, tmp_path) as watch:
        os.rename(folder, tmp_path / "old")
        os.rename(tmp_path / "new", folder)
        eventually(lambda: [reason for reason in watch.reasons() if str(folder) in reason])
        watch.settle()

        (folder / "a.pem").write_text("newer text")

        eventually(lambda: f"file {folder / 'a.pem'} changed" in watch.reasons())


def test_removed_and_recreated_folder_is_watched_on(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    with watching(folder, tmp_path) as watch:
        shutil.rmtree(folder)
        watch.settle()
        folder.mkdir()
        watch.settle()

        (folder / "a.pem").write_text("text")

        eventually(lambda: f"file {folder / 'a.pem'} changed" in watch.reasons())


def test_folder_behind_a_link_is_watched(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "certs").symlink_to("real")
    with watching(tmp_path / "certs", tmp_path) as watch:
        (tmp_path / "real" / "a.pem").write_text("text")

        eventually(lambda: [reason for reason in watch.reasons() if str(tmp_path / "certs") in reason])


class ExhaustedObserver(PollingObserver):
    """An observer that can observe only one folder, like inotify at its limit."""

    def __init__(self) -> None:
        super().__init__()
        self._scheduled = 0

    def schedule(self, *arguments: Any, **options: Any) -> ObservedWatch:
        self._scheduled += 1
        if self._scheduled > 1:
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        return super().schedule(*arguments, **options)


def refuse_observer() -> BaseObserver:
    """Do what inotify does when no instance is left."""
    raise OSError(errno.EMFILE, "inotify instance limit reached")


@pytest.mark.parametrize("make_observer", [ExhaustedObserver, refuse_observer], ids=["watches", "instances"])
def test_reached_limit_of_inotify_is_told_once_and_files_are_polled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make_observer: Callable[[], BaseObserver]
) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("old")
    with watching(path, tmp_path, make_observer) as watch:
        path.write_text("new text")

        eventually(lambda: f"file {path} changed" in watch.reasons())
    assert len(caplog.messages) == 1
    assert "limit reached. Files are now looked at every second" in caplog.messages[0]
