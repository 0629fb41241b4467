"""Copies of the files that the proxy's own settings name, for the time when such a file is not there.

In: paths. Out: copies in the state folder, as the files were when they were read last. Rules: a file that is there is always
the one that counts; a copy is for its owner only (it may hold keys); a disk that refuses a copy stops nothing.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from proxy.grammar.syntax import make_digest, make_name

KEPT_FOLDER = "kept"


class KeptFiles:
    """The copies below a state folder. With `is_read_only`, none is made; commands that change nothing use that."""

    def __init__(self, state_folder: Path, *, is_read_only: bool = False) -> None:
        self._folder = state_folder / KEPT_FOLDER
        self._is_read_only = is_read_only
        self._seen: dict[Path, tuple[int, int, int]] = {}

    def copy_of(self, path: Path) -> Path:
        """Return where the copy of a file is, or would be; for a folder, the folder of the copies of its files."""
        return self._folder / f"{make_digest(str(path))}-{make_name(path.name)[-100:]}"

    def keep(self, path: Path, copy: Path | None = None) -> bool:
        """Copy a file if it has changed since the last copy. Return whether it is there; anything but a file is not."""
        try:
            status = path.stat()
            if not path.is_file() or not os.access(path, os.R_OK):
                return path.exists() and not path.is_file()
        except OSError:
            return False
        state = status.st_ino, status.st_mtime_ns, status.st_size
        copy = copy or self.copy_of(path)
        if not self._is_read_only and (self._seen.get(path) != state or not copy.exists()):
            with contextlib.suppress(OSError):
                _replace(copy, path.read_bytes())
                self._seen[path] = state
        return True

    def write(self, path: Path, data: bytes) -> None:
        """Keep `data` as the content of a file."""
        if not self._is_read_only:
            with contextlib.suppress(OSError):
                _replace(self.copy_of(path), data)

    def read_text(self, path: Path) -> str:
        """Return the text of a file, or of its copy. Raises the file's OSError or UnicodeDecodeError without a copy."""
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            try:
                return self.copy_of(path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                raise error from None


def _replace(copy: Path, data: bytes) -> None:
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = copy.with_name(f"{copy.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    draft.replace(copy)
