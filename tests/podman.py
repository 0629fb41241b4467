"""Debian's Podman with its API socket, for tests. It keeps everything in one folder, except for its network bridge."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import docker

from tests.eventually import eventually

_SETTINGS = """
[containers]
# Podman's own limits are higher than a machine of CI may allow.
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
pids_limit = 0
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
tmp_dir = "{folder}/tmp"
[network]
network_config_dir = "{folder}/networks"
"""
_STORAGE = """
[storage]
driver = "vfs"
graphroot = "{folder}/root"
runroot = "{folder}/run"
"""


class Podman:
    """The service at `host`, and `image`, an image that only waits for SIGTERM and exposes port 80."""

    def __init__(self, folder: Path) -> None:
        self.host = f"unix://{folder}/podman.sock"
        self._environment = {**os.environ, **_write_settings(folder)}
        self._log = folder / "service.log"
        self.image = ""

    def start(self) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            command = ["podman", "system", "service", "--time=0", self.host]
            service = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        eventually(lambda: self._is_up(service))
        self.image = self.run("import", "--change", "EXPOSE 80", "--change", 'ENTRYPOINT ["/catatonit", "-P"]', "-")
        return service

    def run(self, *arguments: str) -> str:
        """Run a command of Podman and return what it prints; an import reads the image of one program."""
        done = subprocess.run(
            ["podman", *arguments], env=self._environment, input=_one_program(), capture_output=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def _is_up(self, service: subprocess.Popen[bytes]) -> bool:
        assert service.poll() is None, self._log.read_text()
        return Path(self.host.removeprefix("unix://")).exists()


@contextmanager
def running_podman(folder: Path) -> Iterator[Podman]:
    """Run a Podman that keeps everything in `folder`, a short path, until the block ends."""
    podman = Podman(folder)
    service = podman.start()
    try:
        yield podman
    finally:
        try:
            podman.run("rm", "--all", "--force", "--time", "0")
        finally:
            service.terminate()
            service.wait(20)


@contextmanager
def podman_client(podman: Podman) -> Iterator[docker.DockerClient]:
    """Yield a client of docker-py for it, as users have."""
    client = docker.DockerClient(podman.host)
    try:
        yield client
    finally:
        client.close()


def _write_settings(folder: Path) -> Mapping[str, str]:
    settings, storage = folder / "containers.conf", folder / "storage.conf"
    settings.write_text(_SETTINGS.format(folder=folder))
    storage.write_text(_STORAGE.format(folder=folder))
    (folder / "networks").mkdir()
    return {"CONTAINERS_CONF": str(settings), "CONTAINERS_STORAGE_CONF": str(storage)}


def _one_program() -> bytes:
    """Return a file system with one static program, which needs nothing else."""
    program = shutil.which("catatonit")
    assert program, "catatonit is not installed: run `python3 -m tests.real up` first"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(program, "catatonit")
    return archive.getvalue()
