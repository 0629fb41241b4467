"""Change from root to an ordinary user that can read the engine's socket and bind low ports, and nothing else.

The image starts as root for two reasons. A plain `docker run -v /var/run/docker.sock:/var/run/docker.sock` works whatever
group owns the socket, and certificates that only root may read can be mounted. `setpriv` (util-linux) drops the privileges,
because it can keep one capability in the ambient set. Python cannot.
"""

from __future__ import annotations

import grp
import logging
import os
import pwd
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from proxy.adapters.files.own_files import COPIED
from proxy.errors import SettingsError
from proxy.settings import Settings

logger = logging.getLogger(__name__)

LOW_PORTS = "net_bind_service"


class Identity:
    """The user and groups that the proxy should run as. Raises SettingsError if the user or group does not exist."""

    def __init__(self, user: str, group: str, socket: Path | None) -> None:
        try:
            self.uid, self.gid = pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid
        except KeyError as error:
            raise SettingsError([f"HAPROXY_USER, HAPROXY_GROUP: {error.args[0]}"]) from None
        self.groups = sorted({self.gid} | ({socket.stat().st_gid} if socket and socket.exists() else set()))

    def may_read(self, path: Path) -> bool:
        """Return whether the file's mode lets this identity read it."""
        status = path.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o400)
        return bool(status.st_mode & (0o040 if status.st_gid in self.groups else 0o004))

    def own(self, folder: Path) -> None:
        """Make this identity the owner of a folder and of everything below it."""
        for path in (folder, *(path for path in folder.rglob("*") if not path.is_symlink())):
            os.chown(path, self.uid, self.gid)

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command that runs `argv` as this identity."""
        groups = ",".join(map(str, self.groups))
        identity = [f"--reuid={self.uid}", f"--regid={self.gid}", f"--groups={groups}"]
        return ["setpriv", *identity, *capability_options(), "--no-new-privs", "--", *argv]


def drop_root(identity: Identity, settings: Settings, argv: Sequence[str], environment: Mapping[str, str]) -> None:
    """Replace this root process with `argv`, run as `identity`. The state folder then belongs to that identity."""
    state_folder = settings.runtime.state_folder
    variables = copy_unreadable(identity, settings, state_folder)
    identity.own(state_folder)
    os.execve(shutil.which("setpriv") or "/usr/bin/setpriv", identity.command(argv), {**environment, **variables})


def copy_unreadable(identity: Identity, settings: Settings, state_folder: Path) -> Mapping[str, str]:
    """Copy mounted certificates and keys that only root may read, and return the variables that point to the copies.

    A folder is copied as a whole or not at all, so that the proxy reads from one place.
    """
    variables: dict[str, str] = {}
    tls, cluster = settings.tls, settings.cluster
    for name, path in (
        ("CERT_FOLDER", tls.certificate_folder),
        ("CA_CERT_FILE", tls.ca_file),
        ("PROXY_CLUSTER_KEY_FILE", cluster.key_file if cluster.peers else None),
    ):
        if path is None or not path.exists():
            continue
        files = [*_files_of(path)]
        folders = {folder for file in files for folder in file.parents if folder == path or path in folder.parents}
        if all(identity.may_read(file) for file in [*files, *folders]):
            continue
        target = state_folder / COPIED / name.lower()
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(mode=0o700, parents=True)
        for file in files:
            copy = target / (file.relative_to(path) if path.is_dir() else file.name)
            copy.parent.mkdir(mode=0o700, exist_ok=True)
            shutil.copyfile(file, copy)
            copy.chmod(0o600)
        variables[name] = str(target if path.is_dir() else target / path.name)
        logger.warning(
            "%s=%s: user %d cannot read all of it, so it is copied now, and a change takes effect only at the next start; "
            "run chmod o+r (or chown %d) on it so that changes take effect at once",
            name,
            path,
            identity.uid,
            identity.uid,
        )
    return variables


def _files_of(path: Path) -> Iterator[Path]:
    """Yield the file, or the files of a folder and of its subfolders (as certbot has them)."""
    if path.is_file():
        yield path
        return
    for entry in sorted(path.iterdir()):
        yield from [file for file in (sorted(entry.iterdir()) if entry.is_dir() else [entry]) if file.is_file()]


def capability_options() -> list[str]:
    """Return the `setpriv` options that keep the capability to bind low ports, unless `--cap-drop ALL` has removed it."""
    status = Path("/proc/self/status").read_text()
    bounding = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")), 16)
    if not bounding & (1 << 10):  # CAP_NET_BIND_SERVICE, capabilities(7)
        return []
    keep = f"-all,+{LOW_PORTS}"
    return [f"--inh-caps={keep}", f"--ambient-caps={keep}", f"--bounding-set={keep}"]
