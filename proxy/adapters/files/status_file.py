"""The status file, from which `proxy reload`, `proxy weight`, `proxy health` and scripts learn what the controller does.

In: a `Status` after each pass. Out: `status.json` in the state folder, replaced in one step. A separate thread writes it,
because the rename alone would delay the deciding thread by as long as a pass. Only the last waiting one is written.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

logger = logging.getLogger(__name__)

STATUS_FILE = "status.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The controller's last report. `passes` counts all passes, `forced` those that a user asked for.

    `forced_sentence` and `is_forced_success` are of the last one that a user asked for: others may have followed it since.
    `servers` says why servers get no requests, by `backend/server`. `began` is the start of the last pass, in seconds since
    the epoch. The pass has seen everything that was there before.
    """

    pid: int
    passes: int
    forced: int
    sentence: str
    is_success: bool
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    servers: Mapping[str, str] = field(default_factory=dict)
    began: float = 0.0
    forced_sentence: str = ""
    is_forced_success: bool = True


class StatusFile:
    """Writes the status to `state_folder`. If the disk is full, only this file is out of date; the pass does not fail."""

    def __init__(self, state_folder: Path) -> None:
        self._path = state_folder / STATUS_FILE
        self._waiting: Status | None = None
        self._has_news = threading.Event()
        self._has_failed = False
        threading.Thread(target=self._write_for_ever, name="status file", daemon=True).start()

    def write(self, status: Status) -> None:
        """Schedule the file to be replaced. Returns at once."""
        self._waiting = status
        self._has_news.set()

    def _write_for_ever(self) -> None:
        while self._has_news.wait():
            self._has_news.clear()
            if self._waiting:
                self._replace(self._waiting)

    def _replace(self, status: Status) -> None:
        draft = self._path.with_suffix(".new")
        try:
            draft.write_text(json.dumps(dataclasses.asdict(status), indent=1) + "\n")
            draft.replace(self._path)
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                logger.warning("%s cannot be written: %s. The next failures are not logged", self._path, error.strerror)
            self._has_failed = True


def read_status(state_folder: Path) -> Status | None:
    """Return what the controller wrote last; None if there is no file or it cannot be read."""
    try:
        values = json.loads((state_folder / STATUS_FILE).read_text())
        return Status(**{**values, "problems": tuple(values["problems"]), "notes": tuple(values.get("notes", ()))})
    except (OSError, ValueError, KeyError, TypeError):
        return None
