"""What labels may write in HAProxy's own language. `tests/haproxy/test_label_lines.py` loads what is accepted here."""

from __future__ import annotations

import pytest

from proxy.core.labels.labels import parse_container
from proxy.settings import ExtraSettings
from tests.builders import make_container, with_labels
from tests.label_lines import ALGORITHMS, COOKIES, DIRECTIVES, SERVER_OPTIONS

FILES = {
    "errorfile": "errorfile 503 /etc/shadow",
    "return": "http-request return status 200 content-type text/plain file /etc/shadow",
    "return-behind-a-string": "http-request return status 200 content-type text/plain hdr X y lf-file /etc/shadow",
    "deny": "http-request deny deny_status 403 errorfile /etc/shadow",
    "error": "http-error status 503 content-type text/plain file /etc/shadow",
    "acl": "acl bad src -f /etc/shadow",
    "condition": "http-request deny if { src -f /etc/shadow }",
    "map-in-a-condition": "http-request deny if { path,map(/etc/shadow) -m found }",
    "map-in-a-word-of-its-own": "http-request deny if { path map_beg(/etc/shadow) -m found }",
    "map-in-a-format": "http-request set-header X %[path,map(/etc/shadow)]",
    "map-in-a-quoted-format": "http-request set-header X \"a %[path,map('/etc/shadow')] b\"",
    "map-in-a-typed-format": "http-request set-header X %(a:str){+Q}[path,map(/etc/shadow)]",
    "map-in-an-escaped-word": r"http-request set-header X %[path,m\x61p(/etc/shadow)]",
    "map-in-a-variable": "http-request set-var(txn.a) path,map(/etc/shadow)",
    "map-in-a-stick-rule": "stick on src,map_ip(/etc/shadow)",
    "map-in-a-balance-line": "balance hash path,map(/etc/shadow)",
    "set-map": "http-request set-map(/etc/hosts) %[src] %[path]",
    "add-acl": "http-request add-acl(/etc/hosts) %[src]",
    "key-of-a-token": "http-request deny unless { req.hdr(a),jwt_verify(txn.alg,/etc/key.pem) -m int 1 }",
    "server-certificate": "server s 10.0.0.1:443 ssl crt /etc/key.pem verify none",
    "default-server-authority": "default-server ssl ca-file /etc/ca.pem",
    "server-socket": "server s unix@/var/run/docker.sock",
    "server-socket-as-a-path": "server s /var/run/docker.sock",
    "server-abstract-socket": "server s abns@engine",
    "template-socket": "server-template s 1-3 unix@/var/run/docker.sock",
    "check-of-a-socket": "http-check connect addr unix@/var/run/docker.sock",
    "program": "option external-check",
    "program-path": "external-check command /bin/sh",
    "bind": "bind unix@/tmp/x",
    "lua": "http-request lua.evil",
    "lua-converter": "http-request set-header X %[path,lua.evil(1)]",
    "spoe": "filter spoe engine e config /etc/x",
}

SECTIONS = {
    "use-backend": "use_backend other",
    "default-backend": "default_backend other",
    "table-of-stick": "stick on src table other",
    "table-of-track": "http-request track-sc0 src table other",
    "table-of-a-counter": "http-request deny if { sc_http_req_rate(0,other) gt 5 }",
    "table-of-an-old-counter": "http-request deny if { sc0_http_req_rate(other) gt 5 }",
    "table-of-a-converter": "http-request deny if { src,in_table(other) }",
    "table-of-a-fetch": "http-request deny if { src_conn_rate(other) gt 1 }",
    "servers-of-another": "http-request deny if { nbsrv(other) lt 1 }",
    "users": "http-request auth unless { http_auth(proxy_users) }",
    "users-in-an-acl": "acl known http_auth(proxy_users)",
    "peers": "stick-table type ip size 1k peers workers",
    "cache": "http-request cache-use other",
    "cache-filter": "filter cache other",
    "mailers": "email-alert mailers other",
    "errorfiles": "errorfiles other",
    "errorfiles-of-an-answer": "http-request deny errorfiles other",
    "statistics": "stats admin if TRUE",
    "metrics": "http-request use-service prometheus-exporter",
    "resolvers": "server s 10.0.0.1:80 resolvers other",
    "resolve": "http-request do-resolve(txn.a,other) hdr(host)",
    "track-server": "server s 10.0.0.1:80 track other/s",
    "log": "log 127.0.0.1:514 local0",
    "shared-variable": "http-request set-var(proc.a) path",
    "shared-variable-of-a-converter": "http-request deny if { path,set-var(proc.a) -m found }",
    "listening": "bind :8443",
}

