"""Settings of ten years ago in HAProxy's current syntax. `tests/haproxy/test_legacy_lines.py` uses real HAProxies."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.grammar.legacy import (
    translate_appsession,
    translate_http_check,
    translate_line,
    translate_lines,
    translate_server_words,
)
from proxy.grammar.syntax import split_words

LINES = {
    "add-header": (r"reqadd X-A:\ b", "http-request add-header X-A 'b'"),
    "add-header-quoted": ('rspadd "X-A: b c"', "http-response add-header X-A 'b c'"),
    "add-header-percent": (r"reqadd X-A:\ 100%", "http-request add-header X-A '100%%'"),
    "add-header-apostrophe": (r"reqadd X-A:\ it\'s", r"http-request add-header X-A 'it'\''s'"),
    "add-header-condition": (
        'reqadd X-A:\\ b if { hdr(host) -i "a b" }',
        "http-request add-header X-A 'b' if { hdr(host) -i 'a b' }",
    ),
    "hsts-of-the-parent-image": (
        r"rspadd Strict-Transport-Security:\ max-age=1;\ includeSubDomains",
        "http-response add-header Strict-Transport-Security 'max-age=1; includeSubDomains'",
    ),
    "delete-header": ("reqidel ^X-Forwarded-For:", "http-request del-header X-Forwarded-For"),
    "delete-header-any-value": (
        r"rspdel ^Via:\ .*$ unless { ssl_fc }",
        "http-response del-header Via unless { ssl_fc }",
    ),
    "delete-header-start": ("rspidel ^Server", "http-response del-header Server -m beg"),
    "delete-header-pattern": ("rspidel ^X-(A|B).*:", "http-response del-header (?i)^X-(A|B).*$ -m reg"),
    "replace-header": (
        r"rspirep ^Location:\ http://(.*) Location:\ https://\1",
        r"http-response replace-header Location '(?i)^http://(.*)' 'https://\1'",
    ),
    "replace-header-case-sensitive": (
        r"reqrep ^Host:[\ ]*(.*)\.old\.example$ Host:\ \1.new.example if { path_beg /x }",
        r"http-request replace-header Host '^(.*)\.old\.example$' '\1.new.example' if { path_beg /x }",
    ),
    "rewrite-path": (
        r"reqrep ^([^\ :]*)\ /static/(.*) \1\ /\2",
        r"http-request replace-pathq '^/static/(.*)' '/\1'",
    ),
    "rewrite-path-with-version": (
        r"reqirep ^([^\ ]*)\ /api/([^\ ]*)\ (.*) \1\ /v1/\2\ \3",
        r"http-request replace-pathq '(?i)^/api/([^ ]*)' '/v1/\1'",
    ),
    "strip-path-most-copied": (
        r"reqrep ^([^\ ]*\ /)blog[/]?(.*)     \1\2",
        r"http-request replace-pathq '^(/)blog[/]?(.*)' '\1\2'",
    ),
    "strip-path-of-the-manual": (
        r"reqirep ^([^\ :]*)\ /my-service/?(.*) \1\ /\2 if { path_beg /my-service }",
        r"http-request replace-pathq '(?i)^/my-service/?(.*)' '/\1' if { path_beg /my-service }",
    ),
    "strip-path-blank-in-the-group": (
        r"reqrep ^([^\ ]*\ )/api(.*) \1\2",
        r"http-request replace-pathq '^()/api(.*)' '\1\2'",
    ),
    "strip-path-slash-in-the-group": (
        r"reqirep ^([^\ ]*)\ /api(/.*) \1\ \2",
        r"http-request replace-pathq '(?i)^/api(/.*)' '\1'",
    ),
    "strip-path-with-end": (
        r"reqirep ^([^\ ]*)\ /shop/([^\ ]*)\ (.*)$ \1\ /\2\ \3",
        r"http-request replace-pathq '(?i)^/shop/([^ ]*)' '/\1'",
    ),
    "strip-path-from-anywhere": (
        r"reqirep ^([^\ ].*)org/net[/]?(.*) \1\2",
        r"http-request replace-pathq '(*LIMIT_MATCH=100000)(?i)^(.*)org/net[/]?(.*)' '\1\2'",
    ),
    "strip-path-of-some-methods": (
        r"reqrep ^(GET|HEAD)\ /a/(.*) \1\ /\2",
        r"http-request replace-pathq '^/a/(.*)' '/\1' if { method GET HEAD }",
    ),
    "rewrite-path-of-one-method": (
        r"reqirep ^GET\ (.*) GET\ /base\1 if { path_end .png }",
        r"http-request replace-pathq '(?i)^(.*)' '/base\1' if { method GET } { path_end .png }",
    ),
    "rewrite-whole-path": (
        r"reqirep ^([^\ ]*)\ [^\ ]*\ (.*) \1\ /page\ \2",
        r"http-request replace-pathq '(?i)^[^ ]*' '/page'",
    ),
    "rewrite-path-before-the-version": (
        r"reqrep ^([^\ ]*)\ /(.*)\ HTTP \1\ /\2&from=a\ HTTP",
        r"http-request replace-pathq '^/(.*)' '/\1&from=a'",
    ),
    "rewrite-path-many-repetitions": (
        r"reqirep ^([^\ :]*)\ /wiki/(.+)/(.*) \1\ /\2\3",
        r"http-request replace-pathq '(*LIMIT_MATCH=100000)(?i)^/wiki/(.+)/(.*)' '/\1\2'",
    ),
    "block": ("block if { path_beg /admin }", "http-request deny if { path_beg /admin }"),
    "redispatch": ("redispatch", "option redispatch"),
    "server-timeout": ("srvtimeout 50000", "timeout server 50000"),
    "old-name-of-timeout": ("timeout contimeout 5s", "timeout connect 5s"),
    "forceclose": ("option forceclose", "option httpclose"),
    "tunnel-mode": ("option http-tunnel", "option http-keep-alive"),
    "splice": ("option tcpsplice", "option splice-auto"),
    "monitor-net": ("monitor-net 10.0.0.0/8", "http-request return status 200 if { src 10.0.0.0/8 }"),
}
"""Name of the case -> (old line, new line). Each is a backend line that HAProxy accepts without a warning."""

CHECKS = {
    "spec-example": (r"OPTIONS * HTTP/1.1\r\nHost:\ www", "meth OPTIONS uri * ver HTTP/1.1 hdr Host 'www'"),
    "real-line-breaks": ("GET /h HTTP/1.1\r\nHost: www\r\n", "meth GET uri /h ver HTTP/1.1 hdr Host 'www'"),
    "two-headers": (
        r"HEAD / HTTP/1.1\r\nHost:\ a\r\nX-Rate:\ 50%",
        "meth HEAD uri / ver HTTP/1.1 hdr Host 'a' hdr X-Rate '50%%'",
    ),
    "uri-alone": ("/health?full=1", "meth OPTIONS uri /health?full=1"),
    "method-and-uri": ("HEAD /", "meth HEAD uri /"),
    "version": ("GET /x HTTP/1.0", "meth GET uri /x ver HTTP/1.0"),
    "whole-directive": ("option httpchk GET /", "meth GET uri /"),
    "odd-uri": ("GET /it\\'s", r"meth GET uri '/it'\''s'"),
}

SESSIONS = {
    "spec-example": ("JSESSIONID len 52 timeout 3h", "expire 3h", "urlp(JSESSIONID,;),field(1,?)", False),
    "learning": ("SID len 8 timeout 30m request-learn", "expire 30m", "urlp(SID,;),field(1,?)", True),
    "path": ("SID len 8 timeout 5000 mode path-parameters", "expire 5000", "urlp(SID,;),field(1,?)", False),
    "query": ("SID len 8 timeout 1d request-learn mode query-string", "expire 1d", "urlp(SID)", True),
}


@pytest.mark.parametrize(("old", "new"), LINES.values(), ids=LINES)
def test_line_of_old_is_translated(old: str, new: str) -> None:
    assert new == translate_line(old)


@pytest.mark.parametrize("line", [new for _, new in LINES.values()], ids=LINES)
def test_line_of_today_stays_as_it_is(line: str) -> None:
    assert line == translate_line(line)


@pytest.mark.parametrize(
    "line",
    [
        "balance source",
        "redirect scheme https code 301 if !{ ssl_fc }",
        'http-request set-header X "$HOME"',
        "option httpchk GET /health",
        "errorfile 503 /errors/503.http",
    ],
)
def test_other_lines_are_left_alone(line: str) -> None:
    assert line == translate_line(line)


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        pytest.param("reqdeny ^X-Evil:", "http-request deny if", id="deny"),
        pytest.param("reqitarpit evil", "http-request tarpit if", id="tarpit"),
        pytest.param("rspideny ^Status:", "http-response deny if", id="response-deny"),
        pytest.param("reqsetbe ^Host b", "use_backend", id="set-backend"),
        pytest.param("appsession S len 5 timeout 1h", "setting APPSESSION", id="appsession"),
        pytest.param("option http_proxy", "http-request set-dst", id="http-proxy"),
        pytest.param("grace 5s", "remove the line", id="grace"),
        pytest.param("stats bind-process 1", "remove the line", id="stats-bind-process"),
        pytest.param("reqadd X-A: b", r"a blank inside a word as '\ '", id="unescaped-blank"),
        pytest.param("reqadd nonsense", r"'NAME:\ value'", id="no-header"),
        pytest.param("reqadd", "takes 1 word(s)", id="no-argument"),
        pytest.param("reqidel ^Cookie:.*evil", "http-request del-header NAME", id="delete-by-value"),
        pytest.param(r"reqrep ^Host:\ a X-Host:\ b", "replace-header NAME", id="renamed-header"),
        pytest.param(r"reqrep ^(GET)\ /a /b", "replace-path", id="one-method"),
        pytest.param(r"reqrep ^/a.html /b.html", "replace-path", id="no-method"),
        pytest.param(r"reqrep ^GET\ /a POST\ /b", "replace-path", id="another-method"),
        pytest.param(r"reqrep ^GET\ /a GET\ /b unless { path_end x }", "names a method", id="method-and-unless"),
        pytest.param(r"reqrep ^GET\ /a GET\ /b if a || b", "names a method", id="method-and-or"),
        pytest.param(r"reqrep ^([^\ ]*)\ /a\ (.*)x \1\ /b\ \2", "replace-path", id="blank-left-in-path"),
        pytest.param(r"rsprep ^([^\ ]*)\ /a(.*) \1\ /b\2", "replace-header", id="request-line-in-response"),
        pytest.param('reqadd "X-A: $HOME"', "environment variable", id="variable"),
    ],
)
def test_line_without_an_equivalent_is_refused_with_advice(line: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        translate_line(line)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("resolvers docker init-addr none", "", id="dns-alone"),
        pytest.param("send-proxy resolvers docker init-addr last,libc,none weight 5", "send-proxy weight 5", id="between"),
        pytest.param("resolve-prefer ipv4 ssl verify none", "ssl verify none", id="preference"),
        pytest.param("ssl  verify none", "ssl  verify none", id="other"),
    ],
)
def test_words_about_the_dns_are_left_out_of_server_lines(text: str, expected: str) -> None:
    assert expected == translate_server_words(text)


def test_check_with_headers_becomes_two_lines() -> None:
    expected = ("option httpchk", "http-check send meth HEAD uri / ver HTTP/1.1 hdr Host 'www'")

    assert expected == translate_lines(r"option httpchk HEAD / HTTP/1.1\r\nHost:\ www")
    assert ("option httpchk GET /",) == translate_lines("option httpchk GET /")


@given(st.text(alphabet=st.characters(min_codepoint=0x20, exclude_categories=("Cc", "Cs")), min_size=1).map(str.strip))
def test_added_value_is_one_word_whatever_it_holds(value: str) -> None:
    old = 'reqadd "X-A: ' + re.sub(r'(["\\$])', r"\\\1", value) + '"'

    words = split_words(translate_line(old))

    assert ("http-request", "add-header", "X-A", value.replace("%", "%%")) == words


@pytest.mark.parametrize(("text", "expected"), CHECKS.values(), ids=CHECKS)
def test_http_check_is_translated(text: str, expected: str) -> None:
    assert ("option httpchk", f"http-check send {expected}") == translate_http_check(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("nonsense", "is not an HTTP check", id="no-uri"),
        pytest.param("", "is not an HTTP check", id="empty"),
        pytest.param("GET / HTTP/1.1 extra", "is not an HTTP check", id="too-many-words"),
        pytest.param(r"GET / HTTP/1.1\r\nno-header", "is not a header", id="broken-header"),
        pytest.param(r"POST / HTTP/1.1\r\nHost:\ a\r\n\r\nbody", "to send a body", id="body"),
        pytest.param("GET /'x", "ends inside quotes", id="open-quote"),
    ],
)
def test_http_check_that_is_none_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        translate_http_check(text)


@pytest.mark.parametrize(("text", "expire", "uri", "learns"), SESSIONS.values(), ids=SESSIONS)
def test_appsession_becomes_a_stick_table(text: str, expire: str, uri: str, learns: bool) -> None:
    name, length = text.split()[0], text.split()[2]

    lines = translate_appsession(text)

    assert f"stick-table type string len {length} size 100k {expire}" == lines[0]
    assert (f"stick match req.cook({name})", f"stick match {uri}") == lines[1:3]
    assert learns == (f"stick store-request req.cook({name})" in lines)
    assert f"stick store-response res.cook({name})" == lines[-1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("JSESSIONID", "is not 'COOKIE len LENGTH timeout TIME'", id="name-alone"),
        pytest.param("JSESSIONID len x timeout 3h", "is not 'COOKIE len", id="no-length"),
        pytest.param("JSESSIONID len 0 timeout 3h", "at least 1", id="zero-length"),
        pytest.param("A),url len 5 timeout 3h", "a cookie's name", id="not-a-cookie"),
        pytest.param("ASP len 5 timeout 3h prefix", "'prefix' has no equivalent", id="prefix"),
    ],
)
def test_appsession_that_is_none_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        translate_appsession(text)


@pytest.mark.timeout(20)
def test_long_line_is_read_in_a_moment() -> None:
    """Reading it again from every bracket would take a minute."""
    with pytest.raises(ValueError, match="replace-path"):
        translate_line(r"reqrep ^([^\ ]*)\ /" + "[" * 300_000 + r"\ x \1\ /b\1")
