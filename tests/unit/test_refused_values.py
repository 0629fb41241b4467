"""Values that are refused, and the messages that people then read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.errors import SettingsError
from proxy.grammar.legacy import translate_http_check
from proxy.grammar.values import parse_tcp_ports
from proxy.grammar.virtual_host import parse_virtual_host
from proxy.settings.value_parsers import parse_variable_name
from tests.builders import make_pem, one_line
from tests.simple import simple_settings

REFUSED: dict[str, tuple[Callable[[str], object], str, str]] = {
    "no-port-at-all": (parse_tcp_ports, " , ", "contains no port"),
    "no-ipv6-address": (parse_virtual_host, "http://[::12345]", "is not an IPv6 address in brackets"),
    "wildcard-beyond-ascii": (parse_virtual_host, "*ü.example", "has a wildcard together with non-ASCII characters"),
    "label-too-long-as-ascii": (parse_virtual_host, "ü" * 63 + ".example", "not a valid international domain name"),
    "variable-with-a-blank": (parse_variable_name, "MY CERT", "is not the name of a variable"),
}


@pytest.mark.parametrize(("parse", "text", "reason"), REFUSED.values(), ids=REFUSED)
def test_value_is_refused_with_the_reason(parse: Callable[[str], object], text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text)


def test_empty_lines_at_the_end_of_a_check_are_no_headers() -> None:
    """Settings of ten years ago end with the empty line that HTTP requires."""
    check = r"HEAD / HTTP/1.1\r\nHost:\ www\r\n\r\n"

    assert translate_http_check(check.removesuffix(r"\r\n\r\n")) == translate_http_check(check)


def test_cluster_that_makes_no_domain_is_told() -> None:
    with pytest.raises(SettingsError, match="PROXY_CLUSTER_ID"):
        simple_settings(PROXY_CLUSTER_ID="c 1", PROXY_REGION_ID="cn-beijing")


def test_part_of_the_domain_that_holds_a_key_is_not_told_with_another_variable() -> None:
    """Found by `make soak`: the domain that both make stood in the message about the other one."""
    key = one_line(make_pem("a.example"))
    with pytest.raises(SettingsError) as raised:
        simple_settings(PROXY_CLUSTER_ID="»", PROXY_REGION_ID=key)

    assert not [line for line in key.split("\\n")[:4] if line in str(raised.value)]
