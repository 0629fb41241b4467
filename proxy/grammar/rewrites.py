r"""Rewrites of a request's first line, as `reqrep` made them, turned into rewrites of path and query.

In: the pattern and the replacement of the whole line, `METHOD PATH VERSION`. Out: those for path and query alone. Rule: a
rewrite of anything but the path is not translated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MATCH_LIMIT = 100_000
"""Steps that a pattern may take for one text, about 1 ms. A linear pattern needs fewer, even for the longest request."""

_UNBOUNDED = re.compile(r"(?<!\\)(?:[*+]|\{\d+,\})")
_BLANK = r"(?:[ ]|\\s|\[[ ]\])\+?"
_ANY_METHOD = r"(?:\[\^[^\]]*\]|\[A-Z\]|\\S|\\w)[*+]"
_METHODS = r"[A-Z]+(?:\|[A-Z]+)*"

_METHOD = re.compile(rf"\^\((?:{_ANY_METHOD}|(?P<methods>{_METHODS}))\){_BLANK}(?P<path>.+)")
_ANYTHING = re.compile(rf"\^\(\.[*+]\){_BLANK}(?P<path>\(?/.+)")
_METHOD_WITH_PATH = re.compile(rf"\^\((?:{_ANY_METHOD}|\.[*+]){_BLANK}(?P<start>/[^()]*)?\)(?P<path>.+)")
_UP_TO_A_PLACE = re.compile(r"\^\((?:\[\^ \])?\.[*+]\)(?P<path>[^ ].*)")
_ONE_METHOD = re.compile(rf"\^(?P<methods>[A-Z]+){_BLANK}(?P<path>.+)")

_VERSION_PATTERN = re.compile(r"[ ](?:\(?HTTP(?:/[^ ]*)?|\(\.\*\))\$?$")
_VERSION = re.compile(r"[ ](?:HTTP(?:/[^ ]*)?|\\\d)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """An action of `http-request` or `http-response`, for requests with one of the methods; none are all."""

    action: str
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRewrite:
    """What `replace-pathq` needs, for requests with one of the methods; none are all."""

    pattern: str
    replacement: str
    methods: tuple[str, ...] = ()


def bounded(pattern: str) -> str:
    """Return a pattern that ends a search that takes too long, as no match. One with a single repetition never does.

    HAProxy is one process for everybody: a pattern that tries every way to match would stop it (PCRE2, `LIMIT_MATCH`).
    """
    return f"(*LIMIT_MATCH={MATCH_LIMIT}){pattern}" if len(_UNBOUNDED.findall(pattern)) > 1 else pattern


def translate_request_line(search: str, replacement: str) -> PathRewrite | None:
    """Return the rewrite of path and query, if the rewritten request line changes only these; else None."""
    return (
        _without_method(search, replacement)
        or _with_literal_method(search, replacement)
        or _with_start_of_path(search, replacement)
    )


def _without_method(search: str, replacement: str) -> PathRewrite | None:
    """`^(METHOD) PATH` -> `\\1 PATH`: the method was group 1, and is gone. The path's groups get numbers smaller by one."""
    request = _METHOD.fullmatch(search) or _ANYTHING.fullmatch(search)
    if request is None or not replacement.startswith((r"\1 /", r"\1 \2")):
        return None
    parts = _without_version(request["path"], replacement.removeprefix(r"\1 "))
    if parts is None or r"\1" in parts[1]:
        return None
    path = re.sub(r"\\(\d)", lambda group: f"\\{int(group[1]) - 1}", parts[1])
    methods = request.groupdict().get("methods") or ""
    return PathRewrite(pattern=f"^{parts[0]}", replacement=path, methods=tuple(methods.split("|")) if methods else ())


def _with_literal_method(search: str, replacement: str) -> PathRewrite | None:
    """`^GET PATH` -> `GET PATH`."""
    request = _ONE_METHOD.fullmatch(search)
    if request is None or not replacement.startswith((f"{request['methods']} /", rf"{request['methods']} \1")):
        return None
    parts = _without_version(request["path"], replacement.partition(" ")[2])
    return parts and PathRewrite(pattern=f"^{parts[0]}", replacement=parts[1], methods=(request["methods"],))


def _with_start_of_path(search: str, replacement: str) -> PathRewrite | None:
    r"""`^(METHOD /)PATH` -> `\1PATH`, or `^(.*)PATH` -> `\1PATH`: group 1 keeps the part of it that is the path's."""
    if not replacement.startswith("\\1"):
        return None
    if request := _METHOD_WITH_PATH.fullmatch(search):
        start = request["start"] or ""
    elif request := _UP_TO_A_PLACE.fullmatch(search):
        start = ".*"
    else:
        return None
    parts = _without_version(request["path"], replacement)
    return parts and PathRewrite(pattern=f"^({start}){parts[0]}", replacement=parts[1])


def _without_version(pattern: str, path: str) -> tuple[str, str] | None:
    if _VERSION_PATTERN.search(pattern):
        pattern, path = _VERSION_PATTERN.sub("", pattern), _VERSION.sub("", path)
    if " " in re.sub(r"\[[^\]]*(\]|$)", "", pattern) + path:
        return None
    return pattern, path
