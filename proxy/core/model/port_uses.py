"""What a port is used for: HTTP or TCP, with or without TLS. Who was first keeps the port.

In: what services want a port for, and since when. Out: its use. A port has one use at a time, because its first bytes are
either TLS or not. A service that wants another use of the port gets a problem, and the port stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from proxy.settings import Settings

HTTP_PORT = 80
HTTPS_PORT = 443


class PortUse(StrEnum):
    """The uses of a port. If two are wanted equally long, the first in this order is chosen."""

    HTTPS = "https"
    HTTP = "http"
    TCP_TLS = "TCP with TLS"
    TCP = "TCP"

    @property
    def is_tls(self) -> bool:
        """Whether the proxy terminates TLS."""
        return self in (PortUse.HTTPS, PortUse.TCP_TLS)

    @property
    def is_tcp(self) -> bool:
        """Whether the port is one of TCP_PORTS."""
        return self in (PortUse.TCP_TLS, PortUse.TCP)


def fixed_ports(settings: Settings, *, has_tls: bool) -> set[int]:
    """Return the ports for HTTP that are open whatever services want."""
    monitor = {settings.routing.monitor_port} if settings.routing.monitor_uri and settings.routing.monitor_port else set()
    return {HTTP_PORT} | monitor | ({HTTPS_PORT} if has_tls else set())


Wishes = Mapping[PortUse, Callable[[], int]]
"""The uses that somebody wants. The function returns since when: it is called only if there are several."""


def add_wish(wishes: dict[PortUse, Callable[[], int]], use: PortUse, since: Callable[[], int]) -> None:
    """Add that somebody else wants a use, too."""
    known = wishes.get(use)
    wishes[use] = (lambda: min(since(), known())) if known else since


def choose_use(port: int, wishes: Wishes, held: PortUse | None) -> PortUse | None:
    """Return the use of a port; None if nobody wants it.

    The use that the port has (`held`) stays as long as somebody wants it. Else whoever was first decides.
    """
    if len(wishes) < 2 or held in wishes:
        return held if held in wishes else next(iter(wishes), None)
    usual = PortUse.HTTP if port == HTTP_PORT else None
    order = sorted(PortUse, key=lambda use: use is not usual)
    return min(wishes, key=lambda use: (wishes[use](), order.index(use)))
