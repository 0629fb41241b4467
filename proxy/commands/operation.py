"""Commands that talk to the running proxy: `reload` and `health`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping

from proxy.adapters.files.status_file import read_status
from proxy.adapters.haproxy.runtime_socket import MasterSocket
from proxy.adapters.haproxy.state_layout import StateLayout
from proxy.commands.exit_codes import NO_ANSWER, OK, PROBLEMS
from proxy.errors import RuntimeApiError
from proxy.printable import printable
from proxy.settings import Settings

RELOAD_WAIT_SECONDS = 90.0
"""A reload may take up to a minute (`RELOAD_TIMEOUT_SECONDS` in `haproxy_process`); before it, everything is read again."""
POLL_SECONDS = 0.05


def reload(options: argparse.Namespace, settings: Settings, environment: Mapping[str, str]) -> int:
    """Make the controller read everything again and reload HAProxy; return when the new worker serves."""
    del options, environment
    folder = settings.runtime.state_folder
    before = read_status(folder)
    if before is None:
        return _fail(f"no controller has written a status to {folder}; is `proxy run` running?")
    try:
        os.kill(before.pid, signal.SIGUSR1)
    except ProcessLookupError:
        return _fail(f"the controller, process {before.pid}, is not running")
    deadline = time.monotonic() + RELOAD_WAIT_SECONDS
    while time.monotonic() < deadline:
        status = read_status(folder)
        if status and status.pid != before.pid:  # a new controller has read everything again
            return _tell(status.sentence, is_success=status.is_success)
        if status and status.forced > before.forced:
            return _tell(status.forced_sentence, is_success=status.is_forced_success)
        time.sleep(POLL_SECONDS)
    return _fail(f"no answer from the controller within {RELOAD_WAIT_SECONDS:g} s; see its log")


def health(options: argparse.Namespace, settings: Settings, environment: Mapping[str, str]) -> int:
    """Say whether HAProxy runs and whether its configuration is up to date.

    If the engine is unreachable, the proxy stays healthy and keeps serving the routes it has.
    """
    del options, environment
    layout = StateLayout(folder=settings.runtime.state_folder)
    try:
        MasterSocket(layout.master_socket).send("show proc")
    except RuntimeApiError as error:
        return _fail(f"HAProxy does not answer: {error}")
    status = read_status(layout.folder)
    print(f"HAProxy runs; last pass: {printable(status.sentence) if status else 'none yet'}")
    return OK


def _tell(sentence: str, *, is_success: bool) -> int:
    print(printable(sentence))
    return OK if is_success else PROBLEMS


def _fail(message: str) -> int:
    print(f"proxy: {printable(message)}", file=sys.stderr)
    return NO_ANSWER
