"""Every environment variable of the proxy, in the order of the reference table.

This is the only list of names, defaults and meanings. `parser` reads the environment with it, and
`proxy/commands/reference.py` generates the README's table from it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from proxy.errors import shorten
from proxy.grammar.syntax import split_list
from proxy.grammar.values import doubt
from proxy.settings.variables.haproxy import HAPROXY_VARIABLES, RUNTIME_VARIABLES
from proxy.settings.variables.routing import ROUTING_VARIABLES, TLS_VARIABLES
from proxy.settings.variables.simple import SIMPLE_VARIABLES
from proxy.settings.variables.variable import Variable

VARIABLES: tuple[Variable, ...] = (
    *ROUTING_VARIABLES,
    *TLS_VARIABLES,
    *HAPROXY_VARIABLES,
    *RUNTIME_VARIABLES,
    *SIMPLE_VARIABLES,
)

_OWN_PREFIX = "PROXY_"
_PREFIXES = (_OWN_PREFIX, "ADDITIONAL_", "EXTRA_", "HTTP_BASIC_", "MONITOR_", "SSL_", "STATS_")
_OF_OTHERS = frozenset({"SSL_CERT_DIR", "SSL_CERT_FILE"})
"""OpenSSL's own variables, whose names resemble ours."""
_SIMILARITY = 0.8


def unknown_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each variable that looks like a misspelt one of the proxy, sorted by name.

    Variables of other programs are in the same environment, so this is only a warning and never an error.
    """
    known = [variable.name for variable in VARIABLES]
    named = {*_OF_OTHERS, *split_list(environment.get("EXTRA_SSL_CERTS", ""))}
    sentences = []
    for name in sorted(environment):
        if not name.startswith(_PREFIXES) or name in named or any(variable.matches(name) for variable in VARIABLES):
            continue
        similar = difflib.get_close_matches(name, known, n=1, cutoff=_SIMILARITY)
        if similar:
            sentences.append(f"{name} is not a variable of the proxy; did you mean {similar[0]}?")
        elif name.startswith(_OWN_PREFIX):
            sentences.append(f"{name} is not a variable of the proxy and has no effect")
    return tuple(sentences)


def unclear_switches(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each switch that is set to neither yes nor no, in the order of the table."""
    texts = {variable.name: environment.get(variable.name, "").strip() for variable in VARIABLES if variable.is_switch}
    return tuple(f"{name}={shorten(text)!r}: {doubt(text)}" for name, text in texts.items() if text and doubt(text))
