"""The steps of `up`: which steps there are, what each needs, and what it passes on to the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from tests.real import base_image, compose, engine, haproxy, machine
from tests.real.environment import EnvFile
from tests.real.images import BASE_TAG, IMAGES, Image, ImageStore, docker_environment
from tests.real.places import Places
from tests.real.steps import Step, StepError
from tests.real.suites import Suites

PARTS = {
    "haproxy26": ("haproxy 2.6",),
    "haproxy34": ("haproxy 3.4",),
    "engine": ("engine", "compose"),
    "load": ("load generator",),
    "podman": ("podman",),
    "images": tuple(f"image {image.name}" for image in IMAGES),
}
_PACKAGES = {
    "haproxy 2.6": ("haproxy",),
    "haproxy 3.4": ("patchelf",),
    "base tree": ("debootstrap",),
    "load generator": ("wrk",),
    "podman": ("podman", "runc", "catatonit"),
}
"""The programs that tests start, by the step that needs them; `taskset` and `mount` are on every Debian."""


class Up:
    """Everything that `up` can set up on this machine, for one checkout."""

    def __init__(self, places: Places, env_file: EnvFile) -> None:
        self._places = places
        self._env_file = env_file
        self._suites = Suites(places.apt)
        self._store: ImageStore | None = None

    def steps(self, parts: Sequence[str]) -> list[Step]:
        """Return the steps that provide these parts, and the steps that those need."""
        steps = {step.name: step for step in [*self._host_steps(), *self._engine_steps(), *self._image_steps()]}
        wanted: set[str] = set()
        to_add = [name for part in parts for name in PARTS[part]]
        while to_add:
            name = to_add.pop()
            if name not in wanted:
                wanted.add(name)
                to_add += steps[name].needs
        packages = [package for name, packages in _PACKAGES.items() if name in wanted for package in packages]
        steps["packages"] = Step("packages", lambda: machine.install(*packages))
        return [step for name, step in steps.items() if name in wanted]

    def _host_steps(self) -> list[Step]:
        return [
            Step("packages", str),  # set when it is known which packages are needed
            Step("haproxy 2.6", self._provide_haproxy_26, needs=("packages",)),
            Step("haproxy 3.4", self._provide_haproxy_34, needs=("packages",)),
            Step("base tree", self._provide_base_tree, needs=("packages",)),
            Step("load generator", lambda: "wrk", needs=("packages",)),
            Step("podman", lambda: "its service is started by the tests", needs=("packages",)),
        ]

    def _engine_steps(self) -> list[Step]:
        return [
            # After the other packages: apt-get runs one at a time, and debootstrap, the longest step, needs those.
            Step("engine packages", engine.install_packages, needs=("packages",)),
            Step("engine", self._provide_engine, needs=("engine packages",)),
            Step("compose", self._provide_compose, needs=("engine packages",)),
        ]

    def _image_steps(self) -> list[Step]:
        steps = [Step("image base", self._provide_base_image, needs=("base tree", "engine"))]
        upon_base = "image base"
        for image in IMAGES:
            needs = (f"image {image.parent}",) if image.parent else (upon_base,)
            steps.append(Step(f"image {image.name}", self._providing(image), needs))
            if not image.parent:
                # One after the other: mirrors were seen to stall for 40 s when two builds fetch the same lists at once.
                upon_base = f"image {image.name}"
        return steps

    def _provide_haproxy_26(self) -> str:
        binary, version = haproxy.provide_26()
        self._env_file.update(HAPROXY_26=str(binary))
        return f"HAProxy {version} at {binary}, starts and reloads"

    def _provide_haproxy_34(self) -> str:
        binary, version = haproxy.provide_34(self._places.haproxy_34, self._suites)
        self._env_file.update(HAPROXY_34=str(binary))
        return f"HAProxy {version} at {binary}, starts and reloads"

    def _provide_base_tree(self) -> str:
        found = engine.find(self._places)
        if found and self._image_store(found).has_base():
            return "not needed: the engine has the base image"
        tar = base_image.provide_tar(self._places.base_image, self._recipe)
        return f"{tar.name}, {tar.stat().st_size >> 20} MiB"

    def _provide_engine(self) -> str:
        found = engine.provide(self._places)
        self._env_file.update(DOCKER_HOST=found.host)
        self._store = self._image_store(found)
        return f"Docker {found.version} at {found.host}, {'private' if found.is_private else 'was already there'}"

    def _provide_compose(self) -> str:
        version = compose.provide(self._places.docker_config, self._suites)
        self._env_file.update(DOCKER_CONFIG=str(self._places.docker_config))
        return f"Compose {version}"

    def _provide_base_image(self) -> str:
        return self._images().provide_base(base_image.tar_path(self._places.base_image, self._recipe))

    def _providing(self, image: Image) -> Callable[[], str]:
        return lambda: self._images().provide(image)

    @cached_property
    def _recipe(self) -> base_image.Recipe:
        return base_image.Recipe.of_this_machine()

    def _image_store(self, found: engine.Engine) -> ImageStore:
        return ImageStore(docker_environment(found.host, self._places.docker_config), self._recipe.key)

    def _images(self) -> ImageStore:
        if self._store is None:
            raise StepError(f"{BASE_TAG}: no engine")
        return self._store
