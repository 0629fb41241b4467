"""Packages of Debian suites that the host does not use. A separate apt state fetches them.

The host's apt does not know these suites, so no package of the host can be upgraded by accident.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.real import machine
from tests.real.steps import run

TESTING = "forky"
# Only HAProxy comes from experimental. Newer dependencies from there (libc6) would break everything else.
EXPERIMENTAL_PIN = "Package: haproxy\nPin: version 3.4.*\nPin-Priority: 990\n"
APT_SETTINGS = {
    # Release files of testing and experimental are out of date on a mirror that is not updated.
    "Acquire::Check-Valid-Until": "false",
    "Acquire::Languages": "none",
}


class Suites:
    """Debian testing and experimental, in a separate folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._is_updated = False

    @contextmanager
    def unpacked(self, package: str) -> Iterator[Path]:
        """Fetch a package with all its dependencies. Yield a folder where they are unpacked until the context ends."""
        self._update()
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            archives, unpacked = Path(folder) / "archives", Path(folder) / "unpacked"
            (archives / "partial").mkdir(parents=True)
            with self._lock:  # only one apt-get at a time can use the package lists
                self._apt("install", "--download-only", "-o", f"Dir::Cache::archives={archives}", package)
            for archive in sorted(archives.glob("*.deb")):
                run("dpkg-deb", "--extract", archive, unpacked)
            yield unpacked

    def _update(self) -> None:
        with self._lock:
            if not self._is_updated:
                self._write_settings()
                self._apt("update")
                self._is_updated = True

    def _write_settings(self) -> None:
        for name in ("lists/partial", "etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "etc/trusted.gpg.d"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()  # an empty list of installed packages, so that every dependency is fetched
        (self._folder / "etc/preferences").write_text(EXPERIMENTAL_PIN)
        mirror = machine.debian_mirror()
        lines = [f"deb [signed-by={machine.KEYRING}] {mirror} {suite} main\n" for suite in (TESTING, "experimental")]
        (self._folder / "etc/sources.list").write_text("".join(lines))
        settings = APT_SETTINGS | {
            "Dir::State": str(self._folder),
            "Dir::State::status": str(self._folder / "status"),
            "Dir::Cache": str(self._folder),
            "Dir::Etc": str(self._folder / "etc"),
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",  # apt's own user cannot enter the checkout
            "APT::Update::Error-Mode": "any",
        }
        lines = [f'{key} "{value}";\n' for key, value in settings.items()]
        (self._folder / "apt.conf").write_text(machine.apt_settings() + "".join(lines))

    def _apt(self, *arguments: str) -> None:
        run("apt-get", "-qq", *arguments, env={"APT_CONFIG": str(self._folder / "apt.conf")})
