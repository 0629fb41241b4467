"""Both HAProxy versions on the host: 2.6 as a package, 3.4 as a folder with all the libraries it needs.

3.4 is built for a newer C library than the host's. So its binary itself names its loader and finds its libraries in the
folder. With a wrapper, a master that executes itself again would not find them.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.real import machine
from tests.real.steps import StepError, answer, last_lines, run
from tests.real.suites import Suites

_CONFIG = """\
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend verify
    bind unix@{folder}/frontend.sock
"""
_PATIENCE_SECONDS = 20


def provide_26() -> tuple[Path, str]:
    """Install Debian 12's own HAProxy on the host. Return its path and version."""
    binary = machine.program("haproxy")
    if binary is None:
        raise StepError("the package haproxy has no program haproxy")
    return binary, _verified_version(binary, "2.6.")


def provide_34(folder: Path, suites: Suites) -> tuple[Path, str]:
    """Make a folder with an HAProxy 3.4 that runs on the host. Return the binary's path and version."""
    binary = folder / "sbin/haproxy"
    built_for = folder / "built-for"
    # The binary contains the absolute path of its loader, so it must be built again if its folder was moved.
    if not (built_for.exists() and built_for.read_text() == str(folder)):
        with suites.unpacked("haproxy") as unpacked:
            assembled = unpacked / "haproxy-3.4"
            _assemble(unpacked, assembled, destination=folder)
            shutil.rmtree(folder, ignore_errors=True)
            assembled.rename(folder)
    return binary, _verified_version(binary, "3.4.")


def _assemble(unpacked: Path, folder: Path, *, destination: Path) -> None:
    """Copy the binary and all libraries that it needs into the folder, and make it use these at its destination."""
    binary = folder / "sbin/haproxy"
    libraries = folder / "lib"
    binary.parent.mkdir(parents=True)
    libraries.mkdir()
    shutil.copy2(unpacked / "usr/sbin/haproxy", binary)
    loader = Path(run("patchelf", "--print-interpreter", binary).strip()).name
    to_copy = [loader, "libgcc_s.so.1", *_needed(binary)]  # libgcc_s is opened by name when a thread ends
    while to_copy:
        name = to_copy.pop()
        if not (libraries / name).exists():
            shutil.copy2(_find_library(unpacked, name), libraries / name)
            to_copy += _needed(libraries / name)
    # --force-rpath is needed because a plain runpath does not apply to the libraries that libraries need.
    run("patchelf", "--force-rpath", "--set-rpath", "$ORIGIN/../lib", binary)
    run("patchelf", "--set-interpreter", destination / "lib" / loader, binary)
    (folder / "built-for").write_text(str(destination))


def _needed(elf_file: Path) -> list[str]:
    return run("patchelf", "--print-needed", elf_file).split()


def _find_library(unpacked: Path, name: str) -> Path:
    found = next(unpacked.glob(f"usr/lib/*/{name}"), None) or next(unpacked.glob(f"usr/lib*/{name}"), None)
    if found is None:
        raise StepError(f"no package that haproxy depends on holds {name}")
    return found


def _verified_version(binary: Path, wanted: str) -> str:
    """Start an HAProxy in master-worker mode and reload it. Return its version."""
    version = (answer(binary, "-v") or "").partition("version ")[2].partition(" ")[0]
    if not version.startswith(wanted):
        raise StepError(f"{binary} is HAProxy {version or 'that does not start'}, not {wanted}x")
    with tempfile.TemporaryDirectory() as folder:  # in /tmp, because a socket's path must be short
        _verify_reload(binary, Path(folder))
    return version


def _verify_reload(binary: Path, folder: Path) -> None:
    (folder / "haproxy.cfg").write_text(_CONFIG.format(folder=folder))
    master = folder / "master.sock"
    command = [str(binary), "-W", "-S", str(master), "-f", str(folder / "haproxy.cfg")]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        first = _wait_for_other_worker(master, "")
        _wait_until_reload_is_taken(master)
        _wait_for_other_worker(master, first)
    except TimeoutError as error:
        shown = last_lines((folder / "output").read_text(errors="replace"))
        raise StepError(f"{binary} does not {error}\n{shown}") from error
    finally:
        process.terminate()
        process.wait()


def _wait_for_other_worker(master: Path, previous: str) -> str:
    """Wait until the newest worker is another process than the previous one. Return its process id."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        workers = [line.split() for line in _ask_master(master, "show proc").splitlines() if " worker " in line]
        if workers and workers[0][0] != previous:
            return workers[0][0]
        time.sleep(0.02)
    raise TimeoutError("reload" if previous else "start with -W")


def _wait_until_reload_is_taken(master: Path) -> None:
    """Ask for a reload. 3.4 refuses one while its first worker is still starting ("another reload in progress")."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while "Success=0" in _ask_master(master, "reload"):
        if time.monotonic() > deadline:
            raise TimeoutError("take a reload")
        time.sleep(0.02)


def _ask_master(master: Path, command: str) -> str:
    """Send one command to the master. The answer is empty while it starts or executes itself again."""
    received = b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE_SECONDS)
            connection.connect(str(master))
            connection.sendall(f"{command}\n".encode())
            connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(65536):
                received += data
    except OSError:
        return ""
    return received.decode()
