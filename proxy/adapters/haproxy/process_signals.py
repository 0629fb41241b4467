"""The signals between the supervisor and the controller, which are separate processes."""

from __future__ import annotations

import signal

HAPROXY_STARTED = signal.SIGRTMIN
"""From supervisor to controller: an HAProxy was started or taken over, so its state must be compared with the model."""

SUPERVISOR_VARIABLE = "SUPERVISOR_PID"
"""The environment variable in which a supervisor gives its controller its process number."""

HAPROXY_UNREACHABLE = signal.SIGUSR2
"""From controller to supervisor: HAProxy runs, but its sockets are gone. Another HAProxy must take over from it."""

SYNCHRONISED = signal.SIGRTMIN + 1
"""From controller to supervisor: HAProxy has told the controller what it has, so both have started well."""
