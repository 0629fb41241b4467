"""Images for tests and examples. They are built on the base image and have the public names that they stand in for.

An image carries a hash of its recipe as a label. The recipe is what the image is made of, and the recipe of its parent. It
is built again only when the hash changed. A tag whose image has no such label belongs to somebody else and is left alone.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.real.steps import answer, run
from tests.real.suites import EXPERIMENTAL_PIN

BASE_TAG = "proxy-test/base:latest"
_LABEL = "proxy-test.recipe"
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Image:
    """An image to build from a folder below `images/`, based on the image named `parent` (None: the base image)."""

    name: str
    tags: tuple[str, ...]
    parent: str | None = None

    def context(self) -> dict[str, bytes]:
        """Return the files of its build, by name."""
        files = {path.name: path.read_bytes() for path in sorted((_HERE / "images" / self.name).iterdir())}
        if self.name == "haproxy":
            files["haproxy.pref"] = EXPERIMENTAL_PIN.encode()
        if self.name == "backend":
            files["backend.py"] = (_HERE / "backend.py").read_bytes()
        return files


IMAGES = (
    Image("haproxy", ("haproxy:3.4",)),
    Image("servers", ("proxy-test/servers:latest",)),
    Image("nginx", ("nginx:latest", "nginx:alpine"), parent="servers"),
    Image("hello", ("nginxdemos/hello:plain-text",), parent="servers"),
    Image("redis", ("redis:alpine",), parent="servers"),
    Image("curl", ("curlimages/curl:latest",), parent="servers"),
    Image("rsyslog", ("rsyslog/rsyslog-minimal:latest",), parent="servers"),
    Image("backend", ("proxy-test/backend:latest",), parent="servers"),
)


class ImageStore:
    """The images of one engine, which is reached with the given environment of the docker client."""

    def __init__(self, docker_env: Mapping[str, str], base_key: str) -> None:
        # The classic builder needs no plugin, and it finds local images whatever builder is configured.
        self._env = {**docker_env, "DOCKER_BUILDKIT": "0"}
        self._base_key = base_key

    def has_base(self) -> bool:
        return self._recipe_of(BASE_TAG) == self._base_key

    def provide_base(self, tar: Path) -> str:
        if self.has_base():
            return f"{BASE_TAG} unchanged"
        labelled = ("--change", f"LABEL {_LABEL}={self._base_key}", "--change", 'CMD ["bash"]')
        run("docker", "import", *labelled, tar, BASE_TAG, env=self._env)
        return f"{BASE_TAG} imported"

    def provide(self, image: Image) -> str:
        """Build the image unless it exists. Return what was done."""
        recipe = self._wanted_recipe(image)
        present = {tag: self._recipe_of(tag) for tag in image.tags}
        foreign = [tag for tag in image.tags if present[tag] == ""]
        outdated = [tag for tag in image.tags if present[tag] not in ("", recipe)]
        if outdated:
            self._build(image, outdated, recipe)
        shown = [f"{tag} {'built' if tag in outdated else 'unchanged'}" for tag in image.tags if tag not in foreign]
        return ", ".join([*shown, *(f"{tag} left alone, it is not ours" for tag in foreign)])

    def _build(self, image: Image, tags: list[str], recipe: str) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, content in image.context().items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                entry.mode = 0o755 if content.startswith(b"#!") else 0o644
                tar.addfile(entry, io.BytesIO(content))
        named = [word for tag in tags for word in ("--tag", tag)]
        labelled = ("--label", f"{_LABEL}={recipe}")
        replaced = [answer("docker", "image", "inspect", "--format", "{{.Id}}", tag, env=self._env) for tag in tags]
        run("docker", "build", "--force-rm", *labelled, *named, "-", stdin=packed.getvalue(), env=self._env)
        for image_id in {image_id for image_id in replaced if image_id}:
            answer("docker", "image", "rm", image_id, env=self._env)  # refused while a container uses it

    def _recipe_of(self, tag: str) -> str | None:
        """Return the recipe of the image with this tag: "" if it has none, None if there is no such image."""
        form = f'{{{{index .Config.Labels "{_LABEL}"}}}}'
        return answer("docker", "image", "inspect", "--format", form, tag, env=self._env)

    def _wanted_recipe(self, image: Image) -> str:
        parent = next((other for other in IMAGES if other.name == image.parent), None)
        beneath = self._wanted_recipe(parent) if parent else self._base_key
        content = repr((beneath, sorted(image.context().items())))
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def docker_environment(host: str, docker_config: Path) -> dict[str, str]:
    """Return the environment that a docker client needs to reach the engine."""
    inherited = {key: os.environ[key] for key in ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH") if key in os.environ}
    return {**inherited, "DOCKER_HOST": host, "DOCKER_CONFIG": str(docker_config)}
