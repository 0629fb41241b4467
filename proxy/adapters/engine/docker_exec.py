"""Runs a command inside a container through the engine: the probe `aliyun.probe.cmd`.

In: a container's id and a shell command. Out: whether the command ended with 0 in time. The engine cannot end a command
that it has started. So the shell first prints its process id. It leads a process group, which a second command ends.
"""

from __future__ import annotations

import contextlib
import logging

import docker
import requests
import urllib3
from docker.errors import APIError

from proxy.adapters.engine.docker_engine import DockerEngine
from proxy.adapters.engine.engine_faults import TIMEOUT_SECONDS
from proxy.errors import SourceError

logger = logging.getLogger(__name__)

_SCRIPT = 'echo $$; exec /bin/sh -c "$0" > /dev/null 2>&1'
"""What the command itself prints is dropped, since nobody reads it and it could fill the connection."""
_HEADER_LENGTH = 8
"""Each piece of a stream without a terminal begins with its channel and length (Engine API, `ContainerAttach`)."""
_LONGEST_PROCESS_ID = 12


class ContainerCommand:
    """One shell command in one container, run again and again by one thread, and never twice at a time."""

    def __init__(self, engine: DockerEngine, container_id: str, command: str, timeout_seconds: float) -> None:
        self._engine = engine
        self._container_id = container_id
        self._command = command
        self._timeout_seconds = timeout_seconds
        self._unfinished = ""

    def __call__(self) -> bool | None:
        """Run the command; return whether it ended with 0 in time, None when the container cannot run it now.

        A command that runs longer than its timeout is killed and counts as failed. If it still runs after that, each
        further call counts as failed, too. Raises SourceError when the engine cannot be asked.
        """
        with self._engine.question() as client:
            try:
                if self._unfinished and client.exec_inspect(self._unfinished)["Running"]:
                    return False
                self._unfinished = ""
                return self._run(client)
            except APIError as error:
                if error.response is not None and error.response.status_code in (404, 409):
                    return None  # the container is gone or paused, and an event says so
                if error.response is not None and error.response.status_code == 403:
                    raise SourceError(
                        f"the engine at {self._engine.address} refuses to run aliyun.probe.cmd (403); a proxy before it "
                        "must allow POST of /containers/{id}/exec and /exec/{id}/start"
                    ) from error
                raise

    def _run(self, client: docker.APIClient) -> bool:
        words = ["/bin/sh", "-c", _SCRIPT, self._command]
        exec_id: str = client.exec_create(self._container_id, words, stderr=False)["Id"]
        self._unfinished = exec_id
        response = self._start(client, exec_id)
        try:
            process_id = _read_process_id(response)
            is_over = process_id is not None and _ends(response)
        finally:
            response.close()
        if not is_over:
            self._kill(client, process_id)
            return False
        result = client.exec_inspect(exec_id)
        if not result["Running"]:
            self._unfinished = ""
        return bool(result["ExitCode"] == 0)

    def _start(self, client: docker.APIClient, exec_id: str) -> requests.Response:
        """Start it with the read timeout of the probe; docker-py's own call waits for ever."""
        response = client.post(
            f"{client.base_url}/v{client.api_version}/exec/{exec_id}/start",
            json={"Detach": False, "Tty": False},
            stream=True,
            timeout=(TIMEOUT_SECONDS, self._timeout_seconds),
        )
        response.raise_for_status()
        return response

    def _kill(self, client: docker.APIClient, process_id: str | None) -> None:
        if process_id is None:
            return
        logger.debug("the probe of container %s is ended after its timeout", self._container_id[:12])
        words = ["/bin/sh", "-c", f"kill -9 -{process_id}"]
        with contextlib.suppress(APIError):
            client.exec_start(client.exec_create(self._container_id, words)["Id"], detach=True)


def _read_process_id(response: requests.Response) -> str | None:
    """Return the first line of the stream; None when it does not come in time, or at all."""
    text = b""
    try:
        response.raw.read(_HEADER_LENGTH)
        while not text.endswith(b"\n") and len(text) < _LONGEST_PROCESS_ID:
            piece = response.raw.read(1)
            if not piece:
                return None
            text += piece
    except (urllib3.exceptions.ReadTimeoutError, requests.ConnectionError):
        return None
    return text.decode("ascii", errors="replace").strip() if text.strip().isdigit() else None


def _ends(response: requests.Response) -> bool:
    try:
        response.raw.read(1)
    except (urllib3.exceptions.ReadTimeoutError, requests.ConnectionError):
        return False
    return True
