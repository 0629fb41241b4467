"""From root to an ordinary user that can read the engine's socket and bind low ports, and nothing else.

The image starts as root so that a plain `docker run -v /var/run/docker.sock:/var/run/docker.sock` works whatever group
owns the socket. `setpriv` (util-linux) does the dropping: it keeps one capability in the ambient set, which Python cannot.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Sequence
from pathlib import Path

from proxy.errors import SettingsError

LOW_PORTS = "net_bind_service"


def drop_root(user: str, group: str, *, socket: Path | None, state_folder: Path, argv: Sequence[str]) -> None:
    """Replace this process by `argv`, run as `user`; do nothing when it is not root already.

    The state folder becomes the user's. Raises SettingsError when `user` or `group` does not exist.
    """
    if os.geteuid() != 0:
        return
    uid, gid = _look_up(user, group)
    for folder in (state_folder, *(path for path in state_folder.rglob("*") if not path.is_symlink())):
        os.chown(folder, uid, gid)
    groups = sorted({gid} | ({socket.stat().st_gid} if socket and socket.exists() else set()))
    os.execv(
        shutil.which("setpriv") or "/usr/bin/setpriv",
        [
            "setpriv",
            f"--reuid={uid}",
            f"--regid={gid}",
            f"--groups={','.join(map(str, groups))}",
            *capability_options(),
            "--no-new-privs",
            "--",
            *argv,
        ],
    )


def capability_options() -> list[str]:
    """What `setpriv` is to keep: binding low ports, where this process has that at all (`--cap-drop ALL` takes it away)."""
    status = Path("/proc/self/status").read_text()
    bounding = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")), 16)
    if not bounding & (1 << 10):  # CAP_NET_BIND_SERVICE, capabilities(7)
        return []
    keep = f"-all,+{LOW_PORTS}"
    return [f"--inh-caps={keep}", f"--ambient-caps={keep}", f"--bounding-set={keep}"]


def _look_up(user: str, group: str) -> tuple[int, int]:
    try:
        return pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise SettingsError([f"HAPROXY_USER, HAPROXY_GROUP: {error.args[0]}"]) from None
