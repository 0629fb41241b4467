"""The machine's own settings: its packages, and its settings for apt, pip and certificates.

Other modules get the addresses of mirrors and proxies, and certificates, only from here. So no file of the project has to
contain one.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import threading
from pathlib import Path

from tests.real.steps import StepError, answer, require_root, run

EXTRA_CERTIFICATES = Path("/usr/local/share/ca-certificates")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# apt settings of the host that are also valid inside an image: how to reach and trust its mirror.
_APT_SETTINGS = re.compile(r"^Acquire::((https?|ftp)::|Check-|Retries|ForceIPv|AllowInsecure|AllowWeak)\S* \".+\";$")
# RUNLEVEL=1 prevents invoke-rc.d from starting the services of the installed packages.
_QUIET_INSTALL = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1", "LC_ALL": "C.UTF-8"}
_apt_lock = threading.Lock()


def install(*packages: str) -> str:
    """Install the packages that are missing, without starting their services. Return what was done."""
    with _apt_lock:
        missing = [package for package in packages if not is_installed(package)]
        if not missing:
            return f"{' '.join(packages)} present" if packages else "nothing to install"
        require_root(f"to apt-get install {' '.join(missing)}")
        command = ("apt-get", "install", "-qq", "--no-install-recommends", *missing)
        try:
            run(*command, env=_QUIET_INSTALL)
        except StepError:  # most likely the package lists are old or missing
            run("apt-get", "update", "-qq")
            run(*command, env=_QUIET_INSTALL)
        return f"installed {' '.join(missing)}"


def is_installed(package: str) -> bool:
    return answer("dpkg-query", "-W", "-f", "${db:Status-Status}", package) == "installed"


def program(name: str) -> Path | None:
    """Return the path of a program. The system's folders are searched too, because a user's PATH may lack them."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")
    return Path(found) if found else None


def debian_mirror() -> str:
    """Return the address from which the machine gets Debian itself (not its security updates), as apt reads its sources."""
    wanted = {platform.freedesktop_os_release().get("VERSION_CODENAME", "stable"), "stable", "testing", "unstable"}
    form = ("--no-release-info", "--format", "$(RELEASE) $(REPO_URI)")  # this form works before the first update too
    listed = run("apt-get", "indextargets", *form, "Created-By: Packages")
    for release, _, address in (line.partition(" ") for line in listed.splitlines()):
        if release in wanted:
            return address.rstrip("/")
    raise StepError("apt's sources name no mirror of Debian's main archive")


def apt_settings() -> str:
    """Return the host's settings for reaching its mirror, as text of an apt.conf file."""
    lines = run("apt-config", "dump").splitlines()
    return "".join(f"{line}\n" for line in lines if _APT_SETTINGS.match(line))


def pip_settings() -> str:
    """Return the host's settings for reaching its package index, as text of a pip.conf file for an image."""
    keep = {"index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries"}
    listed = answer(sys.executable, "-m", "pip", "config", "list") or ""
    found: dict[str, str] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        if name in keep:
            found[name] = value.strip("'\"")
    if extra_certificates():
        found["cert"] = "/etc/ssl/certs/ca-certificates.crt"
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in sorted(found.items()))


def extra_certificates() -> dict[str, bytes]:
    """Return the CA certificates that were added to the machine, by file name."""
    return {path.name: path.read_bytes() for path in sorted(EXTRA_CERTIFICATES.rglob("*.crt"))}