ADDRESSES = {
    "loopback": "server s 127.0.0.1:1936",
    "loopback-of-ipv6": "server s [::1]:1936",
    "loopback-in-ipv6": "server s [::ffff:127.0.0.1]:1936",
    "any": "server s 0.0.0.0:1936",
    "metadata": "server s 169.254.169.254:80",
    "name-for-the-dns": "server s away.example.com:80",
    "short-form": "server s 127.1:80",
    "check": "server s 10.0.0.1:80 check addr 127.0.0.1",
    "agent": "server s 10.0.0.1:80 agent-check agent-addr localhost",
    "http-check": "http-check connect addr 127.0.0.1 port 1936",
    "tcp-check": "tcp-check connect addr localhost port 1936",
    "template": "server-template s 3 127.0.0.1:80",
    "source": "source /run/x",
}

HUGE = {
    "template": ("server-template s 1-100000 10.0.0.1:80", "100000 servers with server-template, more than 100"),
    "template-without-range": ("server-template s 1000000 10.0.0.1:80", "more than 100"),
    "templates-together": ("server-template a 60 10.0.0.1:80, server-template b 60 10.0.0.1:80", "makes 120 servers"),
    "table": ("stick-table type ip size 100m", "'size' is 100m, more than 1048576"),
    "key": ("stick-table type string len 100000 size 1k", "'len' is 100000, more than 512"),
    "table-of-long-keys": ("stick-table type string len 512 size 1m", "keys take more than 67108864 bytes"),
    "checks": ("server s 10.0.0.1:80 check inter 1ms", "more frequent than every 50 ms"),
    "checks-without-a-unit": ("default-server fastinter 10", "more frequent than every 50 ms"),
    "capture": ("http-request capture path len 1000000", "'len' is 1000000, more than 1024"),
    "lines": (",".join(f"acl a{number} path /" for number in range(61)), "has 61 entries, more than 60"),
    "length": ("description " + "x" * 9000, "has 9012 characters, more than 8192"),
}


def refusal(extra_settings: ExtraSettings = ExtraSettings.OWN_SERVICE, /, **labels: str) -> str:
    """Return why a container with these labels is left out; empty if it is routed."""
    container = make_container(labels=with_labels(VIRTUAL_HOST="www.example.com", **labels))
    spec, problems = parse_container(container, extra_settings=extra_settings)
    assert (spec is None) == bool(problems)
    return "; ".join(map(str, problems))


@pytest.mark.parametrize(
    "line", [*FILES.values(), *SECTIONS.values(), *ADDRESSES.values()], ids=[*FILES, *SECTIONS, *ADDRESSES]
)
def test_line_that_reaches_beyond_its_service_is_refused(line: str) -> None:
    assert "container web-1: aliyun.proxy.EXTRA_SETTINGS: " in refusal(EXTRA_SETTINGS=line.replace(",", r"\,"))


@pytest.mark.parametrize(("line", "reason"), HUGE.values(), ids=HUGE)
def test_line_that_makes_the_configuration_huge_is_refused(line: str, reason: str) -> None:
    assert reason in refusal(EXTRA_SETTINGS=line)


@pytest.mark.parametrize("name", ["EXTRA_ROUTE_SETTINGS", "HEALTH_CHECK"])
@pytest.mark.parametrize("text", ["check ssl crt /etc/key.pem", "check sni path,map(/x)", "check addr /run/docker.sock"])
def test_server_options_that_name_a_file_are_refused(name: str, text: str) -> None:
    assert f"container web-1: aliyun.proxy.{name}: " in refusal(**{name: text})


def test_option_that_runs_a_program_is_refused() -> None:
    assert "runs a program" in refusal(OPTION="external-check")


@pytest.mark.parametrize("line", [FILES["errorfile"], SECTIONS["users"], "server-template s 1-1000 10.0.0.1:80"])
def test_operator_can_allow_any_line(line: str) -> None:
    assert "" == refusal(ExtraSettings.UNRESTRICTED, EXTRA_SETTINGS=line)


@pytest.mark.parametrize("line", DIRECTIVES)
def test_line_that_concerns_only_its_service_is_accepted(line: str) -> None:
    assert "" == refusal(EXTRA_SETTINGS=line.replace(",", r"\,"))


@pytest.mark.parametrize("text", SERVER_OPTIONS)
def test_server_options_are_accepted(text: str) -> None:
    assert "" == refusal(EXTRA_ROUTE_SETTINGS=text, HEALTH_CHECK=text)


@pytest.mark.parametrize(
    ("label", "text", "hint"),
    [
        ("EXTRA_SETTINGS", "balence source", "'balence' is not a directive that a label may use; did you mean 'balance'?"),
        ("EXTRA_SETTINGS", "http-request set-hedder A b", "did you mean 'set-header'?"),
        ("EXTRA_SETTINGS", "retries 2, http-request deny if { pathh /x }", "entry 2 uses pathh(), which"),
        ("EXTRA_ROUTE_SETTINGS", "chekc inter 2s", "did you mean 'check'?"),
    ],
)
def test_misspelt_word_is_told_with_the_nearest(label: str, text: str, hint: str) -> None:
    assert hint in refusal(**{label: text})


