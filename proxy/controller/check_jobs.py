"""What is read and checked beside the deciding thread: the settings of services, and the proxy's own files.

In: services whose settings HAProxy has not seen, files that may have changed. Out: what is accepted or refused, and what the
files hold, taken into the model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial

from proxy.controller.config_check import ConfigCheck, Culprits
from proxy.controller.desired_model import DesiredModel
from proxy.controller.pending import Pending
from proxy.controller.ports import Background
from proxy.controller.retry import Retry
from proxy.controller.service_checks import ServiceChecks
from proxy.core.model.own_files import OwnFiles
from proxy.core.model.readiness import as_if_ready
from proxy.core.model.service_table import Specs
from proxy.errors import ProxyError

logger = logging.getLogger(__name__)

SERVICE_CHECK = "check of new settings"
OWN_FILES = "reading of the proxy's own files"


class ServiceCheckJobs:
    """Has the settings of all services that wait checked at once; one check runs at a time."""

    def __init__(
        self,
        *,
        checks: ServiceChecks,
        check: ConfigCheck,
        desired: DesiredModel,
        background: Background,
        pending: Pending,
        clock: Callable[[], float],
    ) -> None:
        self._checks = checks
        self._check = check
        self._desired = desired
        self._background = background
        self._pending = pending
        self._clock = clock
        self._retry = Retry()

    def begin(self, now: float) -> None:
        """Begin a check, where somebody waits for one."""
        waiting = self._checks.waiting()
        if not waiting:
            self._checks.note_failure("")
            self._retry.succeed()
        elif self._retry.is_due(now) and not self._background.is_busy(SERVICE_CHECK):
            # The check is about the time when the newest containers are ready, and decide on the settings of their services.
            groups = {label: tuple(map(as_if_ready, specs)) for label, specs in waiting.items()}
            self._background.submit(
                SERVICE_CHECK,
                partial(self._check.find_culprits, groups, self._desired.builder()),
                done=partial(self._take_result, waiting),
                failed=self._take_failure,
            )

    def wait(self, now: float) -> float | None:
        """Return in how many seconds there is something to begin; None where nothing is, or a job's end will tell."""
        return None if self._background.is_busy(SERVICE_CHECK) else self._retry.wait(now)

    def _take_result(self, waiting: Mapping[str, Specs], culprits: Culprits) -> None:
        self._retry.succeed()
        self._pending.touched |= self._checks.take_result(waiting, culprits)

    def _take_failure(self, error: Exception) -> None:
        self._retry.fail(self._clock())
        self._checks.note_failure(tell(error))
        logger.warning("new settings could not be checked: %s. The check is tried again", tell(error))


class OwnFilesJobs:
    """Has the proxy's own files read: at the first look at once, later in the background."""

    def __init__(
        self,
        *,
        read: Callable[[], OwnFiles],
        desired: DesiredModel,
        background: Background,
        pending: Pending,
        clock: Callable[[], float],
    ) -> None:
        self._read = read
        self._desired = desired
        self._background = background
        self._pending = pending
        self._clock = clock
        self._retry = Retry()
        self._templates: str | None = None
        self._is_due = False

    def begin(self, now: float, *, is_due: bool) -> None:
        """Begin a reading, where one is due. Raises SettingsError at the first one (see `OwnFileReader.read`)."""
        if self._templates is None:
            self._take(self._read())
            return
        self._is_due |= is_due
        if self._is_due and self._retry.is_due(now) and not self._background.is_busy(OWN_FILES):
            self._is_due = False
            self._background.submit(OWN_FILES, self._read, done=self._take, failed=self._take_failure)

    def wait(self, now: float) -> float | None:
        """Return in how many seconds there is something to begin; None where nothing is, or a job's end will tell."""
        return self._retry.wait(now) if self._is_due and not self._background.is_busy(OWN_FILES) else None

    def _take(self, files: OwnFiles) -> None:
        self._retry.succeed()
        if self._templates not in (None, files.templates):
            self._pending.ask_reload("the templates have changed")
        self._templates = files.templates
        self._desired.set_certificates(files.certificates)

    def _take_failure(self, error: Exception) -> None:
        logger.error("the proxy's own files could not be read: %s", tell(error))
        self._retry.fail(self._clock())
        self._is_due = True


def tell(error: Exception) -> str:
    """Return what went wrong, for people. The log gets the place of a fault of this program."""
    if isinstance(error, ProxyError):
        return str(error)
    logger.error("an error in this program", exc_info=error)
    return f"an error in this program ({type(error).__name__}: {error})"
