"""A small Debian in a tar file, set up to use the machine's mirrors and certificates: the base of all images, and `bare`.

The tar file is named after its recipe. So an engine that has lost its images gets the base back at once.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.real import host_network, machine
from tests.real.steps import StepError, require_root, run
from tests.real.suites import APT_SETTINGS, TESTING

_SOURCES = """\
Types: deb
URIs: {mirror}
Suites: {suite}
Components: main
Signed-By: {keyring}
"""
# A test container needs no manuals, and need not survive a crash during an installation.
_DPKG_SETTINGS = """\
force-unsafe-io
path-exclude /usr/share/doc/*
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
"""
# As in the public Debian images, apt-get's downloads and caches do not stay in the layer.
_APT_SETTINGS = """\
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb || true"; };
"""
_SCRIPTS = Path("/usr/share/debootstrap/scripts")
_EMPTIED = ("dev", "proc", "sys", "run", "tmp", "var/cache/apt", "var/lib/apt/lists", "var/log")
_DROPPED = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale"),
    *("etc/apt/sources.list", "etc/resolv.conf", "etc/hostname"),
)


@dataclass(frozen=True)
class Recipe:
    """Everything that such a Debian is made of. Equal recipes give equal files, except for the versions of packages."""

    mirror: str
    suite: str
    packages: tuple[str, ...]
    files: Mapping[str, bytes]

    @classmethod
    def of_this_machine(cls, suite: str = TESTING, packages: tuple[str, ...] = ()) -> Recipe:
        """Return the recipe with this machine's settings: the smallest system of the suite, with these packages."""
        mirror = machine.debian_mirror()
        sources = _SOURCES.format(mirror=mirror, suite=suite, keyring=machine.KEYRING)
        apt_settings = "".join(f'{key} "{value}";\n' for key, value in APT_SETTINGS.items())
        files = {
            "etc/apt/sources.list.d/debian.sources": sources.encode(),
            "etc/apt/apt.conf.d/90machine": (machine.apt_settings() + apt_settings + _APT_SETTINGS).encode(),
            "etc/dpkg/dpkg.cfg.d/90test": _DPKG_SETTINGS.encode(),
            "etc/pip.conf": machine.pip_settings().encode(),
        }
        certificates = machine.extra_certificates()
        files |= {f"usr/local/share/ca-certificates/{name}": content for name, content in certificates.items()}
        return cls(mirror, suite, ("ca-certificates", *packages), files)

    @property
    def key(self) -> str:
        return hashlib.sha256(Path(__file__).read_bytes() + repr(self).encode()).hexdigest()[:16]


def tar_path(folder: Path, recipe: Recipe) -> Path:
    return folder / f"{recipe.key}.tar"


def provide_tar(folder: Path, recipe: Recipe) -> Path:
    """Return a tar file in the folder with all files of that Debian. debootstrap makes it unless it exists."""
    tar = tar_path(folder, recipe)
    if tar.exists():
        return tar
    require_root("to make a Debian with debootstrap")
    shutil.rmtree(folder, ignore_errors=True)  # the tar of an older recipe
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        root = Path(scratch) / "root"
        _bootstrap(root, recipe)
        _settle(root, recipe)
        unfinished = tar.with_suffix(".new")
        run("tar", "--directory", root, "--create", "--file", unfinished, "--numeric-owner", ".")
        unfinished.replace(tar)
    return tar


def _bootstrap(root: Path, recipe: Recipe) -> None:
    script = _SCRIPTS / recipe.suite
    if not script.exists():
        script = _SCRIPTS / "sid"  # fits any newer suite
    command = ("debootstrap", "--variant=minbase", f"--include={','.join(recipe.packages)}", f"--keyring={machine.KEYRING}")
    try:
        run(*command, recipe.suite, root, recipe.mirror, script)
    except StepError as error:
        log = root / "debootstrap/debootstrap.log"
        shown = f"\n    {log.read_text(errors='replace')[-2000:]}" if log.exists() else ""
        raise StepError(f"{error}{shown}") from error
    finally:
        host_network.remove_mounts(root)


def _settle(root: Path, recipe: Recipe) -> None:
    """Write the recipe's files, use its certificates, and remove what a container does not need."""
    for name, content in recipe.files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    run("chroot", root, "update-ca-certificates")
    for name in _EMPTIED:
        for path in (root / name).iterdir():
            _remove(path)
    for name in _DROPPED:
        _remove(root / name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
