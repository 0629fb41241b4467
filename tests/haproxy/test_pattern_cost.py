"""The cost of regular expressions grows at most with the length of the text. The PCRE library of each HAProxy counts it."""

from __future__ import annotations

import ctypes
import re
import subprocess

import pytest

from proxy.core.labels.stickiness import COOKIE, stickiness_lines
from proxy.grammar.legacy import translate_line
from proxy.grammar.syntax import split_words
from tests.haproxy.test_routing_matches_reference import model_of

pytestmark = pytest.mark.haproxy

NO_START_OPTIMIZE, NO_JIT = 0x10000, 0x2000
MATCH_LIMIT_REACHED = -47
DEFAULT_LIMIT = 10_000_000


class Pcre:
    """The library that an HAProxy uses. It is called without the shortcuts that spare a search in lucky cases."""

    def __init__(self, binary: str) -> None:
        linked = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
        found = re.search(r"libpcre2-8\S* => (\S+)", linked) or pytest.fail(f"{binary} has no PCRE2")
        self._library = ctypes.CDLL(found[1])
        for name in ("compile", "match_data_create_from_pattern", "match_context_create"):
            getattr(self._library, f"pcre2_{name}_8").restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.pcre2_match_context_create_8(None))

    def compile(self, pattern: str) -> ctypes.c_void_p:
        error, offset = ctypes.c_int(), ctypes.c_size_t()
        text, length = pattern.encode(), ctypes.c_size_t(len(pattern))
        places = (ctypes.byref(error), ctypes.byref(offset))
        code = self._library.pcre2_compile_8(text, length, NO_START_OPTIMIZE, *places, None)
        return ctypes.c_void_p(code or pytest.fail(f"{pattern}: error {error.value} at {offset.value}"))

    def match(self, code: ctypes.c_void_p, text: str, limit: int = DEFAULT_LIMIT) -> int:
        """Return the library's result: more than 0 for a match, else why there is none."""
        data = ctypes.c_void_p(self._library.pcre2_match_data_create_from_pattern_8(code, None))
        self._library.pcre2_set_match_limit_8(self._context, limit)
        length, start = ctypes.c_size_t(len(text)), ctypes.c_size_t(0)
        result: int = self._library.pcre2_match_8(code, text.encode(), length, start, NO_JIT, data, self._context)
        self._library.pcre2_match_data_free_8(data)
        return result

    def steps(self, pattern: str, text: str) -> int:
        """Return how many steps the search takes: the smallest limit that it does not reach."""
        code = self.compile(pattern)
        low, high = 0, DEFAULT_LIMIT
        assert self.match(code, text, high) != MATCH_LIMIT_REACHED, f"{pattern} takes more than {high} steps"
        while high - low > 1:
            middle = (low + high) // 2
            if self.match(code, text, middle) == MATCH_LIMIT_REACHED:
                low = middle
            else:
                high = middle
        return high


def pattern_of(entry: str) -> str:
    """Return the row of an entry that is found by a regular expression."""
    (frontend,) = model_of({"web": (entry, 0)}).frontends
    ((pattern, _),) = frontend.tables.patterns + frontend.tables.wildcards[:1]
    return pattern


HOSTILE = {
    "two-wildcards": ("*/v*/users/*.json", "hx/v", "/users/.json", "x"),
    "eight-in-the-path": ("x.com/*a*a*a*a*a*a*q*b", "hx.com/", "a", "x"),
    "eight-in-the-host": ("*a*a*a*a*a*a*q*b", "h", "a", "/"),
    "eight-of-any-host": ("*/*a*a*a*a*a*q*b", "hx/aaaaaq", "a", "c"),
    "literal-that-nearly-fits": (f"*/*{'ab' * 20}c*d", "hx/", "ab", "x"),
    "folders": ("*.com/*/*/*/*/*/*/x", "hx.com", "/a", "/"),
    "no-path": ("*a*.com", "h", "a.co", "/"),
}
"""Name of the case -> entry, and what a visitor sends: the begin, what is repeated, the end."""


@pytest.mark.parametrize(("entry", "begin", "repeated", "end"), HOSTILE.values(), ids=HOSTILE)
def test_cost_of_an_entry_grows_with_the_length_of_the_request(
    entry: str, begin: str, repeated: str, end: str, haproxy_binary: str
) -> None:
    pcre, pattern = Pcre(haproxy_binary), pattern_of(entry)

    short, long = (pcre.steps(pattern, begin + repeated * (size // len(repeated)) + end) for size in (1_000, 15_000))

    assert long <= 16 * short


COOKIES = {"separators": ";", "blanks": "; ", "wide": ";" + " " * 99, "name": f"; {COOKIE}", "others": "a=b; "}


@pytest.mark.parametrize("repeated", COOKIES.values(), ids=COOKIES)
def test_cost_of_removing_a_cookie_grows_with_the_length_of_the_header(repeated: str, haproxy_binary: str) -> None:
    line = next(line for line in stickiness_lines(idle_seconds=60, life_seconds=60) if "replace-header" in line)
    pcre, pattern = Pcre(haproxy_binary), split_words(line)[3]

    short, long = (pcre.steps(pattern, repeated * (size // len(repeated))) for size in (1_000, 15_000))

    assert long <= 16 * short


OLD_LINES = {
    "path": (r"reqrep ^([^\ ]*)\ /(a*)*c \1\ /", "/aac", "/" + "a" * 15_000),
    "header": (r"reqirep ^X-Name:\ (.*)a(.*)a(.*)ca(.*)b$ X-Name:\ b", "aacaab", "/c" + "a" * 15_000 + "b"),
    "name": (r"reqidel ^(a*)*c:", "aac", "a" * 15_000),
}
"""Name of the case -> a line with a pattern that backtracks, what it matches, and what a visitor sends."""


@pytest.mark.parametrize(("old", "matching", "hostile"), OLD_LINES.values(), ids=OLD_LINES)
def test_pattern_of_an_old_line_gives_up_early(old: str, matching: str, hostile: str, haproxy_binary: str) -> None:
    pattern = next(word for word in split_words(translate_line(old)) if "^" in word)
    pcre = Pcre(haproxy_binary)
    code = pcre.compile(pattern)

    assert 0 < pcre.match(code, matching)
    assert MATCH_LIMIT_REACHED == pcre.match(code, hostile)
