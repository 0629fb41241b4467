"""Virtual hosts: the grammar `[scheme://]domain[:port][/path]`, and what an entry matches.

In: one entry's text. Out: `VirtualHost`. Its patterns are in the normal form in which requests are compared: lower case,
domain as ASCII (IDNA), path percent-encoded. `precedence` is the order in which entries are tried.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from proxy.errors import shorten
from proxy.grammar.syntax import bounded_list


class Scheme(StrEnum):
    """The schemes that an entry may name."""

    HTTP = "http"
    HTTPS = "https"
    WS = "ws"
    WSS = "wss"

    @property
    def is_tls(self) -> bool:
        """Whether clients speak TLS."""
        return self in (Scheme.HTTPS, Scheme.WSS)

    @property
    def is_websocket(self) -> bool:
        """Whether only requests with `Upgrade: websocket` match."""
        return self in (Scheme.WS, Scheme.WSS)

    @property
    def default_port(self) -> int:
        """The port of an entry that names none."""
        return 443 if self.is_tls else 80


MAX_ENTRIES = 500
"""The number of virtual hosts of one service."""
HOST_OF_REQUEST = "req.hdr(host),host_only,rtrim(.)"
DOMAIN_OF_REQUEST = f"{HOST_OF_REQUEST},lower"
"""How HAProxy reads the host of a request: without the port and the dot at the end; the second in the form of `domain`."""

MAX_ENTRY_LENGTH = 1024
MAX_WILDCARDS = 8
"""Each `*` adds to the work for every request. No real address has more than this."""

_ENTRY = re.compile(
    r"(?:(?P<scheme>[a-z]+)://)?(?P<domain>\[[0-9a-f:.]+\]|[^/:\s]*)(?::(?P<port>[^/]*))?(?P<path>/.*)?$",
    re.IGNORECASE,
)
_SCHEME_START = re.compile(
    r"(?P<scheme>https?|wss?)(?P<sign>[:;/\\\s：；／]*[:;/\\：；／])(?P<rest>.*)", re.IGNORECASE | re.DOTALL
)
_LABEL = re.compile(r"[a-z0-9_*](?:[a-z0-9_*-]*[a-z0-9_*])?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualHost:
    """One entry. An empty `path` means any path. In `domain` and `path`, a `*` stands for any text."""

    scheme: Scheme = Scheme.HTTP
    domain: str
    port: int = 80
    path: str = ""

    @property
    def has_exact_domain(self) -> bool:
        """Whether the domain is a name without wildcards."""
        return "*" not in self.domain

    @property
    def literal_length(self) -> int:
        """The number of characters in domain and path together, without the wildcards."""
        return len(self.domain) + len(self.path) - self.domain.count("*") - self.path.count("*")

    @property
    def plain_twin(self) -> VirtualHost | None:
        """The same entry without TLS, if this is https on port 443; else None. FORCE_SSL redirects its visitors."""
        if self.scheme is not Scheme.HTTPS or self.port != self.scheme.default_port:
            return None
        return VirtualHost(domain=self.domain, path=self.path)

    def __str__(self) -> str:
        port = "" if self.port == self.scheme.default_port else f":{self.port}"
        return f"{self.scheme}://{self.domain}{port}{self.path}"


def precedence(entry: VirtualHost, weight: int) -> tuple[int, bool, int, bool, bool, bool]:
    """Return the sort key of an entry. The entry with the smaller key is tried first.

    Higher weight first; exact host before wildcard; longer literal text first; a path before no path. Of two entries that
    are still equal, the narrower goes first: a path without wildcards, then an entry for WebSockets only. The caller adds
    the name as the last criterion.
    """
    return (
        -weight,
        not entry.has_exact_domain,
        -entry.literal_length,
        not entry.path,
        "*" in entry.path,
        not entry.scheme.is_websocket,
    )


def parse_virtual_hosts(text: str) -> tuple[VirtualHost, ...]:
    """Parse a comma list of entries. Raises ValueError that names the faulty entry. Repeated entries count once."""
    entries = tuple(dict.fromkeys(parse_virtual_host(entry) for entry in bounded_list(text, MAX_ENTRIES)))
    if not entries:
        raise ValueError("contains no virtual host; write [scheme://]domain[:port][/path]")
    return entries


def parse_virtual_host(text: str) -> VirtualHost:
    """Parse one entry. Raises ValueError that quotes it and says what is wrong."""
    if len(text) > MAX_ENTRY_LENGTH:
        raise ValueError(f"entry {shorten(text)!r} is longer than {MAX_ENTRY_LENGTH} characters")
    if fault := find_scheme_fault(text):
        raise ValueError(f"entry {shorten(text)!r} {fault}")
    match = _ENTRY.match(text)
    if not match:
        raise ValueError(f"entry {shorten(text)!r} is not [scheme://]domain[:port][/path]")
    if text.count("*") > MAX_WILDCARDS:
        raise ValueError(f"entry {shorten(text)!r} has more than {MAX_WILDCARDS} wildcards")
    try:
        scheme = Scheme((match["scheme"] or "http").lower())
    except ValueError:
        raise ValueError(f"entry {shorten(text)!r}: scheme {match['scheme']!r} is not http, https, ws or wss") from None
    if "@" in f"{match['domain']}{match['port']}":
        raise ValueError(f"entry {shorten(text)!r} has a user or password; remove what is before @")
    try:
        return VirtualHost(
            scheme=scheme,
            domain=parse_domain(match["domain"]),
            port=scheme.default_port if match["port"] is None else parse_port(match["port"]),
            path=parse_path(match["path"] or ""),
        )
    except ValueError as error:
        raise ValueError(f"entry {shorten(text)!r}: {error}") from None


def find_scheme_fault(text: str) -> str:
    """Return what is wrong with the sign behind a scheme, as in `http:/x`, `https//x` or `https:// x`; empty if nothing."""
    match = _SCHEME_START.match(text)
    if not match:
        return ""
    scheme, sign, rest = match["scheme"].lower(), match["sign"], match["rest"]
    is_host = sign == "/" or (sign == ":" and rest[:1].isdigit())  # a host that is called `http`
    if is_host or (sign == "://" and not rest[:1].isspace() and not _SCHEME_START.match(rest)):
        return ""
    return f"does not begin correctly; write {scheme}://, then the domain at once, such as {scheme}://www.example.com"


def parse_domain(text: str) -> str:
    """Return a domain, which may have wildcards, in the form in which requests carry it. Raises ValueError."""
    if not text:
        raise ValueError("has no domain; write * for any domain")
    if text.startswith("["):
        return _parse_ipv6(text)
    domain = _to_ascii(text).lower()
    domain = domain.rstrip(".") or domain
    for label in domain.split("."):
        if not _LABEL.match(label) and not (label == "" and "*" in domain):
            raise ValueError(
                f"domain {shorten(text)!r} has the invalid part {shorten(label)!r}; "
                "use letters, digits, * and, in between, -"
            )
    return domain


def parse_path(text: str) -> str:
    """Return a path, which may have wildcards, in the form in which requests carry it. Raises ValueError."""
    if re.search(r"[\x00-\x20\x7f]", text):
        raise ValueError("the path contains a blank or control character")
    if match := re.search(r"[，；、]|[;,]\s*\w+://", text):
        raise ValueError(f"the path contains {match.group()!r}; write each address as an entry of its own")
    if "?" in text or "#" in text:
        raise ValueError("the path contains ? or #; the query string is never matched")
    return urllib.parse.quote(text, safe="/*%~!$&'()+,;=:@-._[]|{}^<>\"`\\").lower()


def parse_port(text: str) -> int:
    """Return a TCP port. Raises ValueError unless it is a number from 1 to 65535."""
    if not re.fullmatch(r"0*\d{1,5}", text, re.ASCII) or not 1 <= int(text) <= 65535:
        raise ValueError(f"port {shorten(text)!r} is not a number from 1 to 65535")
    return int(text)


def _parse_ipv6(text: str) -> str:
    try:
        return f"[{ipaddress.IPv6Address(text.removeprefix('[').removesuffix(']'))}]"
    except ValueError:
        raise ValueError(f"domain {text!r} is not an IPv6 address in brackets") from None


def _to_ascii(text: str) -> str:
    """Return an international domain name as browsers send it (IDNA 2008; UTS 46 without transitional processing)."""
    if text.isascii():
        return text
    # Only names that are not ASCII need its tables. The supervisor, which lives as long as the proxy, must not carry them.
    import idna

    try:
        labels = idna.uts46_remap(text, std3_rules=False).split(".")
        return ".".join(label if label.isascii() else _encode(label, idna.encode) for label in labels)
    except idna.IDNAError as error:
        reason = f"is not a valid international domain name ({error}); you can write it in the form xn--..."
        raise ValueError(f"{text!r} {reason}") from None


def _encode(label: str, encode: Callable[[str], bytes]) -> str:
    if "*" in label:
        raise ValueError(f"{label!r} has a wildcard together with non-ASCII characters")
    return encode(label).decode("ascii")
