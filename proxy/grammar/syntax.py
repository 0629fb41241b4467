"""The only module through which foreign text enters haproxy.cfg, a map file or a runtime command.

Labels, variables and names are written by strangers. Everything here either returns text that is safe in its place, or
raises `ValueError` that says what is wrong with it. The caller knows the container and the label, and reports it.

Names follow two rules. They are injective: two things never have the same name. And a name determines everything about its
object that a running HAProxy can neither change nor report. So names, addresses, states, weights, map rows and certificates
are enough to compare HAProxy with the model. A name that has to be changed ends in a digest of the original text, behind a
sign that no unchanged name contains. A text that contains this sign is always changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NewType

BackendName = NewType("BackendName", str)
ServerName = NewType("ServerName", str)

_NAME_UNSAFE = re.compile(r"[^A-Za-z0-9_.:-]")
_OWN_SECTION = re.compile(
    r"stats|http|tcp|sources|cluster(_streams|_sources|_resolvers)?|workers|proxy_users|(port|tcp)_\d+|profile_[0-9a-f]+"
    r"|GLOBAL|MASTER"
)
"""Names of sections in proxy/templates/haproxy.cfg.j2. Since 3.3 no two sections may share a name, whatever kind they are.
The last two are proxies that HAProxy itself creates for its sockets."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_SECTION_KEYWORD = re.compile(
    r"global|defaults|frontend|backend|listen|userlist|peers|mailers|resolvers|program|ring|cache|http-errors|log-forward"
    r"|log-profile|fcgi-app|crt-store|traces|acme|namespace_list|healthcheck",
    re.IGNORECASE,
)
_PIECES = re.compile(
    r"""
    (?P<blank>[ ]+)
    | (?P<comment>\#.*)
    | '(?P<strong>[^']*)'
    | "(?P<weak>(?:\\.|[^"\\])*)"
    | (?P<plain>(?:\\.|[^ '"\\\#])+)
    """,
    re.VERBOSE,
)
"""The pieces of a line (manual, section 2.2): strong quotes, weak quotes, and plain text with backslash escapes."""
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)")
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", **{sign: sign for sign in " \\#\"'"}}
_ENVIRONMENT_FETCH = re.compile(r"(?<![\w.-])env\(")
NAME_LENGTH = 200
"""The maximum number of characters of a name. HAProxy accepts longer ones, but a file name has at most 255 bytes. A line of
the server-state file, which contains the names of a backend and a server, has at most 2,000."""
DIGEST_LENGTH = 12
DIGEST_SIGN = ".:"
"""Precedes the digest of the original text in a changed name. No unchanged name contains it."""
VARIANT_SIGN = "::"
"""Precedes the variant (it distinguishes settings) in the name of a backend or server. The part before never has it."""
FILE_DIGEST_SIGN = "~~"
"""The same as `DIGEST_SIGN`, for file names."""
SHARED_PREFIX = "shared:"
"""The start of the name of a backend that several services share. No other name starts with it."""
SHARED_SIGN = ".."
_HAS_SIGN = re.compile(r"\.:|::|^:|:$")
_LONE_COLON = re.compile(r":(?=:)|^:|:$")
MAX_LINE_WORDS = 60
"""HAProxy refuses lines of more than 64 words (manual, section 2.2). What we add to a line keeps it below that."""


def split_list(text: str) -> tuple[str, ...]:
    r"""Split a comma list; `\,` is a literal comma. Blanks around entries and empty entries are dropped (spec 1.2)."""
    entries = re.split(r"(?<!\\),", text)
    return tuple(entry.replace("\\,", ",").strip() for entry in entries if entry.strip())


def bounded_list(text: str, maximum: int) -> tuple[str, ...]:
    """Split a comma list that may have at most `maximum` entries. Raises ValueError if it has more."""
    entries = split_list(text)
    if len(entries) > maximum:
        raise ValueError(f"has {len(entries)} entries, more than {maximum}")
    return entries


