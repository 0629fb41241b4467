"""The texts of the files in a folder and in its subfolders.

In: the folder. Out: `FolderTexts`. A file that is being written is read again until it stays as it is.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proxy.core.model.certificate_pairs import FOREIGN_SUFFIXES, PEM_SUFFIXES

MAX_BYTES = 1_000_000
"""A larger file is no certificate."""
SETTLE_SECONDS = 0.05
MAX_SETTLE_READS = 20
"""A file whose text differs from that of the last time is read again after a pause, until two texts are equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderTexts:
    """`texts` and `unreadable` are by the names of files, relative to the folder. The latter says why."""

    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    unreadable: Mapping[str, str] = field(default_factory=dict)


def read_folder(folder: Path, before: FolderTexts) -> FolderTexts:
    """Return the texts of a folder, of which `before` was read last. Raises OSError if it cannot be listed."""
    texts: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    for path in _entries(folder):
        try:
            files = _entries(path) if path.is_dir() else [path]
        except OSError as error:
            unreadable[path.name] = f"cannot be listed: {error.strerror}"
            continue
        for file in files:
            _read_file(file, str(file.relative_to(folder)), before, texts, unreadable)
    return FolderTexts(texts=texts, unreadable=unreadable)


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder. Names with a dot in front are hidden."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _read_file(path: Path, name: str, before: FolderTexts, texts: dict[str, str], unreadable: dict[str, str]) -> None:
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BYTES:
            texts[name] = _read_settled(path, before.texts.get(name))
    except UnicodeDecodeError:
        if path.suffix.lower() in FOREIGN_SUFFIXES:
            texts[name] = ""
        elif path.suffix.lower() in PEM_SUFFIXES:
            unreadable[name] = "cannot be read: not text"
    except FileNotFoundError:
        if path.is_symlink():
            unreadable[name] = f"is a link to {path.readlink()}, which is not there; mount the folder with both"
    except OSError as error:
        unreadable[name] = f"cannot be read: {error.strerror}"


def _read_settled(path: Path, before: str | None) -> str:
    text = path.read_text()
    for _ in range(MAX_SETTLE_READS if before not in (None, text) else 0):
        time.sleep(SETTLE_SECONDS)
        again = path.read_text()
        if again == text:
            break
        text = again
    return text
