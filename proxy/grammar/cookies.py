"""The cookie for sticky sessions (manual, `cookie`), as a label may set it.

In: the text of a label. Out: `StickyCookie`. Every option is checked: a name or an attribute with other signs would change
what else the browser is told.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from proxy.grammar.syntax import safe_line, split_words
from proxy.grammar.virtual_host import VirtualHost, parse_domain

_NAME = re.compile(r"[\w.!%&*+^|~-]{1,128}", re.ASCII)
_FLAGS = frozenset(
    ["rewrite", "insert", "prefix", "indirect", "nocache", "postonly", "preserve", "httponly", "secure", "dynamic"]
)
_TIME = re.compile(r"\d{1,10}(?:us|ms|[smhd])?", re.ASCII)
_ATTRIBUTE = re.compile(r"(?:SameSite|Priority)=[A-Za-z]+|Partitioned|Path=/[\w./~-]*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class StickyCookie:
    """A cookie with its options. `directive` is what follows the word `cookie` in the configuration."""

    directive: str
    domains: tuple[str, ...] = ()

    def foreign_domain(self, hosts: Sequence[VirtualHost]) -> str:
        """Return a domain of the cookie to which none of `hosts` belongs; empty if there is none.

        A browser ignores such a cookie. Without hosts, the service gets requests for any host.
        """
        return next((domain for domain in self.domains if hosts and not _is_of(domain, hosts)), "")


def parse_cookie(text: str) -> StickyCookie:
    """Parse a cookie's name and options, as HAProxy's `cookie` directive takes them."""
    line = safe_line(text)
    name, *options = split_words(line)
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a cookie; write it first, for example 'SRV insert indirect nocache'")
    return StickyCookie(directive=line, domains=tuple(_parse_options(options)))


def _parse_options(options: Sequence[str]) -> Iterator[str]:
    """Yield the domains. Raises ValueError for an option that is not one of HAProxy's."""
    rest = iter(options)
    for option in rest:
        if option in _FLAGS:
            continue
        value = next(rest, "")
        if option in ("maxidle", "maxlife") and _TIME.fullmatch(value):
            continue
        if option == "attr" and _ATTRIBUTE.fullmatch(value):
            continue
        if option == "domain":
            if "*" in value:
                raise ValueError("the domain of a cookie has a wildcard; a cookie holds for all names below its domain")
            yield parse_domain(value.removeprefix("."))
            continue
        known = (*sorted(_FLAGS), "maxidle", "maxlife", "attr", "domain")
        if option in known:
            raise ValueError(f"the option {option!r} of the cookie has the value {value!r}, which is not possible")
        similar = difflib.get_close_matches(option, known, n=1)
        raise ValueError(f"{option!r} is not an option of a cookie" + (f"; did you mean {similar[0]!r}?" if similar else ""))


def _is_of(domain: str, hosts: Sequence[VirtualHost]) -> bool:
    """Return whether one of `hosts` is in `domain`, or may be: of a host with a wildcard, what follows it decides."""
    for host in hosts:
        end = host.domain.rpartition("*")[2]
        is_parent = "." in domain and f".{end}".endswith(f".{domain}")
        if domain == host.domain or is_parent or (not host.has_exact_domain and f".{domain}".endswith(end)):
            return True
    return False
