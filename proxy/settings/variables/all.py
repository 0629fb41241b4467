"""Every environment variable of the proxy, in the order of the reference table.

This is the only list of names, defaults and meanings. `parser` reads the environment with it, and
`proxy/commands/reference.py` generates the README's table from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.errors import shorten
from proxy.grammar.spelling import nearest
from proxy.grammar.syntax import split_list
from proxy.grammar.values import doubt
from proxy.settings.variables.cluster import CLUSTER_VARIABLES
from proxy.settings.variables.haproxy import HAPROXY_VARIABLES, RUNTIME_VARIABLES
from proxy.settings.variables.routing import ROUTING_VARIABLES, TLS_VARIABLES
from proxy.settings.variables.simple import SIMPLE_VARIABLES
from proxy.settings.variables.variable import Variable

VARIABLES: tuple[Variable, ...] = (
    *ROUTING_VARIABLES,
    *TLS_VARIABLES,
    *HAPROXY_VARIABLES,
    *RUNTIME_VARIABLES,
    *CLUSTER_VARIABLES,
    *SIMPLE_VARIABLES,
)

_OWN_PREFIX = "PROXY_"
_PREFIXES = (_OWN_PREFIX, "ADDITIONAL_", "EXTRA_", "HTTP_BASIC_", "MONITOR_", "SSL_", "STATS_")
_OF_OTHERS = frozenset({"SSL_CERT_DIR", "SSL_CERT_FILE", "HAPROXY_URL"})
"""Variables of OpenSSL and of the image of HAProxy, whose names resemble ours."""
_WITH_PREFIX = 0.8
"""How similar a variable must be that begins as ours do (see `SIMILARITY` for others)."""
_OF_LINKS = "_ENV_"
"""Stands in the variables that the engine makes for links; the linked container's own variable follows."""
_SHORTEST = 5
"""Shorter names resemble too many others."""


def unknown_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each variable that looks like a misspelt one of the proxy, sorted by name.

    Variables of other programs are in the same environment, so this is only a warning and never an error.
    """
    named = {*_OF_OTHERS, *split_list(environment.get("EXTRA_SSL_CERTS", ""))}
    sentences = []
    for name in sorted(environment.keys() - named):
        if is_variable(name) or _OF_LINKS in name:
            continue
        if meant := _meant_variable(name):
            sentences.append(f"{name} is not a variable of the proxy; did you mean {meant}?")
        elif name.startswith(_OWN_PREFIX):
            sentences.append(f"{name} is not a variable of the proxy and has no effect")
    return tuple(sentences)


def is_variable(name: str) -> bool:
    """Return whether the proxy has a variable of that name."""
    return any(variable.matches(name) for variable in VARIABLES)


def _meant_variable(name: str) -> str | None:
    known = [variable.name for variable in VARIABLES]
    if name.startswith(_PREFIXES):
        return nearest(name, known, similarity=_WITH_PREFIX)
    return nearest(name, known) if len(name) >= _SHORTEST else None


def unclear_switches(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each switch that is set to neither yes nor no, in the order of the table."""
    texts = {variable.name: environment.get(variable.name, "").strip() for variable in VARIABLES if variable.is_switch}
    return tuple(f"{name}={shorten(text)!r}: {doubt(text)}" for name, text in texts.items() if text and doubt(text))
