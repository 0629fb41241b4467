"""Debian's packages of the peers."""

from __future__ import annotations

import os
import shutil
import subprocess


def install(*packages: str) -> None:
    """Install those that are missing, without starting what they serve; says so. Needs root."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    missing = [package for package in packages if not shutil.which(package.removesuffix("-light"), path=path)]
    if missing:
        print(f"installing {', '.join(missing)}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
            env=environment,
            check=True,
            timeout=300,
        )
