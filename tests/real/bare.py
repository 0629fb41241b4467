"""Proves that the set-up names everything that it needs, on a bare Debian: a folder where nothing of this machine is.

debootstrap makes the folder. It holds the smallest Debian 12, python3 and make, and this machine's settings for apt, pip and
certificates. The commands of the Makefile run in it, with their own processes, mounts and environment. If this machine
cannot make such a folder, nothing is proven, and that is said; it is not a fault of the project. Everything after that is.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.real import base_image
from tests.real.places import Places
from tests.real.steps import Step, require_root, run, run_steps

SUITE = "bookworm"
GIVEN = ("make", "python3")
"""What CONTRIBUTING.md asks for; everything else has to be installed by the set-up."""

_VARIABLES = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_LEFT_OUT = (".git", ".venv", ".cache", ".coverage", "__pycache__", "*.egg-info", ".*_cache")
_ENTER = """\
mount -t proc proc "$0/proc"
mount --rbind /sys "$0/sys"
mount --rbind /dev "$0/dev"
exec chroot "$0" sh -ec "cd /checkout; $1"
"""
_WITH_PARTS = "set -a && . .cache/real.env && set +a &&"
_PIP_INSTALL = """\
python3 -m venv /opt/proxy && /opt/proxy/bin/pip install -q --disable-pip-version-check .
cd /tmp
export PROXY_SOURCES=file PROXY_SERVICES_FILE=/checkout/examples/demo/services.yml PROXY_STATE_FOLDER=/tmp/state
/opt/proxy/bin/proxy check
"""
_TEST = "tests/haproxy/test_faults.py::test_service_that_came_while_the_disk_was_full_is_served_later"
"""It runs the whole program with both versions of HAProxy, and mounts."""


@dataclass(frozen=True)
class BareMachine:
    """A Debian in a folder, with the checkout in it."""

    root: Path

    def run(self, command: str) -> str:
        """Run a shell command in the checkout; everything that it starts ends with it."""
        apart = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
        variables = _VARIABLES | {name: os.environ[name] for name in _PROXIES if name in os.environ}
        cleared = ("env", "-i", *(f"{name}={value}" for name, value in variables.items()))
        return run(*apart, *cleared, "sh", "-ec", _ENTER, self.root, command)


def prove(places: Places) -> bool:
    """Return False if the set-up fails on a bare machine; True if it works, or if this machine cannot tell."""
    places.bare.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=places.bare) as folder:
        machine = BareMachine(Path(folder) / "root")
        return conclude(_preparation(places, machine), _proof(machine))


def conclude(preparation: Sequence[Step], proof: Sequence[Step]) -> bool:
    """Return False only if the machine could be prepared and the proof failed."""
    if not run_steps(preparation):
        sys.stdout.write("the set-up is NOT PROVEN: this machine cannot make a bare Debian to try it in\n")
        return True
    return run_steps(proof)


def _preparation(places: Places, machine: BareMachine) -> Sequence[Step]:
    return (
        Step("bare Debian", lambda: _unpack(places, machine.root)),
        Step("package lists", lambda: _update(machine), needs=("bare Debian",)),
    )


def _unpack(places: Places, root: Path) -> str:
    require_root("to make a bare Debian with debootstrap")
    tar = base_image.provide_tar(places.bare / "image", base_image.Recipe.of_this_machine(SUITE, GIVEN))
    root.mkdir()
    run("tar", "--directory", root, "--extract", "--file", tar, "--numeric-owner")
    for name in ("etc/resolv.conf", "etc/hosts"):
        shutil.copy(f"/{name}", root / name)
    checkout = Path(__file__).resolve().parents[2]
    shutil.copytree(checkout, root / "checkout", ignore=shutil.ignore_patterns(*_LEFT_OUT))
    return f"Debian {SUITE} with {' and '.join(GIVEN)}"


def _update(machine: BareMachine) -> str:
    """Fetch the lists, so that a mirror's fault is seen here; then drop them, because a fresh machine has none."""
    machine.run("apt-get -qq update && rm -rf /var/lib/apt/lists/*")
    return "can be fetched"


def _proof(machine: BareMachine) -> Sequence[Step]:
    parts = " ".join(f"--only {part}" for part in ("programs", "haproxy26", "haproxy34"))
    commands = {
        "make": "make .venv/.installed",
        "parts": f"python3 -m tests.real up {parts}",
        "engine": "python3 -c 'from tests.real.engine import install_programs; print(install_programs())'",
        "tests can be read": ".venv/bin/python -m pytest -q --collect-only tests",
        "pip install": _PIP_INSTALL,
        "a test": f"{_WITH_PARTS} .venv/bin/python -m pytest -q {_TEST}",
    }
    needs = [(), *((name,) for name in commands)]
    return [
        Step(name, partial(_last_line_of, machine, command), needs=need)
        for (name, command), need in zip(commands.items(), needs, strict=False)
    ]


def _last_line_of(machine: BareMachine, command: str) -> str:
    lines = [line for line in machine.run(command).splitlines() if line.strip()]
    return lines[-1].strip() if lines else "done"
