"""The file that says where the real parts are. It has `KEY=VALUE` lines, which a shell can read too."""

from __future__ import annotations

import shlex
import threading
from pathlib import Path


class EnvFile:
    """Settings that appear in the file as soon as a part works. They stay when only another part is set up again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def read(self) -> dict[str, str]:
        if not self._path.exists():
            return {}
        words = shlex.split(self._path.read_text())
        return {key: value for key, _, value in (word.partition("=") for word in words)}

    def text(self) -> str:
        return self._path.read_text() if self._path.exists() else ""

    def update(self, **settings: str | None) -> None:
        """Set some settings, or remove those given as None."""
        with self._lock:
            merged = {**self.read(), **settings}
            lines = [f"{key}={shlex.quote(value)}\n" for key, value in sorted(merged.items()) if value is not None]
            self._path.parent.mkdir(parents=True, exist_ok=True)
            scratch = self._path.with_suffix(".new")
            scratch.write_text("".join(lines))
            scratch.replace(self._path)
