"""Brings the files on disk up to date beside the deciding thread, which changes HAProxy meanwhile.

In: a function that renders the present state. Out: a new set of files in force, if HAProxy would start from it. With ten
thousand services that takes most of a second, for which no event is to wait. Rules: one write at a time; every other use
of the store waits for it, so that the store itself is never used by two threads at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from proxy.controller.ports import HaproxyControl, StateStore
from proxy.core.haproxy.rendering import CONFIG_FILE, DesiredState
from proxy.errors import ConfigCheckError, StateError

logger = logging.getLogger(__name__)


class DiskWriter:
    """A `StateStore` that can also write in the background. Its methods are the deciding thread's."""

    def __init__(self, store: StateStore, haproxy: HaproxyControl) -> None:
        self._store = store
        self._haproxy = haproxy
        self._thread: threading.Thread | None = None
        self._has_failed = False

    def begin(self, render: Callable[[], DesiredState]) -> None:
        """Write what `render` returns and put it in force, in a thread of its own; waits for the write before."""
        self._finish()
        self._has_failed = False
        self._thread = threading.Thread(target=self._write, args=(render,), name="disk writer", daemon=True)
        self._thread.start()

    def is_busy(self) -> bool:
        """Whether the last write has not ended yet."""
        return self._thread is not None and self._thread.is_alive()

    def take_failure(self) -> bool:
        """Return, once, whether the disk did not do its part in the last write; it is worth another try then."""
        has_failed, self._has_failed = self._has_failed, False
        return has_failed

    def write_candidate(self, files: Mapping[str, str]) -> Path:
        """See `StateStore`."""
        return self._idle_store().write_candidate(files)

    def promote(self, candidate: Path) -> None:
        """See `StateStore`."""
        self._idle_store().promote(candidate)

    def rollback(self) -> None:
        """See `StateStore`."""
        self._idle_store().rollback()

    def discard(self, candidate: Path) -> None:
        """See `StateStore`."""
        self._idle_store().discard(candidate)

    def read_current(self) -> Mapping[str, str] | None:
        """See `StateStore`."""
        return self._idle_store().read_current()

    def _idle_store(self) -> StateStore:
        self._finish()
        return self._store

    def _finish(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, render: Callable[[], DesiredState]) -> None:
        try:
            folder = self._store.write_candidate(render().files)
            try:
                self._haproxy.check(folder / CONFIG_FILE, is_urgent=False)
            except ConfigCheckError as error:
                self._store.discard(folder)
                logger.error("the files on disk stay as they are, HAProxy would not start from the present ones: %s", error)
            else:
                self._store.promote(folder)
        except StateError as error:
            self._has_failed = True
            logger.error("the files on disk are not up to date: %s", error)
