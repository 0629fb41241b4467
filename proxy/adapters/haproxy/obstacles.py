"""Moves aside what stands in the state folder under a name that the proxy needs, and is something else.

In: the state folder. Out: the same folder, in which every name of ours is free or has what belongs there. Rules: nothing is
deleted, because it may be somebody's; what is moved is told.
"""

from __future__ import annotations

import itertools
import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.errors import StateError

logger = logging.getLogger(__name__)

_FOLDERS = ("generations", "checks", "kept")
_LINKS = ("current", "current.new")
SOCKETS = ("master.sock", "haproxy.sock", "peers.sock")
LOCKS = ("supervisor.lock", "controller.lock")
_FILES = (
    *("haproxy.started", "haproxy.new"),
    *("server-state", "server-state.new", "status.json", "status.new", "weights.json", "weights.new"),
)


NAMES = (*_FOLDERS, *_LINKS, *SOCKETS, *LOCKS, *_FILES)


def clear_obstacles(layout: StateLayout, names: Sequence[str] = NAMES) -> None:
    """Move aside what is in the way of these names. Raises StateError where that is not possible."""
    for name in names:
        path = layout.folder / name
        if found := _obstacle(path):
            _move(path, found)


def _obstacle(path: Path) -> str:
    """Return what stands there if it is of the wrong kind; else an empty text."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return ""
    if path.name in _FOLDERS:
        if not stat.S_ISDIR(mode):
            return "is no folder"
        # Where the disk is read-only, nothing can be written to, and nothing is in the way.
        is_ours = os.access(path, os.R_OK | os.W_OK | os.X_OK) or not os.access(path.parent, os.W_OK)
        return "" if is_ours else "cannot be written to"
    if path.name in _LINKS:
        return "" if stat.S_ISLNK(mode) else "is no symbolic link"
    return "is a folder" if stat.S_ISDIR(mode) else ""


def _move(path: Path, found: str) -> None:
    number = next(number for number in itertools.count(1) if not os.path.lexists(f"{path}.moved-{number}"))
    target = path.with_name(f"{path.name}.moved-{number}")
    try:
        path.rename(target)
    except OSError as error:
        what = f"{path} {found}, but the proxy needs this name"
        raise StateError(f"{what}, and it cannot be moved ({error.strerror}); remove it") from error
    logger.warning("%s %s, but the proxy needs this name; it is now %s", path, found, target.name)
