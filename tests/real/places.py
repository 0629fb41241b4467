"""The paths of all real parts. They are all derived from the checkout."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

# A socket's path has at most 107 bytes. The longest one that dockerd appends to its exec root has 40.
_LONGEST_ENGINE_FOLDER = 65
_LONGEST_SWARM_FOLDER = 80


@dataclass(frozen=True)
class Places:
    """The folders and files of one checkout's real parts."""

    cache: Path

    @classmethod
    def of_this_checkout(cls) -> Places:
        return cls(Path(__file__).resolve().parents[2] / ".cache")

    @property
    def lock(self) -> Path:
        return self.cache / "real.lock"

    @property
    def env_file(self) -> Path:
        return self.cache / "real.env"

    @property
    def apt(self) -> Path:
        """Return the folder of apt's state for the suites that the host itself does not use."""
        return self.cache / "apt"

    @property
    def haproxy_34(self) -> Path:
        return self.cache / "haproxy-3.4"

    @property
    def docker_config(self) -> Path:
        return self.cache / "docker-config"

    @property
    def base_image(self) -> Path:
        return self.cache / "base-image"

    @property
    def bare(self) -> Path:
        return self.cache / "bare"

    @property
    def engine(self) -> Path:
        return self.cache / "engine"

    @property
    def engine_run(self) -> Path:
        """Return the folder of the engine's sockets. It is beside its data, unless that path is too long for a socket."""
        beside_data = self.engine / "run"
        if len(str(beside_data)) <= _LONGEST_ENGINE_FOLDER:
            return beside_data
        return Path(tempfile.gettempdir()) / f"engine-{self.key}"

    @property
    def swarm(self) -> Path:
        """Return the folder of the data of the Swarm's engines. It is in memory, and is removed with the Swarm."""
        return self.cache / "swarm"

    @property
    def swarm_sockets(self) -> Path:
        if len(str(self.swarm)) <= _LONGEST_SWARM_FOLDER:
            return self.swarm
        return Path(tempfile.gettempdir()) / f"swarm-{self.key}"

    @property
    def key(self) -> str:
        """Return a short name for this checkout. It names things outside the checkout, such as a network bridge."""
        return hashlib.sha256(str(self.cache).encode()).hexdigest()[:8]
