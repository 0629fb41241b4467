"""The signals between the supervisor and the controller, which run in processes of their own."""

from __future__ import annotations

import signal

HAPROXY_STARTED = signal.SIGRTMIN
"""Supervisor to controller: an HAProxy was started or taken over. What it has is to be compared with the model."""

SUPERVISOR_VARIABLE = "SUPERVISOR_PID"
"""The environment variable in which a supervisor tells its controller its process number."""

HAPROXY_UNREACHABLE = signal.SIGUSR2
"""Controller to supervisor: HAProxy runs, but its sockets are gone. Another one is to take over from it."""
