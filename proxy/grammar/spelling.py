"""Names that resemble known ones: what a misspelt label or variable was meant to be.

In: a name as a user wrote it, and the known names. Out: the known name that is meant. Case and separators count for nothing,
because most mistakes are about them (`virtual_host`, `aliyun_proxy.VIRTUAL-HOST`).
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable

SIMILARITY = 0.85
"""How similar two names must be (see `difflib`) where nothing else speaks for it. Lower values find unrelated names."""
IN_NAMESPACE = 0.6
"""How similar a label must be that begins with one of our prefixes: less, because it is certainly meant for the proxy."""

DEACTIVATE = "com.docker.dockercloud.haproxy.deactivate"
"""The only label of another program that has an effect (`core/labels/deactivation`)."""

_FIRST_WORD = re.compile(r"[a-z0-9]+")
_OUR_WORDS = ("aliyun", "aliyunproxy", "aliyunrouting", "aliyunprobe")
_HALF_PREFIXES = frozenset({"proxy", "haproxy", "acsproxy", "routing", "acsrouting"})
"""First words that people write in the place of `aliyun.proxy` and `aliyun.routing`."""


def squeeze(name: str) -> str:
    """Return the letters and digits of `name` in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def nearest(name: str, known: Iterable[str], *, similarity: float = SIMILARITY) -> str | None:
    """Return the known name that `name` most resembles; None if it resembles none of them."""
    by_letters = {squeeze(each): each for each in known}
    found = difflib.get_close_matches(squeeze(name), by_letters, n=1, cutoff=similarity)
    return by_letters[found[0]] if found else None


def is_kept(key: str) -> bool:
    """Say whether a label is kept of a container: those of ours, and the one that takes effect beside them."""
    return may_be_ours(key) or key == DEACTIVATE


@functools.lru_cache(maxsize=8192)
def may_be_ours(key: str) -> bool:
    """Say whether a label or variable starts with `aliyun.`, or could be meant so."""
    if key.startswith("aliyun."):
        return True
    first = _FIRST_WORD.search(key.lower())
    if first is None:
        return False
    word, letters = first[0], squeeze(key)
    if word in _HALF_PREFIXES or "aliyun" in letters or "virtualhost" in letters:
        return True
    return bool(difflib.get_close_matches(word, _OUR_WORDS, n=1, cutoff=0.8))
