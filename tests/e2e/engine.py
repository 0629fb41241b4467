"""The docker command line for tests. All names of a test run start with the same prefix.

Names are unique to the run, so that everything it leaves behind can be found and removed by name.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
COMMAND_SECONDS = 180.0
DEFAULT_SOCKET = "/var/run/docker.sock"


class CommandError(AssertionError):
    """A command of a test did not exit with 0. It is an AssertionError, so that `eventually` tries again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of a command: `output` is standard output, `errors` standard error."""

    code: int
    output: str
    errors: str


def run(*command: str, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Result:
    """Run a command to its end. `environment` is added to the variables of this process."""
    completed = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=COMMAND_SECONDS,
        check=False,
    )
    return Result(code=completed.returncode, output=completed.stdout, errors=completed.stderr)


def docker(*arguments: str, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> str:
    """Run `docker ARGUMENTS` and return its output without the last line break. Raises CommandError when it fails."""
    result = run("docker", *arguments, environment=environment, folder=folder)
    if result.code:
        text = f"docker {' '.join(arguments)[:300]}: exit code {result.code}\n{result.errors[-3000:]}"
        raise CommandError(text)
    return result.output.rstrip("\n")


@contextmanager
def using_real_engine() -> Iterator[None]:
    """Make docker use the engine that `python3 -m tests.real up` has set up, unless the environment names one."""
    env_file = ROOT / ".cache" / "real.env"
    told = dict(word.partition("=")[::2] for word in shlex.split(env_file.read_text())) if env_file.exists() else {}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DOCKER_HOST", "DOCKER_CONFIG"):
            if name in told and name not in os.environ:
                patch.setenv(name, told[name])
        if run("docker", "version").code:
            pytest.fail("no Docker engine answers: run `python3 -m tests.real up` first", pytrace=False)
        yield


def build_proxy_image() -> None:
    """Build the image `proxy` as a user does. If nothing has changed, the engine's cache makes this fast."""
    docker("build", "--tag", "proxy", str(ROOT), environment={"DOCKER_BUILDKIT": "0"})


def engine_socket() -> str:
    """Return the path of the socket of the engine in use, which is mounted into containers."""
    host = os.environ.get("DOCKER_HOST") or f"unix://{DEFAULT_SOCKET}"
    if not host.startswith("unix://"):
        raise CommandError(f"DOCKER_HOST is {host}, but these tests mount the engine's socket: use one with unix://")
    return host.removeprefix("unix://")


def mount_socket() -> tuple[str, str]:
    """Return the options of `docker run` that give a container the engine's socket."""
    return "-v", f"{engine_socket()}:{DEFAULT_SOCKET}:ro"


def in_project(project: str, service: str) -> tuple[str, ...]:
    """Return the options of `docker run` that put a container into a Compose project.

    A proxy in a project routes only that project, so other containers of the same engine do not matter.
    """
    labels = (f"com.docker.compose.project={project}", f"com.docker.compose.service={service}")
    return tuple(word for label in labels for word in ("--label", label))


def gateway() -> str:
    """Return this machine's address on the engine's default bridge."""
    return docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")


def container_names(prefix: str, *filters: str) -> list[str]:
    """Return the sorted names of all containers whose name begins with `prefix`, including those that do not run."""
    options = [word for text in (f"name=^{prefix}", *filters) for word in ("--filter", text)]
    return sorted(docker("ps", "--all", "--format", "{{.Names}}", *options).split())


def remove_containers(prefix: str) -> None:
    """Remove all containers whose name begins with `prefix`, running or not, with their volumes."""
    if names := container_names(prefix):
        run("docker", "rm", "--force", "--volumes", *names)


@dataclass(frozen=True, slots=True)
class Container:
    """One container, identified by its name."""

    name: str

    def exec(self, *command: str) -> Result:
        """Run a command in the container and return its result."""
        return run("docker", "exec", self.name, *command)

    def call(self, *command: str) -> str:
        """Run a command in the container and return its output. Raises CommandError when it fails."""
        return docker("exec", self.name, *command)

    def logs(self) -> str:
        """Return everything that the container has printed."""
        result = run("docker", "logs", self.name)
        return result.output + result.errors

    def inspect(self, template: str) -> str:
        """Return the result of a Go template for `docker inspect`."""
        return docker("inspect", "--format", template, self.name)

    def stop(self, seconds: int = 10) -> None:
        """Stop the container as `docker stop` does. After these seconds the engine kills it."""
        docker("stop", "--time", str(seconds), self.name)

    def restart(self) -> None:
        """Stop the container and start it again, with the same files."""
        docker("restart", self.name)

    def processes(self) -> dict[int, tuple[int, str]]:
        """Return the effective user and the command line of each process, by process id inside the container."""
        script = r'for p in /proc/[0-9]*; do echo "${p#/proc/} $(sed -n "s/^Uid:\t[0-9]*\t\([0-9]*\).*/\1/p" $p/status)'
        script += r' $(tr "\0" " " < $p/cmdline)"; done 2> /dev/null'
        found = (line.split(" ", 2) for line in self.exec("sh", "-c", script).output.splitlines())
        return {int(words[0]): (int(words[1]), words[2]) for words in found if len(words) == 3 and words[1]}
