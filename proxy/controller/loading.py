"""Brings a whole model to HAProxy by files: renders, writes, checks, and has it reload. It runs in the background.

In: what builds the model of one moment. Out: `Load`, or an error. Nothing invalid ever replaces something that works: the
files are checked before they are in force, and those before come back when HAProxy does not take them over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proxy.controller.ports import HaproxyControl, Runtime, StateStore
from proxy.core.haproxy.file_names import CONFIG_FILE
from proxy.core.haproxy.rendering import DesiredState, Renderer
from proxy.core.haproxy.reported import Worker
from proxy.core.model.model import RoutingModel
from proxy.errors import ConfigCheckError, MasterUnreachableError, ReloadError, RuntimeApiError

BuildModel = Callable[[], RoutingModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How a load has ended. `messages` are HAProxy's, where it refuses the files; `worker` is the new one, if there is one.

    Without a worker the files are in force, and HAProxy starts from them when it starts next.
    """

    state: DesiredState
    worker: Worker | None = None
    messages: tuple[str, ...] = ()
    is_refused_at_reload: bool = False


class Loader:
    """Writes the files of HAProxy. Its methods raise StateError, CheckNotRunError, TemplateError or ReloadError."""

    def __init__(self, *, renderer: Renderer, store: StateStore, haproxy: HaproxyControl, runtime: Runtime) -> None:
        self._renderer = renderer
        self._store = store
        self._haproxy = haproxy
        self._runtime = runtime

    def load(self, build_model: BuildModel, *, is_reload: bool) -> Load:
        """Put the files of a model in force; with `is_reload`, a HAProxy that runs takes them over at once."""
        state = self._renderer.render(build_model())
        folder, messages = self._write(state, is_urgent=True)
        if folder is None:
            return Load(state=state, messages=messages)
        self._store.promote(folder)
        if not is_reload or not self._answers():
            return Load(state=state)
        try:
            self._haproxy.reload()
        except MasterUnreachableError:
            self._haproxy.ask_replacement()
            raise
        except ReloadError as error:
            self._go_back()
            return Load(state=state, messages=tuple(str(error).split("\n")), is_refused_at_reload=True)
        worker = self._runtime.identify()
        self._store.pin(worker.config_digest)
        return Load(state=state, worker=worker)

    def write(self, build_model: BuildModel) -> Load:
        """Bring the files up to date with what runs already, so that a restart would start from it; this is not urgent."""
        state = self._renderer.render(build_model())
        folder, messages = self._write(state, is_urgent=False)
        if folder is not None:
            self._store.promote(folder)
        return Load(state=state, messages=messages)

    def _write(self, state: DesiredState, *, is_urgent: bool) -> tuple[Path | None, tuple[str, ...]]:
        """Write a checked candidate; return its folder, or why HAProxy refuses it."""
        folder = self._store.write_candidate(state.files)
        try:
            self._haproxy.check(folder / CONFIG_FILE, is_urgent=is_urgent)
        except ConfigCheckError as error:
            self._store.discard(folder)
            return None, error.messages
        except Exception:
            self._store.discard(folder)
            raise
        return folder, ()

    def _answers(self) -> bool:
        """Whether a HAProxy runs. One that is only starting tells later from which files it has started."""
        try:
            self._runtime.identify()
        except RuntimeApiError:
            return False
        return True

    def _go_back(self) -> None:
        """Load the files from before the failed reload: until one succeeds, 3.4's runtime socket is dead [tried]."""
        self._store.rollback()
        with contextlib.suppress(ReloadError):
            self._haproxy.reload()
