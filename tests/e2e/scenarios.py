"""The commands of examples/docker-run.md. Only names and host ports are changed, because they must be free here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.engine import CommandError, Container, in_project, mount_socket, run
from tests.ports import free_low_port

_SECTION = re.compile(r"^## (?P<title>.+?)\n.*?```sh\n(?P<commands>.*?)```", re.MULTILINE | re.DOTALL)


def read_scenarios(document: Path) -> Mapping[str, str]:
    """Return the commands of each section by its title."""
    return {match["title"]: match["commands"] for match in _SECTION.finditer(document.read_text())}


@dataclass(frozen=True, slots=True, kw_only=True)
class HaproxyState:
    """A running scenario: its proxy, and the port of this machine for each port that the scenario publishes."""

    proxy: Container
    ports: Mapping[int, int]
    names: Sequence[str]
    prefix: str

    @property
    def port(self) -> int:
        """Return the port of this machine for port 80 of the scenario."""
        return self.ports[80]

    def hostname(self, name: str) -> str:
        """Return the host name of one of the scenario's containers, which is also the text of its answers."""
        return Container(self.prefix + name).inspect("{{.Config.Hostname}}")


def run_scenario(commands: str, *, prefix: str, with_socket: bool, folder: Path) -> HaproxyState:
    """Run the commands in `folder`. `prefix` is put before the names of containers."""
    ports = {int(port): free_low_port() for port in re.findall(r" -p (\d+):", commands)}
    names = re.findall(r" --name (\S+)", commands)
    proxy = Container(f"{prefix}proxy")
    text = re.sub(r" --name (\S+)", rf" --name {prefix}\1", commands)
    text = re.sub(r" --link (\S+):", rf" --link {prefix}\1:", text)
    text = re.sub(r" -p (\d+):", lambda match: f" -p {ports[int(match[1])]}:", text)
    options = " ".join([*in_project(prefix, "proxy"), *(mount_socket() if with_socket else ())])
    text = re.sub(r" proxy$", f" --name {proxy.name} {options} proxy", text, flags=re.MULTILINE)
    result = run("sh", "-e", "-c", text, folder=folder)
    if result.code:
        raise CommandError(f"{text}\nexit code {result.code}\n{result.errors}")
    return HaproxyState(proxy=proxy, ports=ports, names=names, prefix=prefix)
