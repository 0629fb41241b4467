"""The label grammar of simple routing (`aliyun.routing.*`, `aliyun.probe.*`), as one table: name, parser, meaning.

In: a `Container`. Out: one `ContainerSpec` per routed port, and a `Problem` for each label outside the grammar. Only that
label is ignored: the other ports of the container are served, and an ignored setting has its default value. The README's
table is generated from `ROUTING_LABELS`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.core.containers.containers import Container
from proxy.core.labels import probing
from proxy.core.labels.deactivation import is_deactivated
from proxy.core.labels.label import MAX_LONG_VALUE, Label
from proxy.core.labels.labels import deactivation_notes, service_label, service_of
from proxy.core.labels.probing import Probe
from proxy.core.labels.specs import BackendSettings, ContainerSpec
from proxy.core.labels.stickiness import COOKIE_DIRECTIVE, stickiness_lines
from proxy.errors import Problem, shorten
from proxy.grammar import values as values
from proxy.grammar.spelling import IN_NAMESPACE, nearest
from proxy.grammar.values import DEFAULT_WEIGHT
from proxy.grammar.virtual_host import (
    MAX_ENTRIES,
    Scheme,
    VirtualHost,
    find_scheme_fault,
    parse_domain,
    parse_path,
    parse_port,
)
from proxy.settings import SimpleSettings

ROUTING_PREFIX = "aliyun.routing."
PROBE_PREFIX = "aliyun.probe."
PORT_PREFIX = f"{ROUTING_PREFIX}port_"
MAX_LENGTH = 128
"""The maximum number of characters of a domain, and of a context path."""

_ENTRY = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?P<name>[^/:]*)(?P<sign>[/:])?(?P<path>.*)", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One entry of a port's label. A `name` without a dot is a prefix. An empty `path` means any path."""

    name: str
    path: str = ""

    def domain(self, root: str) -> str:
        """Return the full domain name; `root` is the cluster's domain."""
        return self.name if "." in self.name else f"{self.name}.{root}"

    def virtual_hosts(self, root: str) -> tuple[VirtualHost, ...]:
        """Return the virtual hosts that this entry stands for: the path itself, and everything below it."""
        domain = self.domain(root)
        paths = (self.path, f"{self.path}/*") if self.path else ("",)
        return tuple(VirtualHost(domain=domain, path=path) for path in paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """The visitors that are sent to https: those of the domains in `names`, or all of them."""

    names: tuple[str, ...] = ()
    everything: bool = False


def parse_addresses(text: str) -> tuple[Address, ...]:
    """Parse a `;` list of `[scheme://]domain-or-prefix[/path]`. Raises ValueError that quotes the faulty entry."""
    addresses = tuple(dict.fromkeys(_parse_address(entry) for entry in _split(text)))
    if not addresses:
        raise ValueError("contains no domain; write domains or prefixes, separated by ';'")
    return addresses


def parse_redirect(text: str) -> Redirect:
    """Parse a word that means yes or no, or a `;` list of domains or prefixes."""
    if values.is_yes_or_no(text):
        return Redirect(everything=values.parse_boolean(text))
    return Redirect(names=tuple(_parse_name(entry) for entry in _split(text)))


ROUTING_LABELS: tuple[Label, ...] = (
    Label(
        name=f"{PORT_PREFIX}<N>",
        parse=parse_addresses,
        separator=";",
        max_length=MAX_LONG_VALUE,
        help="Addresses that port N of the container answers: `;` list of `[scheme://]domain[/context_path]`. "
        "The schemes `http`, `https`, `ws` and `wss` have the same effect. A domain without a dot is a "
        "prefix of the cluster's domain. You can also write `domain:context_path`",
        help_zh="容器端口 N 的访问地址，以 `;` 分隔的 `[scheme://]domain[/context_path]`。协议可为 `http`、"
        "`https`、`ws`、`wss`，效果相同。不含点号的域名是集群域名的前缀。也可写作 `domain:context_path`",
        example="wordpress;http://wp.sample.com/context",
    ),
    Label(
        name=f"{ROUTING_PREFIX}session_sticky",
        parse=values.parse_boolean,
        help="`false`: each request may go to another container",
        help_zh="`false`：不保持会话，每次请求可能分配到不同容器",
        default="true",
    ),
    Label(
        name=f"{ROUTING_PREFIX}weight",
        parse=values.parse_weight,
        help="Share of the visitors, if several services have the same address. 0 means no visitors. See `proxy weight`",
        help_zh="多个服务使用同一地址时，该服务所占的访问比重。0 表示不分配访问。参见 `proxy weight`",
        example="10",
        default=str(DEFAULT_WEIGHT),
    ),
    Label(
        name=f"{ROUTING_PREFIX}force_https",
        parse=parse_redirect,
        separator=";",
        help="`true`, or a `;` list of domains: redirect to https (301) if the load balancer in front sends "
        "`X-Forwarded-Proto: http`",
        help_zh="`true`，或以 `;` 分隔的域名：前端负载均衡发来 `X-Forwarded-Proto: http` 时，重定向到 https（301）",
        example="www.example.com",
        default="false",
    ),
    Label(
        name=f"{PROBE_PREFIX}url",
        parse=probing.parse_target,
        help="Health probe: `http://container[:port]/path` (healthy if the status is 2xx or 3xx) or "
        "`tcp://container:port` (healthy if the connection is accepted)",
        help_zh="健康检查：`http://container[:port]/path`（返回 2xx 或 3xx 为健康）或 `tcp://container:port`（接受"
        "连接为健康）",
        example="http://container:8080/ping",
    ),
    Label(
        name=f"{PROBE_PREFIX}cmd",
        parse=probing.parse_command,
        is_secret=True,
        help="Health probe: shell command that is run inside the container. Healthy if it exits with 0. Do not "
        "combine it with `url`",
        help_zh="健康检查：在容器内执行的 shell 命令，返回 0 为健康。不要与 `url` 同时使用",
        example="/check.sh",
    ),
    Label(
        name=f"{PROBE_PREFIX}timeout_seconds",
        parse=probing.parse_timeout,
        help="How many seconds a probe may take. Probes run every 2 seconds",
        help_zh="健康检查的超时秒数。检查每 2 秒执行一次",
        default=f"{probing.DEFAULT_TIMEOUT_SECONDS:g}",
    ),
    Label(
        name=f"{PROBE_PREFIX}initial_delay_seconds",
        parse=probing.parse_delay,
        help="How many seconds after its start a container is probed for the first time. Until then it receives no requests",
        help_zh="容器启动多少秒后开始检查。在此之前不分配请求",
        default="0",
    ),
)


def parse_container(container: Container, settings: SimpleSettings) -> tuple[tuple[ContainerSpec, ...], tuple[Problem, ...]]:
    """Return what each port of `container` asks for, and a problem for every label that is outside the grammar."""
    if is_deactivated(container.labels):
        asks_for_route = any(key.startswith(PORT_PREFIX) for key in container.labels)
        return (), deactivation_notes(container) if asks_for_route else ()
    reading = _Reading(container.labels)
    if reading.probe and reading.probe.command and not container.is_of_engine:
        reading.faults[f"{PROBE_PREFIX}cmd"] = "needs an engine to run the command, but this container is not from an engine"
    specs = tuple(_build_specs(container, reading, settings)) if reading.ports else ()
    problems = [
        Problem(
            service=service_label(container),
            container=container.place,
            setting=setting,
            value=shorten(container.labels.get(setting, "")) if reading.is_shown(setting) else "",
            reason=reason,
        )
        for setting, reason in sorted(reading.faults.items())
    ]
    return specs, (*problems, *(deactivation_notes(container) if specs else ()))


def plain_settings(settings: SimpleSettings, *, is_sticky: bool = True) -> BackendSettings:
    """Return the settings of a service without a probe."""
    idle_seconds, life_seconds = settings.sticky_idle_seconds, settings.sticky_life_seconds
    lines = stickiness_lines(idle_seconds=idle_seconds, life_seconds=life_seconds)
    return BackendSettings(
        cookie=COOKIE_DIRECTIVE if is_sticky else None,
        extra_lines=lines if is_sticky else (),
        # If a container does not accept the connection, HAProxy tries another one at once. It may have no probe.
        options=("option redispatch 1",),
    )


def find_probe(labels: Mapping[str, str]) -> Probe | None:
    """Return how a routed container is probed; None if it has no probe or is not routed."""
    reading = _Reading(labels)
    return reading.probe if reading.ports and not is_deactivated(labels) else None


class _Reading:
    """The labels of one container, parsed. `faults` says for each label outside the grammar what is wrong."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.faults: dict[str, str] = {}
        self.ports: dict[int, tuple[Address, ...]] = {}
        self._settings: dict[str, Any] = {}
        self._table = {row.name: row for row in ROUTING_LABELS}
        given = {name: text.strip() for name, text in sorted(labels.items()) if text.strip()}
        for name, text in given.items():
            if name.startswith(PORT_PREFIX):
                self._read_port(name, text)
            elif name.startswith(ROUTING_PREFIX):
                self._read(name, text)
        for name, text in given.items():
            if name.startswith(PROBE_PREFIX) and self.ports:
                self._read(name, text)
        self.redirect: Redirect = self.setting(f"{ROUTING_PREFIX}force_https", Redirect())
        self.probe = self._make_probe()

    def setting(self, name: str, default: Any) -> Any:
        """Return the parsed value of a label; `default` if it is missing or faulty."""
        return self._settings.get(name, default)

    def is_shown(self, name: str) -> bool:
        """Return whether messages show the value of a label. A command may have a password in it."""
        return name not in self._table or self._table[name].is_shown

    def _read_port(self, name: str, text: str) -> None:
        try:
            port = parse_port(name.removeprefix(PORT_PREFIX))
            if len(self.ports) == values.MAX_PORTS:
                raise ValueError(f"is one port more than the {values.MAX_PORTS} that a container may have routed")
            self.ports[port] = self._table[f"{PORT_PREFIX}<N>"].read(text)
        except ValueError as error:
            self.faults[name] = str(error)

    def _read(self, name: str, text: str) -> None:
        row = self._table.get(name)
        if row is None:
            meant = nearest(name, self._table, similarity=IN_NAMESPACE)
            self.faults[name] = "is not a label of simple routing" + (f"; did you mean {meant}?" if meant else "")
            return
        try:
            self._settings[name] = row.read(text)
        except ValueError as error:
            self.faults[name] = str(error)

    def _make_probe(self) -> Probe | None:
        """Return the probe. Without `url` and `cmd` there is none, and the other probe labels are ignored."""
        target, command = self.setting(f"{PROBE_PREFIX}url", None), self.setting(f"{PROBE_PREFIX}cmd", "")
        if target and command:
            self.faults[f"{PROBE_PREFIX}cmd"] = f"is ignored, because {PROBE_PREFIX}url is set as well; remove one of them"
            command = ""
        if target is None and not command:
            return None
        return Probe(
            target=target,
            command=command,
            timeout_seconds=self.setting(f"{PROBE_PREFIX}timeout_seconds", probing.DEFAULT_TIMEOUT_SECONDS),
            initial_delay_seconds=self.setting(f"{PROBE_PREFIX}initial_delay_seconds", 0.0),
        )


def _build_specs(container: Container, reading: _Reading, settings: SimpleSettings) -> Iterator[ContainerSpec]:
    probe = reading.probe or Probe()
    backend = dataclasses.replace(
        plain_settings(settings, is_sticky=reading.setting(f"{ROUTING_PREFIX}session_sticky", True)),
        health_check=probe.server_options() or None,
        http_check_lines=probe.backend_lines(),
        weight=reading.setting(f"{ROUTING_PREFIX}weight", DEFAULT_WEIGHT),
    )
    redirected = _redirected_domains(reading, settings.domain)
    for port, addresses in sorted(reading.ports.items()):
        hosts = [host for address in addresses for host in address.virtual_hosts(settings.domain)]
        yield ContainerSpec(
            container=container,
            project=container.project,
            service=service_of(container),
            part=str(port),
            virtual_hosts=tuple(dict.fromkeys(hosts)),
            virtual_host_text=container.labels[f"{PORT_PREFIX}{port}"],
            ports=(port,),
            settings=backend,
            redirected_domains=redirected & {host.domain for host in hosts},
        )


def _redirected_domains(reading: _Reading, root: str) -> frozenset[str]:
    """Return the full names in force_https. A name that no port of the container serves is a fault of the label."""
    served = {address.domain(root) for addresses in reading.ports.values() for address in addresses}
    if reading.redirect.everything:
        return frozenset(served)
    named = {Address(name=name).domain(root) for name in reading.redirect.names}
    if strangers := sorted(named - served):
        reading.faults[f"{ROUTING_PREFIX}force_https"] = (
            f"contains {', '.join(strangers)}, but no {PORT_PREFIX}<N> of this container has it"
        )
    return frozenset(named & served)


def _split(text: str) -> Sequence[str]:
    entries = [entry.strip() for entry in text.split(";") if entry.strip()]
    if len(entries) > MAX_ENTRIES:
        raise ValueError(f"has {len(entries)} entries, more than {MAX_ENTRIES}")
    return entries


def _parse_address(entry: str) -> Address:
    if fault := find_scheme_fault(entry):
        raise ValueError(f"entry {shorten(entry)!r} {fault}")
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError(f"entry {entry!r} is not [scheme://]domain[/context_path]")
    try:
        scheme = (match["scheme"] or Scheme.HTTP).lower()
        if scheme not in set(Scheme):
            raise ValueError(f"scheme {scheme!r} is not http, https, ws or wss")
        return Address(name=_parse_name(match["name"]), path=_parse_context(match["sign"] or "", match["path"]))
    except ValueError as error:
        raise ValueError(f"entry {shorten(entry)!r}: {error}") from None


def _parse_name(text: str) -> str:
    if not text:
        raise ValueError("has no domain")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the domain has {len(text)} characters, more than {MAX_LENGTH}")
    if "*" in text:
        raise ValueError("has a wildcard, which simple routing does not support; write each domain")
    return parse_domain(text)


def _parse_context(sign: str, text: str) -> str:
    if sign == ":" and re.match(r"\d+(/|$)", text):
        raise ValueError(
            f"has the port {text.partition('/')[0]}; an address cannot have a port (write '/' before a context path)"
        )
    path = f"/{text.removeprefix('/')}" if sign else ""
    if len(path) > MAX_LENGTH:
        raise ValueError(f"the context path has {len(path)} characters, more than {MAX_LENGTH}")
    if "*" in path:
        raise ValueError("the context path has a wildcard; without it, it already matches everything below it")
    return parse_path(path.rstrip("/"))
