"""Changes the settings for simple routing (`PROXY_MODE=acsrouting`): its own variables, and other defaults.

In: the reader of the environment, and the routing settings of custom routing. Out: the routing settings of simple routing.
The rest of the program depends on the mode only in the label grammar and in how services are grouped.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from proxy.grammar.syntax import quote
from proxy.grammar.virtual_host import DOMAIN_OF_REQUEST, parse_domain
from proxy.settings import ProxyMode, RoutingSettings, Scope, SimpleSettings
from proxy.settings import value_parsers as values
from proxy.settings.reader import SettingsReader
from proxy.settings.variables.simple import PRIVATE_NETWORKS

HTTP_PORT = 80
MONITOR_URI = "/haproxy-monitor"
ERROR_PAGE = Path(__file__).resolve().parent.parent / "templates" / "503.http"

_ALIBABA_DOMAIN = "alicontainer.com"
_LOCAL_DOMAIN = "localhost"
"""Browsers and resolvers resolve every name below it to the machine itself (RFC 6761), so prefixes work without a DNS."""
_BALANCER_NETWORKS = (*PRIVATE_NETWORKS.split(","), "100.64.0.0/10")
"""Where the load balancer in front is. Alibaba's balancers have addresses in the last network (RFC 6598)."""

WAS_FORWARDED = "txn.was_forwarded"
"""HAProxy's variable that says that the request came with `X-Forwarded-For`."""

_LOCAL_HOST = f"{{ {DOMAIN_OF_REQUEST} -m end .local }}"


def parse_simple(reader: SettingsReader) -> SimpleSettings:
    """Return the settings that only simple routing uses."""
    positive = values.number(minimum=1, maximum=10**9)
    return SimpleSettings(
        domain=_parse_domain(reader),
        local_networks=reader.entries("PROXY_LOCAL_NETWORKS", values.parse_network, has_blanks=False),
        error_page=Path(reader.text("PROXY_ERROR_PAGE_503") or ERROR_PAGE),
        sticky_idle_seconds=reader.parse("PROXY_STICKY_IDLE_SECONDS", positive, 0),
        sticky_life_seconds=reader.parse("PROXY_STICKY_LIFE_SECONDS", positive, 0),
    )


def adapt(routing: RoutingSettings, reader: SettingsReader) -> RoutingSettings:
    """Return the settings with the defaults of simple routing."""
    if routing.mode is ProxyMode.TCP:
        reader.add_fault(
            "MODE", "cannot be used with PROXY_MODE=acsrouting, which routes HTTP by host name; remove one of them"
        )
    frontends = dict(routing.extra_frontend_settings)
    frontends[HTTP_PORT] = (*frontends.get(HTTP_PORT, ()), *_frontend_lines(routing.simple))
    return dataclasses.replace(
        routing,
        scope=Scope(everything=True),
        # A container without a probe counts as healthy. If it is dead, redispatch sends the request to another one.
        health_check=routing.health_check if reader.is_set("HEALTH_CHECK") else "",
        # The load balancer in front says which scheme the visitor used. It always speaks http to the proxy.
        skip_forwarded_proto=True,
        trusted_proxies=routing.trusted_proxies or _BALANCER_NETWORKS,
        monitor_port=routing.monitor_port or HTTP_PORT,
        monitor_uri=routing.monitor_uri or MONITOR_URI,
        extra_frontend_settings=frontends,
    )


def _frontend_lines(simple: SimpleSettings) -> tuple[str, ...]:
    """Return the 503 page, and the rules that refuse `.local` names with the same answer as an unknown host."""
    inside = f"{{ src {' '.join(simple.local_networks)} }}" if simple.local_networks else "{ always_false }"
    return (
        f"errorfile 503 {quote(str(simple.error_page))}",
        f"http-request deny deny_status 503 if {_LOCAL_HOST} !{inside}",
        # Only the load balancer in front adds this header. A client inside the cluster connects directly.
        f"http-request deny deny_status 503 if {_LOCAL_HOST} {{ var({WAS_FORWARDED}) -m bool }}",
    )


def _parse_domain(reader: SettingsReader) -> str:
    cluster, region = reader.text("PROXY_CLUSTER_ID"), reader.text("PROXY_REGION_ID")
    for given, missing in (("PROXY_CLUSTER_ID", "PROXY_REGION_ID"), ("PROXY_REGION_ID", "PROXY_CLUSTER_ID")):
        if reader.is_set(given) and not reader.is_set(missing):
            reader.add_fault(given, f"has no effect without {missing}; set both, or PROXY_ROOT_DOMAIN")
    for name, part in (("PROXY_CLUSTER_ID", cluster), ("PROXY_REGION_ID", region)):
        try:
            parse_plain_domain(f"{part or 'cluster'}.{_ALIBABA_DOMAIN}")
        except ValueError:
            reader.add_fault(name, "cannot be part of a domain name; write letters, digits and hyphens")
    default = f"{cluster}.{region}.{_ALIBABA_DOMAIN}" if cluster and region else _LOCAL_DOMAIN
    return reader.parse("PROXY_ROOT_DOMAIN", parse_plain_domain, default.lower())


def parse_plain_domain(text: str) -> str:
    """Return a domain. Raises ValueError if it has wildcards."""
    if "*" in text:
        raise ValueError("contains a wildcard; write a plain domain")
    return parse_domain(text.removeprefix("."))
