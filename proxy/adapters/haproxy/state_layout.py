"""The paths in the state folder, and the lock on it. It imports little, because the supervisor keeps it in memory."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from proxy.errors import StateError

CONFIG_FILE = "haproxy.cfg"
CA_FILE = "certs/ca/client-ca.pem"
"""`core/haproxy/rendering` has the same name. Importing it from there would load a template engine into the supervisor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLayout:
    """The paths in the state folder. The folder is absolute, because HAProxy changes its working directory."""

    folder: Path

    def __post_init__(self) -> None:
        if not self.folder.is_absolute():
            raise StateError(f"the state folder must be an absolute path, not {str(self.folder)!r}")

    @property
    def current(self) -> Path:
        """The symlink to the set of files in force. It does not exist before the first set."""
        return self.folder / "current"

    @property
    def config(self) -> Path:
        """The configuration that HAProxy starts with and reloads."""
        return self.current / CONFIG_FILE

    @property
    def generations(self) -> Path:
        """All sets of files that are kept or being written."""
        return self.folder / "generations"

    @property
    def checks(self) -> Path:
        """Sets of files that are only checked."""
        return self.folder / "checks"

    @property
    def master_socket(self) -> Path:
        """The master CLI."""
        return self.folder / "master.sock"

    @property
    def runtime_socket(self) -> Path:
        """The worker's runtime API."""
        return self.folder / "haproxy.sock"

    @property
    def start_mark(self) -> Path:
        """A file that exists from just before HAProxy is started until it has ended."""
        return self.folder / "haproxy.started"

    @property
    def server_state(self) -> Path:
        """Health and weights of servers, saved before a reload."""
        return self.folder / "server-state"


class StateLock:
    """A lock file that one process holds until it releases it or ends. Raises StateError if another process has it."""

    def __init__(self, layout: StateLayout, name: str) -> None:
        try:
            layout.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = FileIO(os.open(layout.folder / name, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StateError(f"state folder {layout.folder} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise StateError(
                f"another proxy uses the state folder {layout.folder}; stop it, or set another PROXY_STATE_FOLDER"
            ) from error

    def release(self) -> None:
        """Release the lock, so that another process can take it."""
        self._file.close()
