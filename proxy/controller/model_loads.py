"""Loads of whole models, beside the deciding thread: for a reload, for a start, and so that the files follow what runs.

In: what is pending. Out: jobs, and their results taken in. A load that fails leaves everything pending and is tried again
after a growing pause; whom HAProxy refuses is found and left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from proxy.controller.check_jobs import tell
from proxy.controller.config_check import ConfigCheck, Culprits
from proxy.controller.desired_model import DesiredModel
from proxy.controller.haproxy_state import HaproxyState
from proxy.controller.loading import Load, Loader
from proxy.controller.pending import Pending
from proxy.controller.ports import Background
from proxy.controller.retry import Retry
from proxy.core.haproxy.blame import blame, hide_values
from proxy.core.model.service_table import Specs

logger = logging.getLogger(__name__)

LOAD, DISK, CULPRITS = "load", "writing of files", "search for who is at fault"
DISK_LAG_SECONDS = 1.0
"""How long files may lag behind what runs: a storm of changes is written once."""
FIRST_CONFIGURATION = "first configuration"
NOT_RUNNING = "HAProxy does not run; it starts from new files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What loads have come to since somebody asked last: reasons of those that succeeded, or why one failed."""

    reasons: tuple[str, ...] = ()
    forced: int = 0
    failure: str = ""


class ModelLoads:
    """Begins loads, one at a time. `files` and `checks` are two threads; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        *,
        loader: Loader,
        check: ConfigCheck,
        desired: DesiredModel,
        haproxy: HaproxyState,
        pending: Pending,
        files: Background,
        checks: Background,
        clock: Callable[[], float],
    ) -> None:
        self._loader = loader
        self._check = check
        self._desired = desired
        self._haproxy = haproxy
        self._pending = pending
        self._files = files
        self._checks = checks
        self._clock = clock
        self._retry = Retry()
        self._ended = Ended()
        self._has_written = False
        self._changed_at: float | None = None

    def note_change(self, now: float) -> None:
        """Note that HAProxy was changed at runtime: the files are to follow."""
        if self._changed_at is None:
            self._changed_at = now

    def note_confirmed(self) -> None:
        """Note that HAProxy runs, and from files that are there. It accepts what it has."""
        if not self._has_written and not self._pending.reload_reasons:
            self._desired.accept_all()
        self._has_written = True

    def prepare_start(self, *, are_files_in_doubt: bool) -> None:
        """HAProxy does not answer: have the files for its next start written, where they are not of the present model.

        Files that are in doubt, because somebody may have deleted them, are written in any case.
        """
        if not self._has_written:
            self._pending.found = (FIRST_CONFIGURATION,)
        else:
            self._pending.found = (NOT_RUNNING,) if self._pending.change or are_files_in_doubt else ()
        self._pending.needed = ()

    def begin(self, now: float) -> None:
        """Begin what is due."""
        if self._is_busy() or not self._retry.is_due(now):
            return
        if self._pending.reload_reasons:
            reasons = self._pending.begin_load()
            is_reload = any(reason not in (FIRST_CONFIGURATION, NOT_RUNNING) for reason in reasons)
            load = partial(self._loader.load, self._desired.freeze(), is_reload=is_reload)
            done = partial(self._take_load, self._desired.groups())
            self._files.submit(LOAD, load, done=done, failed=self._take_failure)
        elif self._changed_at is not None and now >= self._changed_at + DISK_LAG_SECONDS:
            self._changed_at = None
            write = partial(self._loader.write, self._desired.freeze())
            self._files.submit(DISK, write, done=self._take_write, failed=self._take_write_failure)

    def wait(self, now: float) -> float | None:
        """Return in how many seconds there is something to begin; None where nothing is, or a job's end will tell."""
        if self._is_busy():
            return None
        retry = self._retry.wait(now)
        if self._pending.reload_reasons:
            return retry
        if self._changed_at is None:
            return None
        return max(self._changed_at + DISK_LAG_SECONDS - now, retry or 0.0)

    def take_ended(self) -> Ended:
        """Return, once, what loads have come to."""
        ended, self._ended = self._ended, Ended()
        return ended

    def _is_busy(self) -> bool:
        """Whether a job runs that another one must not overtake with a model of its own."""
        return self._pending.is_loading or self._files.is_busy(DISK) or self._checks.is_busy(CULPRITS)

    def _take_load(self, groups: Mapping[str, Specs], load: Load) -> None:
        if load.messages:
            self._take_refusal(groups, load)
            return
        reasons, forced = self._pending.end_load(is_confirmed=True)
        self._retry.succeed()
        self._has_written, self._changed_at = True, None
        if NOT_RUNNING in reasons:
            logger.info("wrote the files of the present state, from which HAProxy starts")
        told = tuple(reason for reason in reasons if reason != NOT_RUNNING)  # nothing was reloaded for it
        self._ended = Ended(reasons=self._ended.reasons + told, forced=self._ended.forced + forced)
        self._desired.accept_all()
        if load.worker:
            self._haproxy.note_loaded(load.worker, load.state)
            if self._pending.is_suspect:
                self._haproxy.doubt("an error in this program interrupted a change of the model")
        else:
            self._haproxy.doubt("it was started from new files")

    def _take_refusal(self, groups: Mapping[str, Specs], load: Load) -> None:
        _, forced = self._pending.end_load(is_confirmed=False)
        if not load.is_refused_at_reload:
            self._search(load)
            return
        self._haproxy.doubt("the last reload failed")
        culprits = blame(load.messages, load.state)
        if not self._desired.refuse(culprits, groups, self._pending):
            specs = (spec for group in groups.values() for spec in group)
            self._note_failure(hide_values(specs, "; ".join(load.messages)), forced)

    def _search(self, load: Load) -> None:
        logger.debug("HAProxy refuses a configuration; looking for the services at fault")
        groups = self._desired.groups()
        find = partial(self._check.find_culprits, groups, self._desired.builder())
        done = partial(self._take_culprits, groups)
        self._checks.submit(CULPRITS, find, done=done, failed=self._take_culprits_failure)

    def _take_culprits(self, groups: Mapping[str, Specs], culprits: Culprits) -> None:
        if not self._desired.refuse(culprits, groups, self._pending):
            self._retry.fail(self._clock())

    def _take_culprits_failure(self, error: Exception) -> None:
        self._note_failure(tell(error), self._pending.forced)

    def _take_failure(self, error: Exception) -> None:
        _, forced = self._pending.end_load(is_confirmed=False)
        self._haproxy.doubt("the last load failed")
        self._note_failure(tell(error), forced)

    def _note_failure(self, failure: str, forced: int) -> None:
        self._retry.fail(self._clock())
        self._ended = replace(self._ended, failure=failure, forced=self._ended.forced + forced)

    def _take_write(self, load: Load) -> None:
        if not load.messages:
            self._retry.succeed()
            return
        logger.error(
            "the files on disk stay as they are: HAProxy refuses the present ones; looking for the services at fault"
        )
        self.note_change(self._clock())
        self._search(load)

    def _take_write_failure(self, error: Exception) -> None:
        logger.error("the files on disk are not up to date: %s", tell(error))
        self._changed_at = self._clock()
        self._retry.fail(self._changed_at)
