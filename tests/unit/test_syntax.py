"""Foreign text that is accepted stays one line, stays in its section, and reads no environment."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.grammar.syntax import (
    MAX_LINE_WORDS,
    has_variable,
    make_name,
    quote,
    safe_line,
    safe_word,
    split_list,
    split_words,
)

SECTIONS = ("global", "defaults", "frontend", "backend", "listen", "userlist", "peers", "resolvers", "healthcheck")
NASTY_TEXT = st.text(alphabet=st.sampled_from("abx \t\n\r\"'\\#$%{}().,;@-_0/é\x00\u2028\ud800"), max_size=40)
SECTION_LIKE = st.sampled_from(SECTIONS).flatmap(
    lambda word: st.sampled_from(
        (word, f'"{word}"', f"'{word}'", word[0] + '""' + word[1:], rf"\x{ord(word[0]):02x}{word[1:]}", word.upper())
    )
)


def lets_through(text: str, *, trusted: bool = False) -> str | None:
    try:
        return safe_line(text, trusted=trusted)
    except ValueError:
        return None


@given(st.one_of(NASTY_TEXT, st.text(max_size=40)), st.booleans())
def test_line_let_through_is_one_printable_line_of_few_words(text: str, trusted: bool) -> None:
    line = lets_through(text, trusted=trusted)

    assert line is None or re.search(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]", line) is None
    assert line is None or 1 <= len(split_words(line)) <= MAX_LINE_WORDS


@given(st.one_of(NASTY_TEXT, st.text(max_size=40)))
def test_words_behind_a_line_let_through_stay_words_of_their_own(text: str) -> None:
    """Nothing in the text swallows what a template prints after it on the same line."""
    line = lets_through(text)

    assert line is None or (*split_words(line), "check", "x y") == split_words(f"{line} check 'x y'")


@given(SECTION_LIKE, NASTY_TEXT)
def test_section_keyword_is_refused_however_it_is_spelt(keyword: str, rest: str) -> None:
    assert lets_through(f"{keyword} {rest}") is None


@given(NASTY_TEXT)
def test_line_let_through_twice_is_the_same(text: str) -> None:
    line = lets_through(text)

    assert line is None or line == safe_line(line)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("a\nbackend b", "line break", id="second-line"),
        pytest.param("", "empty", id="empty"),
        pytest.param("# remark", "empty", id="only-comment"),
        pytest.param(".if defined(X)", "starts with '.'", id="condition"),
        pytest.param('".if" defined(X)', "starts with '.'", id="quoted-condition"),
        pytest.param('server "a', "ends inside quotes", id="open-quote"),
        pytest.param("server a\\", "lone backslash", id="lone-backslash"),
        pytest.param("a " * (MAX_LINE_WORDS + 1), "words", id="too-many-words"),
        pytest.param('http-request set-header X "$STATS_AUTH"', "environment variable", id="variable"),
        pytest.param('http-request set-header X "\\\\${STATS_AUTH}"', "environment variable", id="escaped-backslash"),
        pytest.param("http-request set-header X %[env(STATS_AUTH)]", "environment variable", id="env-fetch"),
    ],
)
def test_line_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        safe_line(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("  balance source ", "balance source", id="blanks-around"),
        pytest.param("timeout\tserver 5s", "timeout server 5s", id="tab"),
        pytest.param("balance source # best", "balance source", id="comment"),
        pytest.param("http-request set-header X a\\ #b", "http-request set-header X a\\ ", id="comment-after-escaped-blank"),
        pytest.param("http-request set-header X 'a # b'", "http-request set-header X 'a # b'", id="quoted-hash"),
        pytest.param("http-request set-header X '\"$HOME\"'", "http-request set-header X '\"$HOME\"'", id="strong-dollar"),
        pytest.param('http-request set-header X "\\$5"', 'http-request set-header X "\\$5"', id="escaped-dollar"),
        pytest.param("http-request set-path /x$ if my_env(a)", "http-request set-path /x$ if my_env(a)", id="other-env"),
    ],
)
def test_line_is_let_through(text: str, expected: str) -> None:
    assert expected == safe_line(text)


def test_operator_may_refer_to_variables() -> None:
    line = 'http-request set-header X "${HOSTNAME}-%[env(HOME)]"'

    assert line == safe_line(line, trusted=True)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(r"a b\ c", ("a", "b c"), id="escaped-blank"),
        pytest.param("a 'b  c' d", ("a", "b  c", "d"), id="strong"),
        pytest.param(r'''a "b'c\"d\$e"''', ("a", "b'c\"d$e"), id="weak"),
        pytest.param(r"a '\x\n'", ("a", r"\x\n"), id="strong-keeps-backslashes"),
        pytest.param(r"^(.*)\.a\1 \x41\tb", (r"^(.*)\.a\1", "A\tb"), id="other-escapes-stay"),
        pytest.param("a ''", ("a", ""), id="empty-word"),
        pytest.param("'it'\\''s'", ("it's",), id="quote-in-strong-quotes"),
        pytest.param("a#b c", ("a",), id="comment-within-a-word"),
        pytest.param("", (), id="nothing"),
    ],
)
def test_words_are_split_as_haproxy_does(line: str, expected: tuple[str, ...]) -> None:
    assert expected == split_words(line)


@given(st.text(alphabet=st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\u2028\u2029")))
def test_quoted_text_is_one_word_and_itself(text: str) -> None:
    assert ("x", text, "y") == split_words(f"x {quote(text)} y")


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\x00b", "a\ud800b"], ids=["newline", "return", "nul", "surrogate"])
def test_quote_refuses_control_characters(text: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        quote(text)


@given(NASTY_TEXT)
def test_safe_word_is_one_word_that_means_itself(text: str) -> None:
    try:
        word = safe_word(text)
    except ValueError:
        return

    assert (word,) == split_words(word)
    assert not has_variable(word)


@given(st.text())
def test_name_holds_only_what_haproxy_takes_in_names(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.:-]+", make_name(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a, b ,c", ("a", "b", "c"), id="blanks"),
        pytest.param(r"a\,b,c", ("a,b", "c"), id="escaped-comma"),
        pytest.param(" ,, ", (), id="empty-entries"),
    ],
)
def test_list_is_split_at_commas(text: str, expected: tuple[str, ...]) -> None:
    assert expected == split_list(text)
