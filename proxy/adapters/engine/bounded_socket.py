"""A TLS connection on which no answer takes for ever, and none fills the memory.

The time limit of a socket counts for one read. Somebody who sends one byte a second would never meet it.
"""

from __future__ import annotations

import ssl
import time

ANSWER_SECONDS = 60.0
"""How long a whole answer may take: 30 MB, as of 10,000 containers, at 4 Mbit/s."""
LARGEST_ANSWER_BYTES = 64 << 20


class BoundedSocket(ssl.SSLSocket):
    """Each time that something is sent, the answer to it begins. What goes beyond the bounds raises OSError.

    A context makes connections of this kind where its `sslsocket_class` says so.
    """

    _ends_at: float | None = None
    _bytes_left = LARGEST_ANSWER_BYTES

    def bound(self, seconds: float | None, size_bytes: int) -> None:
        """Set what may still come: within so much time (None: whenever), so many bytes."""
        self._ends_at = None if seconds is None else time.monotonic() + seconds
        self._bytes_left = size_bytes

    def sendall(self, data, flags=0):  # type: ignore[no-untyped-def]
        """Send all of it (see socket)."""
        self.bound(ANSWER_SECONDS, LARGEST_ANSWER_BYTES)
        return super().sendall(data, flags)

    def recv_into(self, buffer, nbytes=None, flags=0):  # type: ignore[no-untyped-def]
        """Receive into a buffer, as `makefile` does (see socket)."""
        usual = self.gettimeout()
        if self._ends_at is not None:
            left = self._ends_at - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer takes too long")
            self.settimeout(left if usual is None else min(left, usual))
        try:
            received = super().recv_into(buffer, nbytes, flags)
        finally:
            self.settimeout(usual)
        self._bytes_left -= received
        if self._bytes_left < 0:
            raise ConnectionAbortedError("the answer is larger than any real one")
        return received
