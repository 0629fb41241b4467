r"""Translates directives that HAProxy has removed into its current syntax, so that settings of ten years ago still work.

In: a line, `HTTP_CHECK` or `APPSESSION` as the user wrote it. Out: lines that HAProxy 2.6 and 3.4 accept, or ValueError
that says what to write instead. A line that is not in these tables is returned unchanged: only HAProxy can check it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from proxy.grammar.rewrites import Rewrite, bounded, translate_request_line
from proxy.grammar.syntax import has_variable, quote, safe_word, split_words

_RENAMED = {
    "block": "http-request deny",
    "redispatch": "option redispatch",
    "clitimeout": "timeout client",
    "contimeout": "timeout connect",
    "srvtimeout": "timeout server",
    "timeout clitimeout": "timeout client",
    "timeout contimeout": "timeout connect",
    "timeout srvtimeout": "timeout server",
    "nbproc": "nbthread",
    "option forceclose": "option httpclose",
    "option http-tunnel": "option http-keep-alive",
    "option tcpsplice": "option splice-auto",
}
"""Old start of a line -> new start. `http-keep-alive` is what an application notices of the removed tunnel mode."""

_DENY = "write 'http-request deny if ...' with conditions on path, method or req.hdr(NAME)"
_ALLOW = "write 'http-request allow if ...' with conditions on path, method or req.hdr(NAME)"
_TARPIT = "write 'http-request tarpit if ...' with conditions on path, method or req.hdr(NAME)"
_RESPONSE_DENY = "write 'http-response deny if ...' with conditions on status or res.hdr(NAME)"
_REDUNDANT = "remove the line; HAProxy does not need it any more"
_REMOVED = {
    "appsession": "use the setting APPSESSION, or 'stick-table' with 'stick match' and 'stick store-response'",
    "bind-process": _REDUNDANT,
    "grace": _REDUNDANT,
    "stats bind-process": _REDUNDANT,
    "tune.chksize": "use tune.bufsize",
    "option http-use-htx": _REDUNDANT,
    "option http_proxy": "write 'http-request do-resolve' and 'http-request set-dst'",
    "cliexp": "write 'http-request replace-header', 'replace-path' or 'replace-pathq'",
    "srvexp": "write 'http-response replace-header'",
    **dict.fromkeys(("reqdeny", "reqideny"), _DENY),
    **dict.fromkeys(("reqallow", "reqiallow", "reqpass", "reqipass"), _ALLOW),
    **dict.fromkeys(("reqtarpit", "reqitarpit"), _TARPIT),
    **dict.fromkeys(("reqsetbe", "reqisetbe"), "write 'use_backend NAME if ...'"),
    **dict.fromkeys(("rspdeny", "rspideny"), _RESPONSE_DENY),
}

_DNS_WORDS = frozenset({"init-addr", "resolvers", "resolve-net", "resolve-opts", "resolve-prefer"})
"""Words of a server line, each with one argument."""

_HEADER_RULE = re.compile(r"(?P<side>req|rsp)(?P<any_case>i?)(?P<action>add|del|rep)")
_PLAIN_WORD = re.compile(r"[\w.:/{}()!,=*^$|?+~@%&<>;\[\]-]+", re.ASCII)
_HEADER = re.compile(r"(?P<name>[\w-]+):[ ]*(?P<value>.*)", re.ASCII)
_BLANKS = r"(?:(?:[ ]|\[[ ]\]|\\s|\[\[:space:\]\])[*+?]?)?"
_HEADER_PATTERN = re.compile(rf"\^(?P<name>[\w-]+):{_BLANKS}(?P<value>.*)", re.ASCII)
_NAME_PATTERN = re.compile(rf"(?P<name>\^?[^:]+):{_BLANKS}(?:\.\*)?\$?")
_CHECK = re.compile(r"(?:(?P<method>[A-Z]+) +)?(?P<uri>[/*][^ \r\n]*)(?: +(?P<version>HTTP/\d\.\d))?")
_SESSION = re.compile(r"(?P<cookie>\S+) len (?P<length>\d{1,9}) timeout (?P<hold>\d+(?:us|ms|[smhd])?)(?P<options>( \S+)*)")
MAX_KEY_LENGTH = 512
"""The longest key of a table of sessions. Each entry takes as much memory."""
SESSION_TABLE_SIZE = "100k"
"""The number of sessions that a service's table holds. When it is full, the least recently used one is dropped."""


