"""Text from outside, made safe to show in a log or on a terminal.

In: any text, such as a label's. Out: one line. Control characters and signs that change the direction of writing are
escaped, because they would forge lines of a log or take over a terminal. Private keys, and passwords in addresses, are
hidden. `hide_passwords` also hides those that are words of settings in HAProxy's language.
"""

from __future__ import annotations

import re

HIDDEN = "***"
MIN_SECRET_LENGTH = 4
"""Shorter words are shown: nobody uses them as a password, and they are part of too many others."""

_CREDENTIALS = re.compile(r"(?:(?<=//)|(?<![^\s,;=('\"]))[^\s/@'\":]{1,64}:[^\s/@'\"]{1,256}@")
"""Bounded, so that a long label takes no time that grows with the square of its length."""
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_TELLING = r"[\w-]{0,40}(?:token|secret|key|passw|auth)[\w-]{0,40}"
_PASSWORD = re.compile(
    r"(\b(?:insecure-)?password[ \t]+)\S+"
    r"|(\bstats[ \t]+auth[ \t]+(?:[^\s:]+:)?)\S+"
    r"|(\b(?:pre)?setenv[ \t]+\S+[ \t]+).+"
    r"|((?:proxy-)?authorization['\"]?(?:[ \t:=,]|\\+[ \t])+).+"
    rf"|(\b(?:(?:set|add)-header|hdr)[ \t]+['\"]?{_TELLING}['\"]?[ \t]+).+"
    rf"|([?&]{_TELLING}=)[^\s&'\"]+",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\s'\"\\,]+")


def printable(text: str) -> str:
    r"""Return `text` as one line: a line break is shown as the two characters `\n`."""
    if not text.isprintable():
        text = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
    return _CREDENTIALS.sub(f"{HIDDEN}@", _PRIVATE_KEY.sub(HIDDEN, text))


def hide_passwords(text: str) -> str:
    """Return lines or words of a configuration without the passwords, tokens and keys that can be told by their place."""
    text = _CREDENTIALS.sub(f"{HIDDEN}@", _PRIVATE_KEY.sub(HIDDEN, text))
    return _PASSWORD.sub(lambda match: "".join(filter(None, match.groups())) + HIDDEN, text)


def hide_passwords_of(setting: str, message: str) -> str:
    """Return a message about a line or value without the words that `hide_passwords` takes out of that line or value."""
    shown = set(_WORD.findall(hide_passwords(setting)))
    for word in sorted({*_WORD.findall(setting)} - shown, key=len, reverse=True):
        message = message.replace(word, HIDDEN) if len(word) >= MIN_SECRET_LENGTH else message
    return message