@pytest.mark.parametrize("text", ALGORITHMS)
@pytest.mark.parametrize("extra_settings", ExtraSettings)
def test_algorithm_is_accepted(text: str, extra_settings: ExtraSettings) -> None:
    assert "" == refusal(extra_settings, BALANCE=text)


@pytest.mark.parametrize("extra_settings", ExtraSettings)
@pytest.mark.parametrize(
    "text",
    [
        "hash req.hdr(a),map(/etc/shadow)",
        "hash req.hdr(a),map_str_int('/etc/shadow')",
        "hash req.hdr(a) map(/etc/shadow)",
        r"hash 'req.hdr(a),ma'p(/etc/shadow)",
        "hash req.hdr(a),set-var(proc.a)",
        "hash req.hdr(a),debug",
        "hash src,table_inc_gpc0(other)",
        "hash src,lua.evil",
        "hash str(a),jwt_verify(a,/etc/key.pem)",
        "hash be_conn(other)",
        "source extra words",
        "uri len many",
        "url_param",
        "random(many)",
        "log-hash path",
    ],
)
def test_algorithm_that_does_more_than_balance_is_refused(text: str, extra_settings: ExtraSettings) -> None:
    assert "aliyun.proxy.BALANCE=" in refusal(extra_settings, BALANCE=text)


@pytest.mark.parametrize("text", COOKIES)
def test_cookie_is_accepted(text: str) -> None:
    assert "" == refusal(COOKIE=text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SRV insert domain other.com", "has the domain 'other.com', but no VIRTUAL_HOST of the container is in it"),
        ("SRV insert domain .other.com domain example.com", "other.com"),
        ("SRV insert domain com", "has the domain 'com'"),
        ("SRV insert domain blog.example.com", "has the domain 'blog.example.com'"),
        ("SRV insert domain *.example.com", "has a wildcard"),
        ("SRV insert attr Domain=other.com", "the option 'attr' of the cookie has the value"),
        ("SRV insert indirect table other", "'table' is not an option of a cookie"),
        ("SRV insrt", "did you mean 'insert'?"),
        ("S;R insert", "is not the name of a cookie"),
    ],
)
def test_cookie_that_reaches_beyond_its_service_is_refused(text: str, reason: str) -> None:
    assert reason in refusal(COOKIE=text)


@pytest.mark.parametrize("host", ["*", "*.example.com", "www.*", "*example.com/x, other.org"])
def test_cookie_domain_may_be_what_a_wildcard_matches(host: str) -> None:
    labels = with_labels(VIRTUAL_HOST=host, COOKIE="SRV insert domain .example.com")

    assert () == parse_container(make_container(labels=labels))[1]


@pytest.mark.parametrize("secret", ["hunter2-secret", "Zm9vOmJhcg=="])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("EXTRA_SETTINGS", r"http-request set-header Authorization Basic\ SECRET, errorfile 503 /x"),
        ("EXTRA_SETTINGS", "http-request set-header X a,SECRET"),
        ("EXTRA_SETTINGS", "http-request deny if { SECRET }"),
        ("EXTRA_SETTINGS", "http-request set-header X %[path,SECRET]"),
        ("EXTRA_SETTINGS", "server s SECRET/x"),
        ("EXTRA_SETTINGS", "server-template s SECRET 10.0.0.1:80"),
        ("EXTRA_SETTINGS", "balance SECRET"),
        ("EXTRA_SETTINGS", "cookie S;R SECRET"),
        ("EXTRA_SETTINGS", "cookie SRV attr SECRET"),
        ("OPTION", "pgsql-check 'user SECRET"),
        ("EXTRA_ROUTE_SETTINGS", "agent-send a SECRET"),
        ("HEALTH_CHECK", "check SECRET"),
        ("HTTP_CHECK", r"GET / HTTP/1.1\r\nAuthorization\ SECRET"),
        ("HTTP_CHECK", "SECRET"),
    ],
)
@pytest.mark.parametrize("extra_settings", [ExtraSettings.OWN_SERVICE, ExtraSettings.FORBIDDEN])
def test_refused_line_is_not_shown(name: str, text: str, secret: str, extra_settings: ExtraSettings) -> None:
    message = refusal(extra_settings, **{name: text.replace("SECRET", secret)})

    assert f"aliyun.proxy.{name}: " in message
    assert [] == [part for part in (secret, secret[:6]) if part in message]
