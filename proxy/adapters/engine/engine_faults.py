"""What a user needs to know of an error of the engine: where, why, and what to do.

In: the engine's address, and the error. Out: a sentence or two.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import requests
import urllib3

TIMEOUT_SECONDS = 10
"""How long the engine may take for an answer. Only the stream of events may be silent for longer."""

_ENDPOINTS = "GET of /version, /containers/json, /containers/{id}/json and /events"


def explain(address: str, error: BaseException) -> str:
    """Return what a user needs to know of an error of the engine at `address`: where, why, and what to do."""
    where = f"cannot read containers from the engine at {address}"
    cause = root_cause(error)
    status = cause.response.status_code if isinstance(cause, requests.HTTPError) and cause.response is not None else 0
    if status in (401, 403):
        return f"{where}: it refuses access ({status}). A proxy in front of the engine must allow {_ENDPOINTS}"
    if isinstance(cause, PermissionError):
        return f"{where}: permission denied. {_explain_permission(address)}"
    if isinstance(cause, FileNotFoundError) and address.startswith("unix://"):
        path = address.removeprefix("unix://")
        return f"{where}: there is no such socket. Mount it (-v {path}:{path}) or set DOCKER_HOST"
    if isinstance(cause, ConnectionRefusedError):
        advice = explain_old_socket(address, Path("/proc/self/mountinfo").read_text())
        return f"{where}: nothing listens there. Start the engine, or correct DOCKER_HOST{advice}"
    if isinstance(cause, TimeoutError | requests.Timeout | urllib3.exceptions.TimeoutError):
        return f"{where}: no answer within {TIMEOUT_SECONDS} seconds. Check whether the engine is overloaded or unreachable"
    if isinstance(cause, OSError) and cause.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return f"{where}: no route to it. Check the network and DOCKER_HOST"
    return f"{where}: {cause}. Check DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH"


def explain_old_socket(address: str, mountinfo: str) -> str:
    """Return what to do if the engine was started again: a socket that is mounted as a file is the one that it deleted.

    `mountinfo` lists the mounts of this process, in the format of proc(5). The text is empty unless the socket is a mount.
    """
    path = address.removeprefix("unix://")
    mounted = {fields[4] for fields in map(str.split, mountinfo.splitlines()) if len(fields) > 4}
    if path == address or os.path.realpath(path) not in mounted:
        return ""
    return (
        f". If the engine was started again: {path} is mounted as a file and is still the old socket. Restart this "
        "container. To avoid that, mount the folder: "
        "-v /var/run:/host/run:ro -e DOCKER_HOST=unix:///host/run/docker.sock"
    )


def _explain_permission(address: str) -> str:
    groups = ",".join(str(group) for group in sorted({os.getgid(), *os.getgroups()}))
    here = f"The proxy runs as uid {os.getuid()} with groups {groups}"
    try:
        socket_status = os.stat(address.removeprefix("unix://"))
    except OSError:
        return f"{here} and cannot see the socket; allow that, or run the proxy as the socket's owner"
    mode = stat.S_IMODE(socket_status.st_mode)
    owner = f"the socket belongs to uid {socket_status.st_uid}, group {socket_status.st_gid} (mode {mode:04o})"
    if not mode & stat.S_IWGRP:
        return (
            f"{here}; {owner}, so no group can use it. Allow it on the host (chmod g+rw), and start the proxy with "
            f"--group-add {socket_status.st_gid}; or start it with --user {socket_status.st_uid}"
        )
    return f"{here}; {owner}. Start it with --group-add {socket_status.st_gid}"


def root_cause(error: BaseException) -> BaseException:
    """Return the error of the socket, or the engine's own answer, that `error` wraps; else `error` itself.

    urllib3, requests and docker-py hand it on as cause, as context, or as an argument.
    """
    seen: BaseException | None = error
    while seen is not None:
        is_answer = isinstance(seen, requests.HTTPError)
        if is_answer or (isinstance(seen, OSError) and not isinstance(seen, requests.RequestException)):
            return seen
        wrapped = [argument for argument in seen.args if isinstance(argument, BaseException)]
        seen = seen.__cause__ or seen.__context__ or (wrapped[0] if wrapped else None)
    return error
