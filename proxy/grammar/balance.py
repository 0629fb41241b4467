"""The balancing algorithms (manual, `balance`), with their arguments, as a label may name them.

In: the text of a label. Out: the same as safe text, or ValueError with the reason. Every argument is checked, because the
expression of `hash` could read files.
"""

from __future__ import annotations

import difflib
import re

from proxy.grammar.expressions import check_expression
from proxy.grammar.syntax import safe_line, split_words

_ALGORITHMS = {
    "roundrobin": r"",
    "static-rr": r"",
    "leastconn": r"",
    "first": r"",
    "source": r"",
    "random": r"(?:\(\d{1,4}\))?",
    "uri": r"(?: (?:len|depth) \d{1,5}| whole| path-only)*",
    "url_param": r" [\w.~-]+(?: check_post(?: \d{1,7})?)?",
    "hdr": r"\([\w-]+\)(?: use_domain_only)?",
    "rdp-cookie": r"(?:\([\w.-]+\))?",
    "hash": r" \S+",
}
"""Algorithm -> what may follow its name."""
_EXAMPLES = {"url_param": "url_param user", "hdr": "hdr(X-User)", "hash": "hash req.hdr(X-User)", "random": "random(2)"}


def parse_balance(text: str) -> str:
    """Parse a balancing algorithm with its arguments."""
    words = split_words(safe_line(text))
    line = " ".join(words)
    name = find_algorithm(line)
    if not re.fullmatch(_ALGORITHMS[name], line.removeprefix(name), re.ASCII):
        raise ValueError(f"has arguments that {name!r} does not take; write for example {_EXAMPLES.get(name, name)!r}")
    if name == "hash":
        check_expression(words[1])
    return safe_line(text)


def find_algorithm(line: str) -> str:
    """Return the algorithm at the beginning of a line. Raises ValueError if there is no such algorithm."""
    name = re.split(r"[ (]", line, maxsplit=1)[0]
    if name not in _ALGORITHMS:
        similar = difflib.get_close_matches(name.lower(), _ALGORITHMS, n=1)
        advice = f"did you mean {similar[0]!r}?" if similar else "use roundrobin, static-rr, leastconn, source, ..."
        raise ValueError(f"{name!r} is not a balancing algorithm; {advice}")
    return name
