"""What containers ask for, in typed values: the result of reading labels, whatever the grammar.

In: values that the grammars have parsed. Out: `ContainerSpec`, one for each service that a container takes part in.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from proxy.core.containers.containers import Container
from proxy.grammar.certificates import Certificate
from proxy.grammar.syntax import make_label
from proxy.grammar.virtual_host import VirtualHost


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpPort:
    """A port that is balanced in TCP mode. With `tls`, the proxy terminates TLS on it."""

    number: int
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSettings:
    """What a service's labels say about its backend; None or empty for settings that the labels do not mention.

    Lines are complete HAProxy lines. They are already safe, and written in HAProxy's current syntax.
    """

    balance: str | None = None
    cookie: str | None = None
    session_lines: tuple[str, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    default_certificates: tuple[Certificate, ...] = ()
    force_ssl: bool = False
    hsts_max_age: str | None = None
    compression_types: tuple[str, ...] = ()
    health_check: str | None = None
    http_check_lines: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    extra_route_settings: str | None = None
    extra_lines: tuple[str, ...] = ()
    exclude_basic_auth: bool = False
    is_backup: bool = False
    weight: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """What one container asks for. `ports` are the ports that get HTTP traffic, in numeric order.

    In simple routing each routed port is a service of its own, and `part` names the port. `redirected_domains` are the
    domains of its virtual hosts whose visitors are sent to https when the load balancer in front of the proxy reports that
    they came over http.
    """

    container: Container
    project: str
    service: str
    part: str = ""
    virtual_hosts: tuple[VirtualHost, ...] = ()
    virtual_host_text: str = ""
    weight: int = 0
    ports: tuple[int, ...] = ()
    tcp_ports: tuple[TcpPort, ...] = ()
    network: str = ""
    settings: BackendSettings = dataclasses.field(default_factory=BackendSettings)
    waiting_ports: frozenset[int] = frozenset()
    """Ports on which the container has not accepted a connection since it started (see `core/model/readiness.py`)."""
    is_last_resort: bool = False
    """Whether the ports that are waited for get traffic all the same (see `core/model/last_resort.py`)."""
    redirected_domains: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        """`project:service[:part]`, without the project if there is none. No two services share it."""
        return make_label(self.project, self.service, self.part)


PLAIN_SETTINGS = BackendSettings()
"""The settings of a service that sets nothing but its routes."""
