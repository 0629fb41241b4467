"""The signals that the supervisor waits for, instead of having handlers: they are blocked and taken one by one."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterable

from proxy.adapters.haproxy.process_signals import HAPROXY_UNREACHABLE, SYNCHRONISED

STOPS = frozenset({signal.SIGTERM, signal.SIGINT})
"""End HAProxy and the controller."""
RELOADS = frozenset({signal.SIGHUP, signal.SIGUSR1})
"""The user asks for a reload, which the controller does."""
WATCHED: frozenset[int] = frozenset({signal.SIGCHLD, HAPROXY_UNREACHABLE, SYNCHRONISED}) | STOPS | RELOADS


def unblock_signals() -> None:
    """Unblock the signals in a child, which inherits them blocked and would not notice a SIGTERM."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)


def wait_for_signal(watched: Iterable[int], seconds: float) -> int | None:
    """Wait for one of the blocked signals; return None when none came in time."""
    if seconds == math.inf:
        return signal.sigwait(watched)
    received = signal.sigtimedwait(watched, max(seconds, 0.0))
    return received.si_signo if received else None
