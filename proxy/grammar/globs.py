"""Globs as regular expressions that never backtrack, for HAProxy's maps (PCRE) and for Python alike.

In: a glob, in which each `*` stands for any text. Out: a regular expression. Its cost grows in proportion to the length of
the text. The text comes from visitors, and a slow match stops a whole worker of HAProxy.

What follows a literal has the most text to choose from if the literal is taken where it occurs first. So an atomic group
takes it there, and no other place is tried. The last literal is compared with the end of the text.
"""

from __future__ import annotations

import re


def translate_glob(glob: str, any_sign: str = ".") -> str:
    """Return a regular expression for `glob`, whose `*` stands for any number of `any_sign`.

    If the glob ends in `*`, the expression takes all of these signs. The caller adds what must follow, such as `$`.
    """
    if "*" not in glob:
        return re.escape(glob)
    first, *inner, last = glob.split("*")
    found = "".join(f"(?>{any_sign}*?{re.escape(literal)})" for literal in inner if literal)
    end = f"{any_sign}{{{len(last)},}}+(?<={re.escape(last)})" if last else f"{any_sign}*+"
    return f"{re.escape(first)}{found}{end}"