def safe_line(text: str, *, trusted: bool = False) -> str:
    """Return `text` as one configuration line that stays inside its section, without its comment.

    `trusted` lines come from the operator (the proxy's own variables) and may use `"$VARIABLE"` and `env(VARIABLE)`. Lines
    of a label may not, because they could read secrets in the operator's environment. Raises ValueError with the reason.
    """
    line = text.replace("\t", " ").strip()
    if match := _CONTROL.search(line):
        raise ValueError(f"contains a line break or control character ({match.group()!r}); a setting is a single line")
    pieces = _split_pieces(line)
    # A comment would also hide the text that is printed after it, such as the options of a server line.
    while pieces and pieces[-1].lastgroup in ("comment", "blank"):
        pieces.pop()
    line = "".join(piece.group() for piece in pieces)
    words = split_words(line)
    if not words:
        raise ValueError("is empty")
    if _SECTION_KEYWORD.fullmatch(words[0]):
        raise ValueError(f"starts a new section ({words[0]!r}), but a setting must stay inside its section")
    if words[0].startswith("."):
        raise ValueError("starts with '.', which is not a setting")
    if len(words) > MAX_LINE_WORDS:
        raise ValueError(f"has {len(words)} words, more than {MAX_LINE_WORDS}")
    if not trusted and (has_variable(line) or any(_ENVIRONMENT_FETCH.search(word) for word in words)):
        raise ValueError("uses an environment variable of the proxy, but a container's setting must not read it")
    return line


def split_words(line: str) -> tuple[str, ...]:
    """Return the words of `line` as HAProxy reads them, with quotes and escapes resolved and without the comment.

    Environment variables are not replaced. Raises ValueError if the line ends inside quotes.
    """
    words: list[str] = []
    is_new = True
    for piece in _split_pieces(line):
        if piece.lastgroup in ("blank", "comment"):
            is_new = True
            continue
        text = piece[piece.lastgroup or 0]
        resolved = text if piece.lastgroup == "strong" else _resolve(text, in_quotes=piece.lastgroup == "weak")
        if is_new:
            words.append(resolved)
        else:
            words[-1] += resolved
        is_new = False
    return tuple(words)


def has_variable(line: str) -> bool:
    """Say whether HAProxy would replace an environment variable in `line`. It does so only inside weak quotes."""
    return any("$" in _ESCAPE.sub("", piece["weak"]) for piece in _split_pieces(line) if piece.lastgroup == "weak")


def safe_word(text: str) -> str:
    """Return `text` if it is one printable word without quotes, escapes, blanks or `#`; else raise ValueError."""
    if not text or not re.fullmatch(r"[!-~]+", text) or any(sign in text for sign in "\"'\\#$"):
        raise ValueError("must be a single word of printable characters without quotes, backslash, # or $")
    return text


def make_name(text: str) -> str:
    """Return a name that HAProxy accepts (manual, section 2.2: letters, digits and `-_.:`) and that resembles `text`."""
    return _NAME_UNSAFE.sub("-", text) or "-"


