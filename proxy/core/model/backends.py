"""Build a service's backend: its servers, and the lines that follow from its settings.

In: a `Service`. Out: `Backend` (or the servers of a TCP listener), and a problem for each container that has no reachable
address. Lines that a `defaults` section can hold go into a profile. Many backends share a profile, and HAProxy 3.4 can
create new backends from it at runtime. Only the other lines stand in the backend itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from proxy.core.containers.addresses import Endpoint, Reach, choose_endpoint
from proxy.core.containers.containers import ProxyContainer, State
from proxy.core.labels.simple_routing import plain_settings
from proxy.core.labels.specs import BackendSettings, ContainerSpec
from proxy.core.model.model import Backend, Profile, Server
from proxy.core.model.readiness import server_state
from proxy.core.model.server_names import cookie_value, server_name
from proxy.core.model.server_weights import weigh
from proxy.core.model.services import Service, settings_by_label
from proxy.errors import Problem
from proxy.grammar.syntax import BackendName, make_digest, make_variant_name
from proxy.grammar.virtual_host import HOST_OF_REQUEST
from proxy.settings import ProxyMode, RoutingMode, RoutingSettings

USERLIST = "proxy_users"
"""The name of the userlist of HTTP_BASIC_AUTH in haproxy.cfg."""

PEERS = "workers"
"""The name of the peers section. It connects this HAProxy's old worker with its new one."""

PROFILE_PREFIX = "profile_"

_PROFILE_KEYWORDS = frozenset(
    [
        "acl",
        "balance",
        "compression",
        "cookie",
        "default-server",
        "errorfile",
        "errorfiles",
        "errorloc",
        "errorloc302",
        "errorloc303",
        "fullconn",
        "hash-type",
        "http-after-response",
        "http-check",
        "http-error",
        "http-request",
        "http-response",
        "http-reuse",
        "http-send-name-header",
        "no",
        "option",
        "retries",
        "retry-on",
        "tcp-check",
        "timeout",
    ]
)
"""Directives that a named `defaults` section accepts (manual, section 4.1). Any other stays in the backend itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContext:
    """What every backend depends on besides its service."""

    settings: RoutingSettings
    proxy: ProxyContainer | None
    terminates_tls: bool
    redirects_to_tls: bool = False
    """Whether FORCE_SSL holds although there is no certificate now: there was one, and visitors rely on it."""
    https_port: int | None = None
    """The port to write in redirects to https; None if it is the default port."""
    routed_networks: tuple[str, ...] = ()
    plain: Profile | None = None
    """The profile of a service that has no settings of its own."""


def make_profile(mode: ProxyMode, lines: Sequence[str]) -> Profile:
    """Return the profile of `lines`. Equal lines in the same mode give the same name."""
    every = ("mode " + mode, *lines)
    return Profile(name=PROFILE_PREFIX + make_digest("\n".join(every)), mode=mode, lines=every)


def plain_profile(context: BuildContext) -> Profile:
    """Return the profile of a service that has no settings of its own. Most services use it."""
    settings = BackendSettings()
    if context.settings.routing_mode is RoutingMode.SIMPLE:
        settings = plain_settings(context.settings.simple)
    return _profile_of(settings, settings.extra_lines, context)


def _profile_of(settings: BackendSettings, extra: Sequence[str], context: BuildContext) -> Profile:
    mode = _backend_mode(context)
    lines = _http_lines(settings, context) if mode is ProxyMode.HTTP else _common_lines(settings, context)
    profile = make_profile(mode, [*lines, *extra])
    return context.plain if context.plain and profile == context.plain else profile  # one object for all plain backends


def _backend_mode(context: BuildContext) -> ProxyMode:
    return ProxyMode.TCP if context.settings.mode is ProxyMode.TCP else ProxyMode.HTTP


def build_backend(service: Service, context: BuildContext) -> tuple[Backend, tuple[Problem, ...]]:
    """Build the backend of a service's HTTP ports (of all its ports with MODE=tcp)."""
    mode = _backend_mode(context)
    extra = service.settings.extra_lines
    # A backend's own lines cannot use an ACL of the profile (manual, `acl`), so free-form lines stay together.
    shared, own = (extra, ()) if all(map(_fits_profile, extra)) else ((), extra)
    cookie = service.settings.cookie if mode is ProxyMode.HTTP else None
    servers, problems = build_servers(service.members, None, context, has_cookie=bool(cookie))
    profile = _profile_of(service.settings, shared, context)
    lines = (*map(_kept_over_reloads, service.settings.session_lines), *own)
    backend = Backend(
        name=service.name if lines else _name_for(service, profile, context),
        mode=mode,
        profile=profile,
        lines=lines,
        servers=servers,
        services=service.labels,
    )
    return backend, problems


def _name_for(service: Service, profile: Profile, context: BuildContext) -> BackendName:
    """Return a name that follows from service and profile.

    A running HAProxy can neither change a backend's profile nor give its name to another backend before its last connection
    has ended. So a service whose settings change gets another backend, which takes over the routes at once.
    """
    if service.variant:
        return make_variant_name(service.name, service.variant)
    if context.plain is None or profile.name == context.plain.name:
        return service.name
    return make_variant_name(service.name, profile.name.removeprefix(PROFILE_PREFIX))


