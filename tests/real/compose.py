"""A separate settings folder for the docker client, with the Compose plugin in it unless the machine has one."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.real.steps import StepError, answer
from tests.real.suites import Suites


def provide(docker_config: Path, suites: Suites) -> str:
    """Make `docker compose` work with DOCKER_CONFIG=docker_config. Return the version of Compose."""
    plugins = docker_config / "cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    version = _version(docker_config)
    if version is None:
        with suites.unpacked("docker-compose") as unpacked:
            plugin = next(unpacked.glob("usr/**/cli-plugins/docker-compose"), None)
            if plugin is None:
                raise StepError("the package docker-compose holds no plugin of that name")
            shutil.copy2(plugin, plugins / plugin.name)
        version = _version(docker_config)
    if version is None:
        raise StepError("`docker compose version` does not answer")
    return version


def _version(docker_config: Path) -> str | None:
    return answer("docker", "compose", "version", "--short", env={"DOCKER_CONFIG": str(docker_config)})
