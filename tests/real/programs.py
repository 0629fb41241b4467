"""Every program that the tests, the benchmarks and the examples start, with Debian's package of it.

A program is named here once. `up` installs the packages and looks for each program; tests/unit/test_programs.py reads the
sources and fails for a program that is missing here; `bare` proves the table on a machine that has nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.real import machine
from tests.real.steps import StepError

Programs = Mapping[str, str]
"""Packages by program."""

SYSTEM: Programs = {
    "apt-cache": "apt",
    "apt-config": "apt",
    "apt-get": "apt",
    "awk": "mawk",
    "cat": "coreutils",
    "chroot": "coreutils",
    "cp": "coreutils",
    "curl": "curl",
    "dirname": "coreutils",
    "dpkg-deb": "dpkg",
    "dpkg-query": "dpkg",
    "env": "coreutils",
    "ldd": "libc-bin",
    "make": "make",
    "mkdir": "coreutils",
    "mktemp": "coreutils",
    "mount": "mount",
    "mv": "coreutils",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "python3": "python3",
    "rm": "coreutils",
    "setsid": "util-linux",
    "sh": "dash",
    "sleep": "coreutils",
    "tar": "tar",
    "taskset": "util-linux",
    "timeout": "coreutils",
    "touch": "coreutils",
    "tr": "coreutils",
    "true": "coreutils",
    "umount": "mount",
    "unshare": "util-linux",
}
"""Small programs. Most are part of every Debian, but an image of Debian may lack them."""

TESTS: Programs = {
    "catatonit": "catatonit",
    "debootstrap": "debootstrap",
    "haproxy": "haproxy",
    "patchelf": "patchelf",
    "podman": "podman",
    "wrk": "wrk",
}

ENGINE: Programs = {
    "docker": "docker.io",
    "dockerd": "docker.io",
    "ip": "iproute2",
    "iptables-restore": "iptables",
    "iptables-save": "iptables",
}
"""For engines that the tests start: the private one where no engine answers, and those of the Swarm."""

BENCH: Programs = {"caddy": "caddy", "callgrind_control": "valgrind", "nginx": "nginx-light", "valgrind": "valgrind"}
"""`make bench` installs them when it needs them."""

NOT_IN_DEBIAN = frozenset({"traefik"})
"""Used only where somebody has installed it."""


def provide(programs: Programs, *names: str) -> str:
    """Install the packages of these programs (of all, if none is named). Raises `StepError` if one is missing then."""
    wanted = {name: programs[name] for name in names or programs}
    done = machine.install(*dict.fromkeys(package for name, package in wanted.items() if not machine.program(name)))
    for name, package in wanted.items():
        if machine.program(name) is None:
            raise StepError(f"the package {package} has no program {name}: correct tests/real/programs.py")
    return done if done.startswith("installed") else f"all {len(wanted)} present"