def translate_lines(line: str) -> tuple[str, ...]:
    """Return the lines with the effect of `line`. Only an HTTP check with headers becomes more than one.

    If no line does the same, raises ValueError that says what to write instead.
    """
    words = split_words(line)
    if words[:2] == ("option", "httpchk") and any("\n" in word for word in words):
        return translate_http_check(line)
    return (translate_line(line),)


def translate_server_words(text: str) -> str:
    """Return the words of a server line without those about the DNS.

    They made HAProxy follow the addresses of containers. The proxy itself follows them: a server has an address, not a name.
    """
    words = text.split()
    kept = [word for before, word in zip(["", *words], words, strict=False) if not {before, word} & _DNS_WORDS]
    return " ".join(kept) if len(kept) < len(words) else text


def translate_line(line: str) -> str:
    """Return `line` as HAProxy 2.6 and 3.4 accept it. A line that is not obsolete is returned unchanged."""
    words = split_words(line)
    starts = [" ".join(words[:length]) for length in (2, 1)]
    for start in starts:
        if start in _REMOVED:
            raise ValueError(f"{start!r} was removed from HAProxy; {_REMOVED[start]}")
    known = next((start for start in starts if start in _RENAMED), "")
    rule = _HEADER_RULE.fullmatch(words[0]) if words else None
    if not (known or rule or starts[1] == "monitor-net"):
        return line
    if has_variable(line):
        raise ValueError(
            f"{words[0]!r} was removed from HAProxy, and a line with an environment variable cannot be translated"
        )
    if known:
        return _join(_RENAMED[known], words[len(known.split()) :])
    if rule:
        return _translate_header_rule(rule, words)
    return _join("http-request return status 200 if", ("{", "src", *words[1:], "}"))


def translate_http_check(text: str) -> tuple[str, ...]:
    r"""Return the lines for an HTTP check written as the arguments of the old `option httpchk`.

    The format is `[METHOD] URI [VERSION[\r\nNAME:\ value]...]` (HAProxy 1.5, section 4.2). Line breaks may be real or
    escaped.
    """
    start, *headers = re.split(r"\r?\n", " ".join(split_words(text)).strip())
    match = _CHECK.fullmatch(start.removeprefix("option httpchk ").strip())
    if match is None:
        raise ValueError(r"is not an HTTP check; write '[METHOD] URI [VERSION]', such as 'HEAD / HTTP/1.1\r\nHost:\ www'")
    line = ["http-check send meth", match["method"] or "OPTIONS", "uri", _word(match["uri"])]
    if match["version"]:
        line += ["ver", match["version"]]
    for header in headers:
        parts = _HEADER.fullmatch(header)
        if parts is None:
            raise ValueError(
                "has a line that is not a header such as 'NAME: value'; to send a body, write a line 'http-check send'"
            )
        line += ["hdr", parts["name"], _format_word(parts["value"])]
    return "option httpchk", " ".join(line)


def translate_appsession(text: str) -> tuple[str, ...]:
    """Return the lines that keep a session on the server that created it, as `appsession` did (HAProxy 1.5, section 4.2).

    The format is `COOKIE len LENGTH timeout TIME [request-learn] [mode path-parameters|query-string]`. The session is
    identified by the server's own cookie; a request may also carry it in its URI. The table is in the worker's memory. A
    reload loses it, unless the `stick-table` line gets `peers`.
    """
    match = _SESSION.fullmatch(" ".join(text.split()))
    if match is None:
        raise ValueError("is not 'COOKIE len LENGTH timeout TIME', such as 'JSESSIONID len 52 timeout 3h'")
    cookie, length, options = safe_word(match["cookie"]), int(match["length"]), match["options"].strip()
    if re.search(r"[(),;=]", cookie) or not length:
        raise ValueError(f"needs a cookie's name and a length of at least 1, not {cookie!r} and {length}")
    if length > MAX_KEY_LENGTH:
        raise ValueError(f"has a length of more than {MAX_KEY_LENGTH}")
    # After a ';' the value that HAProxy reads includes the query string, which does not belong to it.
    path_parameter = f"urlp({cookie},;),field(1,?)"
    uri = {"": path_parameter, "mode path-parameters": path_parameter, "mode query-string": f"urlp({cookie})"}
    learns, mode = "request-learn" in options.split(), " ".join(options.replace("request-learn", "").split())
    if mode not in uri:
        raise ValueError(f"option {mode!r} has no equivalent; use COOKIE, or remove the option")
    return (
        f"stick-table type string len {length} size {SESSION_TABLE_SIZE} expire {match['hold']}",
        f"stick match req.cook({cookie})",
        f"stick match {uri[mode]}",
        *((f"stick store-request req.cook({cookie})",) if learns else ()),
        f"stick store-response res.cook({cookie})",
    )


