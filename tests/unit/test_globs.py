"""Globs as regular expressions: they match what the reference matches, and never backtrack."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.model.matching import matches_domain
from proxy.grammar.globs import translate_glob
from tests.reference_matcher import glob

GLOBS = st.text("ab.*", max_size=12)
TEXTS = st.text("ab.", max_size=20)


@given(GLOBS, TEXTS)
@example("ab*bc", "abc")
@example("a*b*ab", "abab")
@example("**a**", "a")
def test_glob_matches_what_the_reference_matches(pattern: str, text: str) -> None:
    found = re.fullmatch(translate_glob(pattern), text) is not None

    assert glob(pattern, text) == found


@given(GLOBS, GLOBS, TEXTS, TEXTS)
def test_glob_of_a_host_ends_where_the_path_begins(host: str, path: str, domain: str, target: str) -> None:
    pattern = f"^{translate_glob(host, '[^/]')}{translate_glob(f'/{path}')}$"

    assert (glob(host, domain) and glob(path, target)) == (re.match(pattern, f"{domain}/{target}") is not None)


def test_many_wildcards_do_not_multiply_the_work() -> None:
    """A search that tries every combination would not end in a human life."""
    assert not matches_domain("*" + "a*" * 7 + "b", "a" * 1000)
    assert matches_domain("*" + "a*" * 6 + "q*b", "aaaaaaq" + "a" * 1000 + "b")
