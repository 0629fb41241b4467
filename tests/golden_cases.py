"""The cases of tests/golden: variables and labelled containers above a rule line, and the result beneath it.

The upper half is YAML: `show` names the sections of haproxy.cfg (by the beginning of their first line, or `everything`)
and the maps that the case is about; `pem:NAME` as a value stands for a certificate of that name. A container `NAME-1` with
`replicas` stands for as many of its kind. With PROXY_CLUSTER, `engine` is the host name of an engine over TLS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from proxy.core.haproxy.cluster_section import ClusterOffer, EngineServer
from proxy.core.haproxy.rendering import Renderer
from proxy.core.model.model import RoutingModel
from proxy.settings import Settings
from tests.builders import (
    make_container,
    make_model,
    make_pem,
    make_renderer,
    make_settings,
    one_line,
    read_certificates,
    with_labels,
)

FOLDER = Path(__file__).parent / "golden"
RULE = "=" * 80
STATE = Path("/var/lib/proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One file. `given` is its upper half, `expected` its lower half, both unchanged."""

    path: Path
    given: str
    expected: str

    @property
    def _parsed(self) -> dict[str, Any]:
        parsed: dict[str, Any] = yaml.safe_load(self.given)
        return parsed

    def settings(self, **more: str) -> Settings:
        """Return the settings made of the case's variables and `more`."""
        return make_settings(**_with_pems(self._parsed.get("variables", {})), **more)

    def model(self, settings: Settings) -> RoutingModel:
        """Return the model of the case's containers."""
        containers = [
            make_container(name, ports=tuple(given.get("ports", [80])), labels=with_labels(**_with_pems(given["labels"])))
            for name, given in _replicated(self._parsed["containers"])
        ]
        return make_model(*containers, settings=settings, certificates=read_certificates(settings))

    def renderer(self, settings: Settings, folder: Path) -> Renderer:
        """Return a renderer whose sockets, and files of a cluster, are in `folder`."""
        return make_renderer(settings, folder, offer=self._offer(settings, folder))

    def _offer(self, settings: Settings, folder: Path) -> ClusterOffer | None:
        """Return what the proxy offers to a cluster, with files in `folder`; `engine` names an engine over TLS."""
        if not settings.cluster.peers:
            return None
        engine = EngineServer(address="unix@/var/run/docker.sock")
        if host := self._parsed.get("engine"):
            engine = EngineServer(address=f"{host}:2376", host=host, ca=folder / "ca.pem", certificate=folder / "node.pem")
        return ClusterOffer(
            port=settings.cluster.port,
            certificate=folder / "node.pem",
            ca=folder / "ca.pem",
            state=folder / "state.map",
            engine=engine,
        )

    def shown(self) -> str:
        """Return the text that the lower half should have."""
        settings = self.settings()
        model = self.model(settings)
        renderer = self.renderer(settings, STATE)
        files = renderer.render(model).files
        config = renderer.render_config(model, show_secrets=False)
        parts = [part for name in self._parsed["show"] for part in _find(name, config)]
        parts += [f"# {name}\n{text}" for name, text in sorted(files.items()) if name.endswith(".map") and text]
        parts += [f"# problem: {problem}\n" for problem in model.problems]
        return "\n".join(part.strip("\n") + "\n" for part in parts)


def read_cases() -> list[Case]:
    """Return all cases, sorted by name."""
    cases = []
    for path in sorted(FOLDER.glob("*.txt")):
        given, _, expected = path.read_text().partition(f"{RULE}\n")
        cases.append(Case(path=path, given=given, expected=expected))
    return cases


def _replicated(containers: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, given in containers.items():
        for number in range(given.get("replicas", 0)):
            yield f"{name.removesuffix('-1')}-{number + 1}", given
        if "replicas" not in given:
            yield name, given


def _with_pems(values: dict[str, object]) -> dict[str, str]:
    texts = {name: str(value) for name, value in values.items()}
    return {
        name: one_line(make_pem(text.removeprefix("pem:"))) if text.startswith("pem:") else text
        for name, text in texts.items()
    }


def _find(name: str, config: str) -> list[str]:
    """Return the sections of `config` whose first line starts with `name`."""
    if name == "everything":
        return [config]
    return [section for section in re.split(r"\n\n(?=\S)", config) if section.startswith(name)]
