"""Text from outside, made safe to show in a log or on a terminal.

In: any text, such as a label's. Out: one line. Control characters and signs that change the direction of writing are
escaped, because they would forge lines of a log or take over a terminal. Passwords in addresses are hidden.
"""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(?<=//)[^\s/@'\"]+:[^\s/@'\"]+@")


def printable(text: str) -> str:
    r"""Return `text` as one line: a line break is shown as the two characters `\n`."""
    if not text.isprintable():
        text = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
    return _CREDENTIALS.sub("***@", text)
