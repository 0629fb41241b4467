"""The label grammar of custom routing (`aliyun.proxy.*`), as one table: name, parser, meaning.

In: a `Container`. Out: `ContainerSpec`, which is what the container asks for, or the `Problem`s for which it is left out. A
linked container may use the same names as environment variables; a label overrides a variable. The README's table is
generated from `LABELS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from proxy.core.containers.containers import Container
from proxy.core.containers.links import service_of_alias
from proxy.core.labels.deactivation import deactivation_reason, is_deactivated
from proxy.core.labels.label import MAX_LONG_VALUE, Label
from proxy.core.labels.specs import PLAIN_SETTINGS, BackendSettings, ContainerSpec, TcpPort
from proxy.errors import Problem, shorten
from proxy.grammar import values
from proxy.grammar.balance import parse_balance
from proxy.grammar.certificates import Certificate, parse_certificate
from proxy.grammar.cookies import StickyCookie, parse_cookie
from proxy.grammar.label_lines import check_directives, check_server_options
from proxy.grammar.spelling import DEACTIVATE
from proxy.grammar.syntax import make_label
from proxy.grammar.virtual_host import parse_virtual_hosts
from proxy.settings import ExtraSettings

PREFIX = "aliyun.proxy."


LABELS: tuple[Label, ...] = (
    Label(
        name="VIRTUAL_HOST",
        parse=parse_virtual_hosts,
        separator=",",
        max_length=MAX_LONG_VALUE,
        help="Comma list of `[scheme://]domain[:port][/path]`. The scheme is `http`, `https`, `ws` or `wss`. "
        "`*` matches any text",
        help_zh="以逗号分隔的 `[scheme://]domain[:port][/path]`。协议可为 `http`、`https`、`ws`、`wss`。`*` 匹配任意文字",
        example="https://shop.example.com/cart",
    ),
    Label(
        name="VIRTUAL_HOST_WEIGHT",
        parse=values.parse_integer,
        help="Integer. Entries with a higher weight are matched first",
        help_zh="整数。权重较高的条目先匹配",
        default="0",
    ),
    Label(
        name="required",
        parse=values.parse_boolean,
        help="`true`: route the container even if it has no virtual host. It then receives all requests that match no entry",
        help_zh="`true`：即使没有虚拟主机也路由该容器，由它接收所有不匹配任何条目的请求",
        default="false",
    ),
    Label(
        name="TCP_PORTS",
        parse=values.parse_tcp_ports,
        separator=",",
        help="Comma list of ports that are balanced in TCP mode. With `/ssl` after a port, the proxy terminates TLS on it",
        help_zh="以 TCP 模式负载均衡的端口，逗号分隔。端口后加 `/ssl` 表示由代理终结 TLS",
        example="9000, 2222/ssl",
    ),
    Label(
        name="PORTS",
        parse=values.parse_ports,
        help="Comma list of the ports that are routed, whether they are exposed or not. Without it: the published ports, "
        "or else all exposed ports; for linked containers, all exposed ports",
        help_zh="参与路由的端口，逗号分隔，无论是否暴露。不设置时：已发布的端口；没有发布的端口时为所有暴露的端口；被链接的容器为所有暴露的端口",
        example="8080",
    ),
    Label(
        name="EXCLUDE_PORTS",
        parse=values.parse_ports,
        separator=",",
        help="Comma list of exposed ports that are not routed",
        help_zh="不参与路由的端口，逗号分隔",
        example="3306, 3307",
    ),
    Label(
        name="BALANCE",
        parse=parse_balance,
        help="Balancing algorithm of this service",
        help_zh="该服务的负载均衡算法",
        example="source",
    ),
    Label(
        name="COOKIE",
        parse=parse_cookie,
        help="Cookie for sticky sessions. Its value is the container's id",
        help_zh="会话保持所用的 cookie，其值为容器 ID",
        example="SRV insert indirect nocache",
    ),
    Label(
        name="APPSESSION",
        parse=values.parse_appsession,
        help="Sticky sessions by a cookie of the application",
        help_zh="用应用自身的 cookie 保持会话",
        example="JSESSIONID len 52 timeout 3h",
    ),
    Label(
        name="SSL_CERT",
        parse=parse_certificate,
        help=r"Certificate of this service as one-line PEM: private key, then certificate chain, newlines written as `\n`",
        help_zh=r"该服务的证书，单行 PEM：先私钥，后证书链，换行写作 `\n`",
        max_length=MAX_LONG_VALUE,
        is_secret=True,
    ),
    Label(
        name="DEFAULT_SSL_CERT",
        parse=parse_certificate,
        help="The same. It is also used when the host name (SNI) matches no certificate",
        help_zh="同上。域名（SNI）没有匹配的证书时也使用它",
        max_length=MAX_LONG_VALUE,
        is_secret=True,
    ),
    Label(
        name="FORCE_SSL",
        parse=values.is_on,
        is_switch=True,
        help="`true`: redirect http to https (301) if the proxy has a certificate",
        help_zh="`true`：代理有证书时，将 http 重定向到 https（301）",
    ),
    Label(
        name="HSTS_MAX_AGE",
        parse=values.parse_hsts,
        help="Seconds. Adds `Strict-Transport-Security` with `includeSubDomains` to responses over TLS, as old images did. "
        "`max-age=31536000` leaves out the subdomains; `; preload` may follow",
        help_zh="秒数。在 TLS 应答中加入 `Strict-Transport-Security`，并带 `includeSubDomains`，与旧镜像相同。"
        "写 `max-age=31536000` 则不含子域名；其后可加 `; preload`",
        example="31536000",
    ),
    Label(
        name="GZIP_COMPRESSION_TYPE",
        parse=values.parse_mime_types,
        separator=",",
        help="MIME types that are compressed",
        help_zh="需要压缩的 MIME 类型",
        example="text/html text/plain text/css",
    ),
    Label(
        name="HEALTH_CHECK",
        parse=values.parse_line,
        help="health check of the server lines",
        help_zh="后端服务器的健康检查",
        example="check inter 2000 rise 2 fall 3",
        restrict=check_server_options,
    ),
    Label(
        name="HTTP_CHECK",
        parse=values.parse_http_check,
        help="HTTP health check, written as for `option httpchk`. The form of old HAProxy versions is accepted",
        help_zh="HTTP 健康检查，写法同 `option httpchk`，也接受旧版 HAProxy 的写法",
        example="OPTIONS * HTTP/1.1\\r\\nHost:\\ www",
        is_secret=True,
    ),
    Label(
        name="OPTION",
        parse=values.parse_options,
        help="Comma list of `option` lines of this service. They are added to the proxy's `OPTION`, and override options "
        "of the same name. `no NAME` switches one off",
        help_zh="该服务的 `option` 行，逗号分隔，在代理的 `OPTION` 之外生效，并覆盖同名选项。`no NAME` 关闭其中一项",
        example="httpclose, redispatch",
        restrict=check_directives,
        separator=",",
    ),
    Label(
        name="EXTRA_ROUTE_SETTINGS",
        parse=values.parse_server_words,
        help="Text that is added at the end of this service's `server` lines",
        help_zh="添加到该服务 `server` 行末尾的文字",
        example="send-proxy",
        restrict=check_server_options,
    ),
    Label(
        name="EXTRA_SETTINGS",
        parse=values.parse_lines,
        help="Comma list of lines that are added to the backend, or to the TCP listener",
        help_zh="添加到后端（或 TCP 监听）的配置行，逗号分隔",
        example="balance source",
        restrict=check_directives,
        separator=",",
    ),
    Label(
        name="EXCLUDE_BASIC_AUTH",
        parse=values.is_on,
        is_switch=True,
        help="`true`: no basic authentication for this service",
        help_zh="`true`：该服务不做基本认证",
    ),
    Label(
        name="FAILOVER",
        parse=values.is_on,
        is_switch=True,
        help="`true`: this service receives requests only while all other servers of the same virtual hosts are down",
        help_zh="`true`：仅当相同虚拟主机的其他服务器都不可用时，该服务才接收请求",
    ),
    Label(
        name="WEIGHT",
        parse=values.parse_weight,
        help="Share of the visitors, if several services have the same virtual hosts. 0 means no visitors. See "
        "`proxy weight`",
        help_zh="多个服务的虚拟主机相同时，该服务所占的访问比重。0 表示不分配访问。参见 `proxy weight`",
        example="10",
        default="100",
    ),
    Label(
        name="NETWORK",
        parse=values.parse_words,
        help="Network to use when the proxy and the container share several networks",
        help_zh="代理与容器共享多个网络时使用的网络",
    ),
)

_LINES = frozenset({"BALANCE", "COOKIE", "APPSESSION", "HTTP_CHECK", "GZIP_COMPRESSION_TYPE"})
"""Settings, besides the free-form ones, whose values only HAProxy itself can fully check."""


def parse_container(
    container: Container,
    *,
    extra_settings: ExtraSettings = ExtraSettings.OWN_SERVICE,
    known_certificates: Mapping[str, Certificate] = MappingProxyType({}),
) -> tuple[ContainerSpec | None, tuple[Problem, ...]]:
    """Return what `container` asks for, and every fault in its labels.

    The result is (None, ()) for a container that does not want to be routed. A container with a fault is left out, so that
    it never gets traffic in a way that its owner did not intend. Only a certificate that cannot be used is replaced by the
    one that the service had before, if `known_certificates` has it by the label's name. With a spec there can be notes.
    """
    raw = _raw_settings(container)
    is_linked = bool(container.alias)
    if not is_linked and not _wants_route(raw):
        return None, ()
    if is_deactivated(container.labels):
        return None, deactivation_notes(container)
    reading = _Reading(container, extra_settings, known_certificates)
    for label in LABELS:
        if label.name in raw:
            reading.read(label, *raw[label.name])
    parsed, joint = reading.parsed, tuple(_joint_faults(container, raw, reading.parsed))
    if reading.is_refused or joint:
        return None, (*reading.problems, *joint)
    if not (is_linked or parsed.get("required") or "VIRTUAL_HOST" in parsed or "TCP_PORTS" in parsed):
        return None, ()
    spec = _build_spec(container, parsed, raw.get("VIRTUAL_HOST", ("", ""))[1])
    if len(spec.ports) > values.MAX_PORTS:
        reason = f"has {len(spec.ports)} ports to route to, more than {values.MAX_PORTS}; expose or publish fewer ports"
        return None, (_problem(container, setting="", value="", reason=reason),)
    return spec, (*reading.problems, *reading.notes, *deactivation_notes(container))


class _Reading:
    """What the labels of one container say, and what is wrong with them."""

    def __init__(
        self, container: Container, extra_settings: ExtraSettings, known_certificates: Mapping[str, Certificate]
    ) -> None:
        self._container = container
        self._extra_settings = extra_settings
        self._known_certificates = known_certificates
        self.parsed: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.is_refused = False

    def read(self, label: Label, setting: str, text: str) -> None:
        """Read one label, which the user wrote as `setting`."""
        try:
            self.parsed[label.name] = _parse_value(label, text, self._extra_settings)
        except ValueError as error:
            self._refuse(label, setting, text, str(error))
        if label.is_switch and (doubt := values.doubt(text)):
            note = _problem(self._container, setting=setting, value=shorten(text), reason=doubt)
            self.notes.append(dataclasses.replace(note, is_note=True))

    def _refuse(self, label: Label, setting: str, text: str, reason: str) -> None:
        if label.name in self._known_certificates:
            self.parsed[label.name] = self._known_certificates[label.name]
            reason += "; the certificate that the service had before stays in force"
        else:
            self.is_refused = True
        shown = shorten(text) if label.is_shown else ""
        self.problems.append(_problem(self._container, setting=setting, value=shown, reason=reason))


def certificates_of(settings: BackendSettings) -> Mapping[str, Certificate]:
    """Return the certificates of a service by the names of their labels."""
    found = {"SSL_CERT": settings.certificates, "DEFAULT_SSL_CERT": settings.default_certificates}
    return {name: certificates[0] for name, certificates in found.items() if certificates}


def _parse_value(label: Label, text: str, extra_settings: ExtraSettings) -> Any:
    """Return what a label says. Raises ValueError with the reason."""
    if label.restrict and extra_settings is ExtraSettings.FORBIDDEN:
        raise ValueError("lines in HAProxy's own language are forbidden here (PROXY_ALLOW_EXTRA_SETTINGS=false)")
    return label.read(text, is_restricted=extra_settings is not ExtraSettings.UNRESTRICTED)


def _joint_faults(container: Container, raw: Mapping[str, tuple[str, str]], parsed: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the faults that only two labels together show."""
    cookie: StickyCookie | None = parsed.get("COOKIE")
    if cookie and (foreign := cookie.foreign_domain(parsed.get("VIRTUAL_HOST", ()))):
        setting, text = raw["COOKIE"]
        reason = f"has the domain {foreign!r}, but no VIRTUAL_HOST of the container is in it"
        yield _problem(container, setting=setting, value=shorten(text), reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeSetting:
    """A setting whose text goes into the configuration as it is. `name` is what the user wrote."""

    name: str
    value: str
    is_shown: bool


def free_settings(container: Container) -> tuple[FreeSetting, ...]:
    """Return the settings of the container that only HAProxy itself can fully check."""
    raw = _raw_settings(container)
    return tuple(
        FreeSetting(name=raw[label.name][0], value=raw[label.name][1], is_shown=label.is_shown)
        for label in LABELS
        if label.name in raw and (label.restrict or label.name in _LINES)
    )


def deactivation_notes(container: Container) -> tuple[Problem, ...]:
    """Return a note if the container is left out by `DEACTIVATE`, or if it is not clear what that label means."""
    reason = deactivation_reason(container.labels)
    if not reason:
        return ()
    value = shorten(container.labels[DEACTIVATE])
    return (dataclasses.replace(_problem(container, setting=DEACTIVATE, value=value, reason=reason), is_note=True),)


def asks_for_route(container: Container) -> bool:
    """Say whether a label of the container asks for a route, right or wrong."""
    return _wants_route(_names_of(container))


def needs_exposed_ports(container: Container) -> bool:
    """Say whether the exposed ports of a container that is not linked decide where requests go."""
    names = _names_of(container)
    return bool(names & {"VIRTUAL_HOST", "required"}) and "PORTS" not in names


def _names_of(container: Container) -> set[str]:
    return {label.name for label in LABELS if container.labels.get(PREFIX + label.name, "").strip()}


def service_of(container: Container) -> str:
    """Return the name of the container's service: the one of Compose, else that of its link alias, else its own name."""
    if container.project or not container.alias:
        return container.service or container.name
    return service_of_alias(container.alias)


def service_label(container: Container) -> str:
    """Return `project:service`, or the service alone if there is no project. No two services share it."""
    return make_label(container.project, service_of(container))


def _raw_settings(container: Container) -> Mapping[str, tuple[str, str]]:
    """Return for each known setting its name as the user wrote it, and its value. Empty values count as unset."""
    raw: dict[str, tuple[str, str]] = {}
    for label in LABELS:
        for source, key in ((container.labels, PREFIX + label.name), (container.environment, label.name)):
            value = source.get(key, "").strip()
            if value and label.name not in raw and (source is container.labels or container.alias):
                raw[label.name] = (key, value)
    return raw


def _wants_route(names: Collection[str]) -> bool:
    return any(name in names for name in ("VIRTUAL_HOST", "required", "TCP_PORTS"))


def _build_spec(container: Container, parsed: Mapping[str, Any], virtual_host_text: str) -> ContainerSpec:
    tcp_ports: tuple[TcpPort, ...] = tuple(TcpPort(number=number, tls=tls) for number, tls in parsed.get("TCP_PORTS", ()))
    left_out = {port.number for port in tcp_ports} | set(parsed.get("EXCLUDE_PORTS", ()))
    return ContainerSpec(
        container=container,
        project=container.project,
        service=service_of(container),
        virtual_hosts=parsed.get("VIRTUAL_HOST", ()),
        virtual_host_text=virtual_host_text,
        weight=parsed.get("VIRTUAL_HOST_WEIGHT", 0),
        ports=tuple(sorted(set(parsed.get("PORTS", _exposed_ports(container))) - left_out)),
        tcp_ports=tcp_ports,
        network=" ".join(parsed.get("NETWORK", ())),
        settings=_build_settings(parsed),
    )


def _exposed_ports(container: Container) -> Iterable[int]:
    """Return the published ports if there are any, else the exposed ones; for linked containers always the exposed ones."""
    published = {port.number for port in container.ports if port.published}
    exposed = {port.number for port in container.ports}
    return exposed if container.alias or not published else published


def _build_settings(parsed: Mapping[str, Any]) -> BackendSettings:
    def one(name: str) -> tuple[Certificate, ...]:
        return (parsed[name],) if name in parsed else ()

    settings = BackendSettings(
        balance=parsed.get("BALANCE"),
        cookie=parsed["COOKIE"].directive if "COOKIE" in parsed else None,
        session_lines=parsed.get("APPSESSION", ()),
        certificates=one("SSL_CERT"),
        default_certificates=one("DEFAULT_SSL_CERT"),
        force_ssl=parsed.get("FORCE_SSL", False),
        hsts_max_age=parsed.get("HSTS_MAX_AGE"),
        compression_types=parsed.get("GZIP_COMPRESSION_TYPE", ()),
        health_check=parsed.get("HEALTH_CHECK"),
        http_check_lines=parsed.get("HTTP_CHECK", ()),
        options=parsed.get("OPTION", ()),
        extra_route_settings=parsed.get("EXTRA_ROUTE_SETTINGS"),
        extra_lines=parsed.get("EXTRA_SETTINGS", ()),
        exclude_basic_auth=parsed.get("EXCLUDE_BASIC_AUTH", False),
        is_backup=parsed.get("FAILOVER", False),
        weight=parsed.get("WEIGHT"),
    )
    return PLAIN_SETTINGS if settings == PLAIN_SETTINGS else settings  # one object for all plain services, to save memory


def _problem(container: Container, *, setting: str, value: str, reason: str) -> Problem:
    return Problem(service=service_label(container), container=container.place, setting=setting, value=value, reason=reason)
