"""What people often do wrong in a value, told beside the reason for which it is refused.

In: a refused text, and the reason. Out: the reason, with advice where the text shows a typical mistake. Nothing of the text
is quoted but single signs, so this can be used for secrets too.
"""

from __future__ import annotations

import unicodedata

_WIDE = {"、": ",", "。": "."}
"""Signs of Chinese text whose plain form is not what Unicode calls compatible."""


def is_in_quotes(text: str) -> bool:
    """Return whether the whole text is in quotes, as in Compose's list form `- "KEY='value'"`."""
    return len(text) > 1 and text[0] == text[-1] and text[0] in "'\""


def without_quotes(text: str) -> str:
    """Return the text without the quotes around it."""
    return text[1:-1].strip() if is_in_quotes(text) else text


def add_hint(reason: str, text: str, separator: str = "", *, has_blanks: bool = False) -> str:
    """Return the reason for which `text` is refused, with advice.

    `separator` is what separates the entries of a list. `has_blanks` says that an entry may be several words.
    """
    if is_in_quotes(text):
        return "is in quotes, and they are part of the value; in a list of a Compose file write - KEY=value, without them"
    for sign in text:
        plain = _WIDE.get(sign) or unicodedata.normalize("NFKC", sign)
        if plain != sign and len(plain) == 1 and plain.isascii() and not plain.isalnum():
            return f"{reason}; it contains {sign!r}: write {plain!r} instead"
    wrong = {",", ";", "\n"} if has_blanks else {",", ";", "\n", " "}
    if separator and any(sign in text.replace(f"{separator} ", separator) for sign in wrong - {separator}):
        return f"{reason}; separate entries with {separator!r}"
    return reason