def _translate_header_rule(rule: re.Match[str], words: Sequence[str]) -> str:
    keyword, action = rule.group(), rule["action"]
    arguments, condition = _split_condition(keyword, words[1:], count=2 if action == "rep" else 1)
    directive = "http-request" if rule["side"] == "req" else "http-response"
    if action == "add":
        return _join(f"{directive} {_add(keyword, *arguments)}", condition)
    if action == "del":
        return _join(f"{directive} {_delete(keyword, *arguments)}", condition)
    rewrite = _replace(keyword, *arguments, flags="(?i)" if rule["any_case"] else "")
    return _join(f"{directive} {rewrite.action}", _for_methods(rewrite.methods, condition))


def _split_condition(keyword: str, words: Sequence[str], *, count: int) -> tuple[Sequence[str], Sequence[str]]:
    arguments, condition = words[:count], words[count:]
    if len(arguments) < count or (condition and condition[0] not in ("if", "unless")):
        raise ValueError(
            rf"{keyword!r} takes {count} word(s) and an optional condition; write a blank inside a word as '\ '"
        )
    return arguments, condition


def _add(keyword: str, header: str) -> str:
    match = _HEADER.fullmatch(header)
    if match is None:
        raise ValueError(rf"{keyword!r} needs a header, written as 'NAME:\ value'")
    return f"add-header {match['name']} {_format_word(match['value'])}"


def _delete(keyword: str, search: str) -> str:
    if match := re.fullmatch(r"\^(?P<name>[\w-]+)", search, re.ASCII):
        return f"del-header {match['name']} -m beg"
    if match := _HEADER_PATTERN.fullmatch(search):
        if match["value"] in ("", ".*", "$", ".*$"):
            return f"del-header {match['name']}"
    elif match := _NAME_PATTERN.fullmatch(search):
        return f"del-header {_word(bounded('(?i)' + match['name'] + '$'))} -m reg"
    raise ValueError(f"{keyword!r} was removed from HAProxy; write 'http-request del-header NAME' or http-response")


def _replace(keyword: str, search: str, replacement: str, *, flags: str) -> Rewrite:
    pattern, header = _HEADER_PATTERN.fullmatch(search), _HEADER.fullmatch(replacement)
    if pattern and header and pattern["name"].lower() == header["name"].lower():
        value = quote(bounded(f"{flags}^{pattern['value']}"))
        return Rewrite(action=f"replace-header {pattern['name']} {value} {_format_word(header['value'])}")
    path = translate_request_line(search, replacement) if keyword.startswith("req") else None
    if path:
        action = f"replace-pathq {quote(bounded(flags + path.pattern))} {_format_word(path.replacement)}"
        return Rewrite(action=action, methods=path.methods)
    raise ValueError(
        f"{keyword!r} was removed from HAProxy, and this pattern cannot be translated reliably; write "
        "'replace-header NAME PATTERN VALUE', 'replace-path' or 'set-header' after http-request or http-response"
    )


def _for_methods(methods: Sequence[str], condition: Sequence[str]) -> Sequence[str]:
    """Add to a condition that the request has one of the methods; none are all."""
    if not methods:
        return condition
    if condition and (condition[0] != "if" or {"or", "||"} & {*condition}):
        raise ValueError("names a method besides a condition with 'unless' or 'or'; write 'http-request replace-path'")
    return ["if", "{", "method", *methods, "}", *condition[1:]]


def _join(start: str, words: Sequence[str]) -> str:
    return " ".join([start, *map(_word, words)])


def _word(text: str) -> str:
    return text if _PLAIN_WORD.fullmatch(text) else quote(text)


def _format_word(text: str) -> str:
    """Return a word for a place where HAProxy expects a format (manual, section 8.2.6): a percent sign is doubled."""
    return quote(text.replace("%", "%%"))
