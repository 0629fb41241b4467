"""The status file: how `proxy reload`, `proxy weight`, `proxy health` and scripts see the controller.

In: a `Status` after each pass. Out: `status.json` in the state folder, replaced in one step. It is written beside the
thread that decides, for whom the rename alone would take as long as a pass; of several that wait, the last is written.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

STATUS_FILE = "status.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the controller last wrote. `passes` counts them, `forced` those that a user asked for.

    `began` is when the last one began to look, in seconds since the epoch: what was there before, it has seen.
    """

    pid: int
    passes: int
    forced: int
    sentence: str
    is_success: bool
    problems: tuple[str, ...] = ()
    began: float = 0.0


class StatusFile:
    """Writes the status to `state_folder`; a disk that is full costs the file, never the pass."""

    def __init__(self, state_folder: Path) -> None:
        self._path = state_folder / STATUS_FILE
        self._waiting: Status | None = None
        self._has_news = threading.Event()
        threading.Thread(target=self._write_for_ever, name="status file", daemon=True).start()

    def write(self, status: Status) -> None:
        """Have the file replaced in a moment."""
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
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._path, error.strerror)


def read_status(state_folder: Path) -> Status | None:
    """Return what the controller last wrote; None when it has not written yet."""
    try:
        values = json.loads((state_folder / STATUS_FILE).read_text())
        return Status(**{**values, "problems": tuple(values["problems"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None
