"""The only door through which foreign text enters haproxy.cfg, a map file or a runtime command.

Labels, variables and names are written by strangers. Everything here either returns text that is safe in its place, or
raises `ValueError` with what is wrong with it; the caller knows container and label and reports it.
"""

from __future__ import annotations

import re
from typing import NewType

BackendName = NewType("BackendName", str)
ServerName = NewType("ServerName", str)

_NAME_UNSAFE = re.compile(r"[^A-Za-z0-9_.:-]")
_OWN_SECTION = re.compile(r"stats|http|tcp|workers|(port|tcp)_\d+|profile_[0-9a-f]+")
"""Names of sections in templates/haproxy.cfg.j2: since 3.3 no two sections may share one, of whatever kind."""
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
        raise ValueError(f"starts a new section ({words[0]!r}), which a setting may not do")
    if words[0].startswith("."):
        raise ValueError("starts with '.', which is not a setting")
    if len(words) > MAX_LINE_WORDS:
        raise ValueError(f"has {len(words)} words, more than {MAX_LINE_WORDS}")
    if not trusted and (has_variable(line) or any(_ENVIRONMENT_FETCH.search(word) for word in words)):
        raise ValueError("refers to an environment variable of the proxy, which a container's setting may not do")
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


VARIANT_SIGN = "::"
"""Stands in a backend's name behind the service's, and in no name of a service."""


def safe_word(text: str) -> str:
    """Return `text` if it is one printable word without quotes, escapes, blanks or comment signs."""
    if not text or not re.fullmatch(r"[!-~]+", text) or any(sign in text for sign in "\"'\\#$"):
        raise ValueError("must be a single word of printable characters without quotes, backslash, # or $")
    return text


def make_name(text: str) -> str:
    """Return a name HAProxy accepts (manual, section 2.2: letters, digits and `-_.:`) that resembles `text`."""
    return _NAME_UNSAFE.sub("-", text) or "-"


def make_backend_name(label: str) -> BackendName:
    """Return the backend's name for `project:service`; a lone service called like one of our sections is `:service`."""
    name = make_name(f":{label}" if _OWN_SECTION.fullmatch(label) else label)
    return BackendName(name.replace(VARIANT_SIGN, ":-"))


def make_variant_name(service: BackendName, variant: str) -> BackendName:
    """Return the name of the backend that a service has with settings of its own, told apart by `variant`."""
    return BackendName(f"{service}{VARIANT_SIGN}{variant}")


def service_of_backend(backend: BackendName) -> BackendName:
    """Return the name that a service's backends begin with, whatever its settings."""
    return BackendName(backend.partition(VARIANT_SIGN)[0])


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
