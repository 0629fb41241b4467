"""Sample expressions of HAProxy (manual, section 7.3), as far as a label may use them: what they read is the request.

In: a word such as `req.hdr(X-User),lower`. Out: nothing, or ValueError that names the function at fault. Functions are
allowed by name. So those that read files or other services' sections, or change what all services share, are refused, and
those of a later HAProxy as well until somebody has looked at them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from proxy.grammar.keywords import CONVERTERS, FETCHES

_CALL = re.compile(
    r"""(?P<name>[\w.+-]+)(?:\((?P<arguments>(?:[^()'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")*)\))?(?P<end>,+|$)"""
)

_FETCH_FAMILY = re.compile(r"(?:req|res|txn|capture|fc|bc)\.[\w.]+|(?:fc|bc|cur|distcc)_\w+|ssl_(?:fc|bc|c|s|f)(?:_\w+)?")
_OWN_COUNTER = re.compile(r"(?:be|fe|srv|src|sc[0-9]|sc)_\w+|nbsrv|queue|avg_queue|connslots")
"""They read the service's own section unless an argument names another one."""
_MATCH_SUFFIX = re.compile(r"_(?:beg|dir|dom|end|len|reg|sub|str)$")
"""The old form of `-m beg` and so on: `hdr_beg(host)`."""

_FORMAT = re.compile(r"%(?:\([^)]*\))?(?:\{[^}]*\})?\[(?=[A-Za-z])")
"""The beginning of an expression in a format. In a regular expression, `%[0-9a-f]` begins none."""
_FILE_FUNCTION = re.compile(r"(?:^|[,\[ ])(?P<name>map(?:_\w+)?|lua\.[\w.-]+|jwt_verify\w*|jwt_decrypt\w*)\(")
_SECTION_FUNCTION = re.compile(r"(?:^|[,\[ ])(?P<name>in_table|table_\w+|http_auth|http_auth_group)\(")
_SHARED_VARIABLE = re.compile(r"[(,]\s*proc\.")


def check_expression(text: str) -> None:
    """Raise ValueError unless `text` is an expression, and all its functions are allowed."""
    check_calls(text)
    (fetch, arguments), *converters = _split_calls(text)
    if not _is_allowed_fetch(fetch, arguments):
        raise ValueError(f"uses {_shown(fetch)}, which a label may not use in an expression")
    for name, _ in converters:
        if name not in CONVERTERS:
            raise ValueError(f"uses {_shown(name)}, which a label may not use as a converter")


def check_formats(text: str) -> None:
    """Raise ValueError unless all expressions `%[...]` in `text` are allowed."""
    for match in _FORMAT.finditer(text):
        check_expression(_up_to_bracket(text[match.end() :]))


def check_calls(text: str) -> None:
    """Raise ValueError if `text`, wherever it is used, calls a function that reads a file or somebody else's section."""
    if match := _FILE_FUNCTION.search(text):
        raise ValueError(f"uses {match['name']}(), which reads a file")
    if match := _SECTION_FUNCTION.search(text):
        raise ValueError(f"uses {match['name']}(), which reads another section of the configuration")
    if _SHARED_VARIABLE.search(text):
        raise ValueError("uses a variable of the scope 'proc', which all services share")


def _split_calls(text: str) -> Iterator[tuple[str, str | None]]:
    position = 0
    while position < len(text) or position == 0:
        match = _CALL.match(text, position)
        if match is None or match.end() == position:
            raise ValueError("has an expression that cannot be read; write one such as req.hdr(X-User),lower")
        yield match["name"], match["arguments"]
        position = match.end()


def _is_allowed_fetch(name: str, arguments: str | None) -> bool:
    plain = _MATCH_SUFFIX.sub("", name)
    if plain in FETCHES or _FETCH_FAMILY.fullmatch(plain):
        return True
    return bool(_OWN_COUNTER.fullmatch(name)) and re.fullmatch(r"[\d, ]*", arguments or "") is not None


def _shown(name: str) -> str:
    """Return how a message calls a function. A word that resembles none may be part of a password."""
    known = [*FETCHES, *CONVERTERS, "nbsrv", "be_conn", "srv_is_up", "debug", "env"]
    return f"{name}()" if difflib.get_close_matches(name, known, n=1, cutoff=0.8) else "a function"


def _up_to_bracket(text: str) -> str:
    """Return `text` up to the bracket that ends a `%[`. An expression holds others only in quotes or in parentheses."""
    depth, quote = 0, ""
    for position, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign == "]" and depth == 0:
            return text[:position]
        depth += (sign == "(") - (sign == ")") if not quote else 0
    return text