def make_digest(text: str) -> str:
    """Return a digest that identifies `text`. It is long enough that nobody finds two texts with the same digest."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_LENGTH]


def make_distinct_name(text: str, kind: str, *, is_taken: bool = False) -> str:
    """Return `text` if it can be a name without any change; else a name that resembles it, followed by a digest of `text`.

    `kind` is a word that distinguishes equal texts of different origin. `is_taken` says that the unchanged text is reserved
    for something else.
    """
    name = make_name(text)
    if name == text and len(text) <= NAME_LENGTH and not is_taken and not _HAS_SIGN.search(text):
        return text
    shown = _LONE_COLON.sub("-", name[: NAME_LENGTH - len(DIGEST_SIGN) - DIGEST_LENGTH])
    return f"{shown}{DIGEST_SIGN}{make_digest(f'{kind}/{text}')}"


def make_label(*pieces: str) -> str:
    r"""Join the names of a project, a service and a part into the label by which people know a service. It is unique.

    Empty pieces are left out. A `:` within a piece is written `\:`.
    """
    return ":".join(piece.replace("\\", "\\\\").replace(":", "\\:") for piece in pieces if piece)


def is_own_section(name: str) -> bool:
    """Say whether a section of the configuration that belongs to no service has this name."""
    return _OWN_SECTION.fullmatch(name) is not None


def make_backend_name(label: str) -> BackendName:
    """Return the name of a service's backend. `label` is the service's label (`project:service`)."""
    is_taken = is_own_section(label) or label.startswith(SHARED_PREFIX)
    return BackendName(make_distinct_name(label, "service", is_taken=is_taken))


def make_shared_name(services: Sequence[BackendName]) -> BackendName:
    """Return the name of the backend that several services share. `services` are the names of their own backends."""
    name = SHARED_PREFIX + SHARED_SIGN.join(services)
    is_clear = not any(SHARED_SIGN in f".{service}." for service in services)
    if is_clear and make_distinct_name(name, "shared") == name:
        return BackendName(name)
    # No name contains a blank, so the text shows where each name ends.
    return BackendName(make_distinct_name(SHARED_PREFIX + " ".join(services), "shared", is_taken=True))


def make_variant_name(service: BackendName, variant: str) -> BackendName:
    """Return the name of a service's backend with settings of its own. `variant` identifies the settings."""
    return BackendName(f"{service}{VARIANT_SIGN}{variant}")


def service_of_backend(backend: BackendName) -> BackendName:
    """Return the part of a backend's name that identifies the service, without the variant."""
    return BackendName(backend.partition(VARIANT_SIGN)[0])


def make_server_name(text: str, kind: str, port: int, variant: str = "", *, is_taken: bool = False) -> ServerName:
    """Return the server name of one port of a container. `text` identifies the container, `variant` the settings."""
    name = f"{make_distinct_name(text, kind, is_taken=is_taken)}:{port}"
    return ServerName(f"{name}{VARIANT_SIGN}{variant}" if variant else name)


def make_file_name(text: str, kind: str, *, is_taken: bool = False) -> str:
    """Return `text` as a file name without its ending. Different texts give different names, even if case is ignored.

    `kind` and `is_taken` are those of `make_distinct_name`. `:` would mean a line number in commands on certificate lists,
    so it becomes `~`.
    """
    name = make_name(text).replace(":", "~")
    is_clear = text.replace(":", "~") == name == name.lower() and FILE_DIGEST_SIGN not in name
    if is_clear and len(name) <= NAME_LENGTH and not is_taken:
        return name
    return f"{name[:NAME_LENGTH]}{FILE_DIGEST_SIGN}{make_digest(f'{kind}/{text}')}"


def quote(text: str) -> str:
    """Return `text` as one HAProxy word, whatever printable characters it contains (strong quotes; manual, section 2.2)."""
    if _CONTROL.search(text):
        raise ValueError("contains a line break or control character")
    return "'" + text.replace("'", "'\\''") + "'"


def _split_pieces(line: str) -> list[re.Match[str]]:
    pieces, end = [], 0
    while end < len(line):
        piece = _PIECES.match(line, end)
        if piece is None:
            raise ValueError("ends inside quotes or with a lone backslash")
        pieces.append(piece)
        end = piece.end()
    return pieces


def _resolve(text: str, *, in_quotes: bool) -> str:
    def resolve(match: re.Match[str]) -> str:
        escape = match[1]
        if len(escape) > 1:
            return chr(int(escape[1:], 16))
        if escape == "$" and in_quotes:
            return "$"
        return _ESCAPED.get(escape, match.group())

    return _ESCAPE.sub(resolve, text)
