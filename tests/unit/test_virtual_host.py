"""The grammar of VIRTUAL_HOST. Tests with real HAProxies check what an entry matches."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.grammar.virtual_host import Scheme, VirtualHost, parse_virtual_host, parse_virtual_hosts, precedence

GOOD = {
    "domain.com": VirtualHost(domain="domain.com"),
    "http://domain.com": VirtualHost(domain="domain.com"),
    "DOMAIN.com.": VirtualHost(domain="domain.com"),
    "domain.com:90": VirtualHost(domain="domain.com", port=90),
    "https://domain.com": VirtualHost(scheme=Scheme.HTTPS, domain="domain.com", port=443),
    "https://domain.com:444": VirtualHost(scheme=Scheme.HTTPS, domain="domain.com", port=444),
    "HTTPS://domain.com/Path": VirtualHost(scheme=Scheme.HTTPS, domain="domain.com", port=443, path="/path"),
    "ws://domain.com": VirtualHost(scheme=Scheme.WS, domain="domain.com", port=80),
    "wss://domain.com": VirtualHost(scheme=Scheme.WSS, domain="domain.com", port=443),
    "*": VirtualHost(domain="*"),
    "*/": VirtualHost(domain="*", path="/"),
    "www.e*e.com/*.do/": VirtualHost(domain="www.e*e.com", path="/*.do/"),
    "my_service": VirtualHost(domain="my_service"),
    "192.0.2.1:8080": VirtualHost(domain="192.0.2.1", port=8080),
    "[2001:DB8::1]:81/x": VirtualHost(domain="[2001:db8::1]", port=81, path="/x"),
    "münchen.example": VirtualHost(domain="xn--mnchen-3ya.example"),
    "例子.cn/路径": VirtualHost(domain="xn--fsqu00a.cn", path="/%e8%b7%af%e5%be%84"),
    "*.例子.cn": VirtualHost(domain="*.xn--fsqu00a.cn"),
    "Straße.de": VirtualHost(domain="xn--strae-oqa.de"),
    "βόλος.example.": VirtualHost(domain="xn--nxasmm1c.example"),
    "例子。CN": VirtualHost(domain="xn--fsqu00a.cn"),
    "Ｓhop.example": VirtualHost(domain="shop.example"),
    "XN--Strae-OQA.de": VirtualHost(domain="xn--strae-oqa.de"),
}

BAD = {
    "ftp://domain.com": "scheme 'ftp' is not http, https, ws or wss",
    "domain.com:0": "port '0' is not a number from 1 to 65535",
    "domain.com:http": "port 'http' is not a number from 1 to 65535",
    "domain.com:": "port '' is not a number from 1 to 65535",
    "/path": "has no domain; write * for any",
    "http://": "has no domain; write * for any",
    "domain.com/a b": "the path contains a blank or control character",
    "domain.com/a?b=c": "the path contains ? or #",
    "domain..com": "has the invalid part ''; use letters",
    "-domain.com": "has the invalid part '-domain'; use letters",
    "doma$in.com": "has the invalid part 'doma$in'; use letters",
    "☃.example": "is not a valid international domain name",
    "ü" * 70 + ".de": "is not a valid international domain name",
    "b*ü.de": "has a wildcard together with non-ASCII characters",
    "a" * 2000: "is longer than 1024 characters",
    "*" * 9 + ".com": "has more than 8 wildcards",
}


@pytest.mark.parametrize(("text", "expected"), GOOD.items(), ids=GOOD)
def test_entry_is_read_in_the_form_in_which_requests_are_compared(text: str, expected: VirtualHost) -> None:
    assert expected == parse_virtual_host(text)


@pytest.mark.parametrize(("text", "reason"), BAD.items(), ids=[text[:20] for text in BAD])
def test_bad_entry_is_quoted_with_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        parse_virtual_host(text)

    assert text[:40] in str(caught.value)


def test_entries_of_a_list_count_once_and_in_order() -> None:
    hosts = parse_virtual_hosts("b.com, http://a.com, , B.com:80")

    assert ("b.com", "a.com") == tuple(host.domain for host in hosts)


def test_list_without_an_entry_is_refused() -> None:
    with pytest.raises(ValueError, match="contains no virtual host"):
        parse_virtual_hosts(" , ")


@given(st.text(max_size=60))
def test_any_text_is_an_entry_or_refused(text: str) -> None:
    try:
        entry = parse_virtual_host(text)
    except ValueError:
        return

    assert entry == parse_virtual_host(str(entry))
    assert str(entry).isascii()
    assert not set(str(entry)) & set(" \t\r\n\x00")


TRIED_FIRST = {
    "weight": (("b.com", 1), ("a.com/longer", 0)),
    "exact-host-before-wildcard": (("a.com", 0), ("*.much.longer.com/with/path", 0)),
    "longer-literal-text": (("a.com/abc", 0), ("a.com/ab", 0)),
    "path-before-none": (("a.com/x", 0), ("abc.com", 0)),
    "wildcards-are-no-text": (("*.abcd.com", 0), ("***.abc.com", 0)),
    "path-without-wildcard": (("a.com/ab", 0), ("a.com/a*b", 0)),
    "websocket": (("ws://a.com", 0), ("http://a.com", 0)),
}


@pytest.mark.parametrize(("first", "second"), TRIED_FIRST.values(), ids=TRIED_FIRST)
def test_entries_are_tried_in_the_order_of_the_reference(first: tuple[str, int], second: tuple[str, int]) -> None:
    keys = [precedence(parse_virtual_host(text), weight) for text, weight in (second, first)]

    assert [keys[1], keys[0]] == sorted(keys)