def make_variant(settings: BackendSettings, *others: str) -> str:
    """Return a digest that distinguishes backends with different settings before their profiles are known.

    `others` are names that also go into the digest. Settings that do not become part of the profile are left out: they
    belong to servers or certificates, or can change at runtime.
    """
    of_profile = dataclasses.replace(
        settings,
        session_lines=(),
        certificates=(),
        default_certificates=(),
        health_check=None,
        extra_route_settings=None,
        is_backup=False,
        weight=None,
    )
    return make_digest("\n".join((repr(of_profile), *others)))


def build_tcp_lines(members: Sequence[ContainerSpec], context: BuildContext) -> tuple[str, ...]:
    """Return the lines of a TCP listener that several services may share.

    The first service decides on balancing and options. The free-form lines of all services are added, each only once.
    """
    every = settings_by_label(members)
    lines = dict.fromkeys(_common_lines(every[0], context))
    for settings in every:
        lines.update(dict.fromkeys(settings.extra_lines))
    return tuple(lines)


def build_servers(
    members: Sequence[ContainerSpec], port: int | None, context: BuildContext, *, has_cookie: bool
) -> tuple[tuple[Server, ...], tuple[Problem, ...]]:
    """Build one server per container and port, sorted by name. `port` None means each container's own HTTP ports."""
    owned: list[tuple[Server, ContainerSpec]] = []
    problems: list[Problem] = []
    for member in members:
        container = member.container
        if container.state is State.STOPPED:
            continue
        numbers = member.ports if port is None else (port,)
        if not numbers and not member.tcp_ports:
            problems.append(_no_port(member))
        network = member.network or context.settings.network
        reach = Reach(proxy=context.proxy, network=network, routed_networks=context.routed_networks)
        for number in numbers:
            try:
                endpoint = choose_endpoint(container, number, reach)
            except ValueError as error:
                problems.append(Problem(service=member.label, container=container.place, reason=str(error)))
            else:
                owned.append((_server(member, endpoint, number, context, has_cookie=has_cookie), member))
    servers = weigh(owned, is_sticky=has_cookie or any(member.settings.session_lines for member in members))
    return tuple(sorted(servers, key=lambda server: server.name)), tuple(dict.fromkeys(problems))


def _server(member: ContainerSpec, endpoint: Endpoint, port: int, context: BuildContext, *, has_cookie: bool) -> Server:
    container = member.container
    is_waited_for = port in member.waiting_ports
    state, reason = server_state(container, is_waited_for=is_waited_for, is_last_resort=member.is_last_resort)
    health_check = member.settings.health_check or context.settings.health_check
    extra = member.settings.extra_route_settings or context.settings.extra_route_settings
    return Server(
        name=server_name(member, port, has_cookie=has_cookie),
        address=endpoint.address,
        port=endpoint.port,
        cookie=cookie_value(member, port) if has_cookie else "",
        options=" ".join(filter(None, (health_check, extra))),
        has_default_check=health_check is None,
        is_backup=member.settings.is_backup,
        state=state,
        reason=reason,
        container=container.place,
        container_id=container.id,
        container_port=port,
        source=container.source,
        node=container.node.name if container.node else "",
    )


def _kept_over_reloads(line: str) -> str:
    """Add the peers section to a `stick-table` line, so that after a reload the new worker gets the old worker's table."""
    return f"{line} peers {PEERS}" if line.startswith("stick-table ") else line


def _fits_profile(line: str) -> bool:
    return line.split()[0] in _PROFILE_KEYWORDS


def _common_lines(settings: BackendSettings, context: BuildContext) -> list[str]:
    return [f"balance {settings.balance or context.settings.balance}", *settings.options]


def _http_lines(settings: BackendSettings, context: BuildContext) -> list[str]:
    lines = _common_lines(settings, context)
    if settings.force_ssl and (context.terminates_tls or context.redirects_to_tls):
        lines.append(_redirect_line(context))  # first, so that no password is requested over plain HTTP
    if context.settings.basic_users and not settings.exclude_basic_auth:
        lines.append(f"http-request auth realm proxy unless {{ http_auth({USERLIST}) }}")
    if settings.cookie:
        lines.append(f"cookie {settings.cookie}")
    if settings.hsts_max_age:
        lines.append(f'http-response set-header Strict-Transport-Security "{settings.hsts_max_age}" if {{ ssl_fc }}')
    if settings.compression_types:
        lines += ["compression algo gzip", "compression type " + " ".join(settings.compression_types)]
    lines += settings.http_check_lines
    return lines


def _redirect_line(context: BuildContext) -> str:
    port = f":{context.https_port}" if context.https_port else ""
    target = f"https://%[{HOST_OF_REQUEST}]{port}%[pathq]"
    is_told = context.settings.skip_forwarded_proto or context.settings.trusted_proxies
    already = " !{ req.hdr(X-Forwarded-Proto) -i https }" if is_told else ""
    return f"http-request redirect code 301 location {target} if !{{ ssl_fc }}{already}"


def _no_port(member: ContainerSpec) -> Problem:
    return Problem(
        service=member.label,
        container=member.container.place,
        reason="has no TCP port to route to; name one with the label aliyun.proxy.PORTS, with `expose` or `ports`, or with "
        "EXPOSE in its image",
    )
