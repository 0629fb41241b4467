"""An HAProxy that an earlier supervisor, which was killed, left running. It is not a child of this process."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading

from proxy.adapters.haproxy.master_identity import MasterIdentity, read_identity
from proxy.supervision.process_keeper import EXIT_UNKNOWN


class AdoptedHaproxy:
    """A master, watched and signalled through a pidfd: its number cannot lead to another program.

    Where the kernel has no pidfd, the start time is compared before each signal.
    """

    def __init__(self, identity: MasterIdentity, pidfd: int | None) -> None:
        self.pid = identity.pid
        self._identity = identity
        self._pidfd = pidfd
        if pidfd is not None:
            threading.Thread(target=self._announce_end, name="adopted HAProxy", daemon=True).start()

    @classmethod
    def adopt(cls, identity: MasterIdentity) -> AdoptedHaproxy | None:
        """Return the process to watch; None when it has ended meanwhile."""
        try:
            pidfd: int | None = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            return None
        except OSError:
            pidfd = None
        # Only now is it certain that the pidfd leads to this very process.
        if read_identity(identity.pid) == identity:
            return cls(identity, pidfd)
        if pidfd is not None:
            os.close(pidfd)
        return None

    @property
    def announces_end(self) -> bool:
        """Whether a SIGCHLD comes when the process ends."""
        return self._pidfd is not None

    def poll(self) -> int | None:
        """Return None while the process runs. How it ended is not known, since it is not our child."""
        if self._pidfd is None:
            has_ended = read_identity(self.pid) != self._identity
        else:
            has_ended = bool(_make_poll(self._pidfd).poll(0))
        return EXIT_UNKNOWN if has_ended else None

    def send_signal(self, sig: int) -> None:
        """Send a signal unless the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, sig)
            elif self.poll() is None:
                os.kill(self.pid, sig)

    def _announce_end(self) -> None:
        """Send the SIGCHLD that the kernel would send for a child, so that nothing has to be polled."""
        if self._pidfd is not None:
            _make_poll(self._pidfd).poll()
            os.kill(os.getpid(), signal.SIGCHLD)


def _make_poll(pidfd: int) -> select.poll:
    """A pidfd is readable once its process has ended (pidfd_open(2))."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return poll
