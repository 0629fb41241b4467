"""The only door through which foreign text enters haproxy.cfg, a map file or a runtime command.

Labels, variables and names are written by strangers. Everything here either returns text that is safe in its place, or
raises `ValueError` with what is wrong with it; the caller knows container and label and reports it.

Names follow two rules. They are injective: two things never have the same name. And a name determines everything about
its object that a running HAProxy can neither change nor tell, so that HAProxy can be read back by names, addresses,
states, weights, map rows and certificates alone. A name that has to be changed gets a digest of the original text behind
a sign that no unchanged name contains; whatever contains that sign counts as changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NewType

BackendName = NewType("BackendName", str)
ServerName = NewType("ServerName", str)

_NAME_UNSAFE = re.compile(r"[^A-Za-z0-9_.:-]")
_OWN_SECTION = re.compile(r"stats|http|tcp|workers|proxy_users|(port|tcp)_\d+|profile_[0-9a-f]+|GLOBAL|MASTER")
"""Names of sections in templates/haproxy.cfg.j2: since 3.3 no two sections may share one, of whatever kind. The last two
are proxies that HAProxy itself makes, for its sockets."""
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
"""What a line is made of (manual, section 2.2): strong quotes, weak quotes, and plain text with backslash escapes."""
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)")
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", **{sign: sign for sign in " \\#\"'"}}
_ENVIRONMENT_FETCH = re.compile(r"(?<![\w.-])env\(")
NAME_LENGTH = 200
"""Most characters of a name. HAProxy takes longer ones, but a file name has at most 255 bytes, and a line of the
server-state file, in which the names of a backend and a server stand, at most 2,000."""
DIGEST_LENGTH = 12
DIGEST_SIGN = ".:"
"""Stands in a changed name before the digest of the original text, and in no unchanged one."""
VARIANT_SIGN = "::"
"""Stands in the name of a backend or server before what tells its settings apart, and in no name before that."""
FILE_DIGEST_SIGN = "~~"
"""What `DIGEST_SIGN` is to file names."""
SHARED_PREFIX = "shared:"
"""What the names of backends begin with that several services share, and no other."""
SHARED_SIGN = ".."
_HAS_SIGN = re.compile(r"\.:|::|^:|:$")
_LONE_COLON = re.compile(r":(?=:)|^:|:$")
MAX_LINE_WORDS = 60
"""HAProxy refuses lines of more than 64 words (manual, section 2.2); what we add to a line stays below that."""


def split_list(text: str) -> tuple[str, ...]:
    r"""Split a comma list; `\,` is a literal comma. Blanks around entries and empty entries are dropped (spec 1.2)."""
    entries = re.split(r"(?<!\\),", text)
    return tuple(entry.replace("\\,", ",").strip() for entry in entries if entry.strip())


def safe_line(text: str, *, trusted: bool = False) -> str:
    """Return `text` as one configuration line that stays inside its section, without its comment.

    `trusted` lines come from the operator (the proxy's own variables) and may use `"$VARIABLE"` and `env(VARIABLE)`;
    those of a label may not, since they could read what the operator's environment holds.
    """
    line = text.replace("\t", " ").strip()
    if match := _CONTROL.search(line):
        raise ValueError(f"contains a line break or control character ({match.group()!r}); a setting is a single line")
    pieces = _split_pieces(line)
    # A comment would also cut off what is printed behind the text, such as the options of a server line.
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
    """Return the words of `line` as HAProxy reads them: quotes and escapes resolved, the comment left out.

    Environment variables are not looked up. Raises ValueError where the line ends inside quotes.
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
    """Return whether HAProxy would look up an environment variable in `line`: only weak quotes hold any."""
    return any("$" in _ESCAPE.sub("", piece["weak"]) for piece in _split_pieces(line) if piece.lastgroup == "weak")


def safe_word(text: str) -> str:
    """Return `text` if it is one printable word without quotes, escapes, blanks or comment signs."""
    if not text or not re.fullmatch(r"[!-~]+", text) or any(sign in text for sign in "\"'\\#$"):
        raise ValueError("must be a single word of printable characters without quotes, backslash, # or $")
    return text


def make_name(text: str) -> str:
    """Return a name HAProxy accepts (manual, section 2.2: letters, digits and `-_.:`) that resembles `text`."""
    return _NAME_UNSAFE.sub("-", text) or "-"


def make_digest(text: str) -> str:
    """Return what tells `text` from any other: long enough that nobody finds two texts of one digest."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_LENGTH]


def make_distinct_name(text: str, kind: str, *, is_taken: bool = False) -> str:
    """Return `text` if it can be a name as it stands; else a name that resembles it, with a digest of `text` behind it.

    `kind` is a word that tells apart equal texts of different origin. `is_taken` texts are kept for something else.
    """
    name = make_name(text)
    if name == text and len(text) <= NAME_LENGTH and not is_taken and not _HAS_SIGN.search(text):
        return text
    shown = _LONE_COLON.sub("-", name[: NAME_LENGTH - len(DIGEST_SIGN) - DIGEST_LENGTH])
    return f"{shown}{DIGEST_SIGN}{make_digest(f'{kind}/{text}')}"


def make_label(*pieces: str) -> str:
    r"""Join the names of a project, a service and a part to the one by which people know a service; no two share it.

    Empty pieces are left out. A `:` within a piece is written `\:`.
    """
    return ":".join(piece.replace("\\", "\\\\").replace(":", "\\:") for piece in pieces if piece)


def make_backend_name(label: str) -> BackendName:
    """Return the name of the backend of a service, given by its label (`project:service`)."""
    is_taken = _OWN_SECTION.fullmatch(label) is not None or label.startswith(SHARED_PREFIX)
    return BackendName(make_distinct_name(label, "service", is_taken=is_taken))


def make_shared_name(services: Sequence[BackendName]) -> BackendName:
    """Return the name of the backend that several services share, given by their own names."""
    name = SHARED_PREFIX + SHARED_SIGN.join(services)
    is_clear = not any(SHARED_SIGN in f".{service}." for service in services)
    if is_clear and make_distinct_name(name, "shared") == name:
        return BackendName(name)
    # A blank is in no name, so that it shows where each of them ends.
    return BackendName(make_distinct_name(SHARED_PREFIX + " ".join(services), "shared", is_taken=True))


def make_variant_name(service: BackendName, variant: str) -> BackendName:
    """Return the name of the backend that a service has with settings of its own, told apart by `variant`."""
    return BackendName(f"{service}{VARIANT_SIGN}{variant}")


def service_of_backend(backend: BackendName) -> BackendName:
    """Return the name that a service's backends begin with, whatever its settings."""
    return BackendName(backend.partition(VARIANT_SIGN)[0])


def make_server_name(text: str, kind: str, port: int, variant: str = "", *, is_taken: bool = False) -> ServerName:
    """Return the name of one port of a container that `text` tells from others, with settings told apart by `variant`."""
    name = f"{make_distinct_name(text, kind, is_taken=is_taken)}:{port}"
    return ServerName(f"{name}{VARIANT_SIGN}{variant}" if variant else name)


def make_file_name(text: str, kind: str, *, is_taken: bool = False) -> str:
    """Return `text` as the name of a file, without its ending; two differ even where `A` is no other letter than `a`.

    `kind` and `is_taken` are those of `make_distinct_name`. `:`, which would mean a line in commands on certificate lists,
    becomes `~`.
    """
    name = make_name(text).replace(":", "~")
    is_clear = text.replace(":", "~") == name == name.lower() and FILE_DIGEST_SIGN not in name
    if is_clear and len(name) <= NAME_LENGTH and not is_taken:
        return name
    return f"{name[:NAME_LENGTH]}{FILE_DIGEST_SIGN}{make_digest(f'{kind}/{text}')}"


def quote(text: str) -> str:
    """Return `text` as one HAProxy word, whatever printable characters it holds (strong quotes; manual, 2.2)."""
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
