"""The proxy's own settings, as frozen groups. This module has only types, so that every other module may import them.

`parser` makes them from environment variables, and `variables` lists those. Texts that go into HAProxy's configuration are
already safe lines or words, in HAProxy's current syntax.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from proxy.secret import Secret


class RoutingMode(StrEnum):
    """The labels that are read: `aliyun.proxy.*` (custom) or `aliyun.routing.*` (acsrouting)."""

    CUSTOM = "custom"
    SIMPLE = "acsrouting"


class ProxyMode(StrEnum):
    """HAProxy's mode of the frontends that virtual hosts use."""

    HTTP = "http"
    TCP = "tcp"
    HEALTH = "health"


class SourceKind(StrEnum):
    """The kinds of sources that report containers."""

    DOCKER = "docker"
    LINKS = "links"
    FILE = "file"


class ExtraSettings(StrEnum):
    """What labels may write in HAProxy's own language: nothing, what concerns only their own service, or anything."""

    FORBIDDEN = "false"
    OWN_SERVICE = "true"
    UNRESTRICTED = "unrestricted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The containers that may be routed: all, or those of the proxy's project and of the named (project, service) pairs."""

    everything: bool = False
    services: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicUser:
    """One user of HTTP basic authentication. `is_crypted` says that the password is a crypt(3) hash."""

    name: str
    password: Secret
    is_crypted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleSettings:
    """Settings that only simple routing uses. `domain` completes prefixes. `local_networks` may use `.local` names."""

    domain: str
    local_networks: tuple[str, ...]
    error_page: Path
    sticky_idle_seconds: int
    sticky_life_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingSettings:
    """Which containers are routed, and how services are set up unless their labels say otherwise.

    `monitor_port` is set if and only if `monitor_uri` is. Ports are those users name, before `port_offset`. Without a
    `health_check` servers have the default one, whose interval depends on how many there are; the empty one is no check.
    """

    routing_mode: RoutingMode
    mode: ProxyMode
    scope: Scope
    balance: str
    health_check: str | None
    extra_route_settings: str
    force_default_backend: bool
    skip_forwarded_proto: bool
    trusted_proxies: tuple[str, ...]
    """The networks whose headers about the visitor are believed."""
    accept_proxy_from: tuple[str, ...]
    """The networks whose connections must begin with the PROXY protocol."""
    extra_settings: ExtraSettings
    basic_users: tuple[BasicUser, ...]
    network: str
    linger_seconds: float
    extra_frontend_settings: Mapping[int, tuple[str, ...]]
    additional_backends: Mapping[str, tuple[str, ...]]
    monitor_port: int | None
    monitor_uri: str
    simple: SimpleSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """The certificates in the proxy's own settings, and the TLS policy of its listeners.

    PEMs are as given, with real line breaks, and not checked yet. With a `certificate_folder` there is no default
    certificate; with a `ca_file` there is no `ca_certificate`.
    """

    default_certificate: Secret | None
    extra_certificates: tuple[tuple[str, Secret], ...]
    certificate_folder: Path | None
    ca_file: Path | None
    ca_certificate: Secret | None
    bind_ciphers: str
    bind_options: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HaproxySettings:
    """The settings of `global`, `defaults`, the binds and the statistics page.

    `maxconn` may be less than `wanted_maxconn` (see `core/model/limits`). `options` and `timeouts` are without the words
    `option` and `timeout` in front. `log_target` is `stdout`, a socket's path or `host:port`. `port_offset` is added to
    every port that HAProxy listens on.
    """

    maxconn: int
    wanted_maxconn: int
    maxconn_per_source: int
    """0 means any number."""
    threads: int | None
    options: tuple[str, ...]
    timeouts: tuple[str, ...]
    extra_global_settings: tuple[str, ...]
    extra_default_settings: tuple[str, ...]
    extra_bind_settings: Mapping[int, tuple[str, ...]]
    log_target: str
    stats_port: int | None
    """None if there is no statistics page."""
    stats_users: tuple[tuple[str, Secret], ...]
    port_offset: int
    old_worker_seconds: int
    user: str
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSettings:
    """Where files and programs are, and how the controller runs."""

    sources: tuple[SourceKind, ...] | None
    """None means every source that is found: an engine (without one, link variables), and a services file."""
    services_file: Path | None
    state_folder: Path
    templates_folder: Path
    own_templates_folder: Path
    """The templates of the program itself."""
    setting_files: tuple[tuple[str, Path], ...]
    """The files whose lines are settings, each with the variable that names it."""
    haproxy_binary: str
    resync_seconds: int
    stop_seconds: int
    """How long requests in flight may take to finish when the proxy is stopped."""
    debug: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An entry of PROXY_CLUSTER: a name or an address, and the cluster port there if it is not the own one."""

    host: str
    port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """Which other proxies this one shares its containers with. Without `peers` there is no cluster.

    `routed_networks` are networks of containers that the proxy reaches on every node. `port` is before `port_offset`.
    """

    peers: tuple[Peer, ...] = ()
    key_file: Path = Path()
    port: int = 0
    routed_networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one run."""

    routing: RoutingSettings
    tls: TlsSettings
    haproxy: HaproxySettings
    runtime: RuntimeSettings
    cluster: ClusterSettings = ClusterSettings()


OLD_WORKER_SECONDS = 12 * 3600
"""How long an old worker may finish its connections after a reload if `RELOAD_TIMEOUT` is 0. It is long enough for any
request, and short enough that WebSockets which never end cannot keep old workers for ever."""
