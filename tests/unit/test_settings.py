"""From environment variables to settings: what each variable means, and that all faults are reported together."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from proxy.commands.run import has_default_password
from proxy.errors import SettingsError
from proxy.settings import OLD_WORKER_SECONDS, ExtraSettings, ProxyMode, RoutingMode, Scope, Settings, SourceKind
from proxy.settings.parser import parse_settings
from proxy.settings.variables.all import VARIABLES, unclear_switches, unknown_variables


def parse(files: Mapping[str, str] | None = None, **variables: str) -> Settings:
    """Return the settings of `variables`. `files` are the files that can be read."""

    def read_text(path: Path) -> str:
        try:
            return (files or {})[str(path)]
        except KeyError:
            raise FileNotFoundError(2, "No such file", str(path)) from None

    return parse_settings(variables, read_text)


def faults_of(**variables: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        parse(None, **variables)
    return caught.value.faults


def test_defaults_are_those_of_the_table() -> None:
    settings = parse()

    assert "roundrobin" == settings.routing.balance
    assert settings.routing.health_check is None
    assert settings.routing.force_default_backend
    assert ExtraSettings.OWN_SERVICE is settings.routing.extra_settings
    assert ("redispatch", "httplog", "dontlognull", "forwardfor") == settings.haproxy.options
    assert ("connect 5000", "client 50000", "server 50000") == settings.haproxy.timeouts[:3]
    assert 4096 == settings.haproxy.maxconn
    assert 1936 == settings.haproxy.stats_port
    assert [("stats", "stats")] == [(name, word.reveal()) for name, word in settings.haproxy.stats_users]
    assert ("haproxy", "haproxy") == (settings.haproxy.user, settings.haproxy.group)
    assert Path("/var/lib/proxy") == settings.runtime.state_folder
    assert settings.runtime.templates_folder.name == "templates"


@pytest.mark.parametrize("word", ["off", "OFF", "no", "false", "0"])
def test_statistics_page_is_off_with_any_word_that_means_no(word: str) -> None:
    assert parse(STATS_PORT=word).haproxy.stats_port is None


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({}, True, id="default"),
        pytest.param({"STATS_AUTH": "admin:secret, stats:stats"}, True, id="among-others"),
        pytest.param({"STATS_AUTH": "stats:secret"}, False, id="own-password"),
        pytest.param({"STATS_PORT": "off"}, False, id="no-page"),
    ],
)
def test_default_password_of_the_statistics_page_is_known(variables: dict[str, str], expected: bool) -> None:
    assert expected == has_default_password(parse(None, **variables).haproxy)


def test_empty_variables_count_as_unset() -> None:
    assert parse() == parse(None, **{variable.name: "" for variable in VARIABLES})


def test_tls_policy_refuses_old_protocols_unless_told_otherwise() -> None:
    assert "ssl-min-ver TLSv1.2" in parse().tls.bind_options
    assert "no-sslv3" == parse(SSL_BIND_OPTIONS="no-sslv3").tls.bind_options


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("", Scope(), id="own-project"),
        pytest.param("*", Scope(everything=True), id="everything"),
        pytest.param("p1:s1, p2:s2", Scope(services=frozenset({("p1", "s1"), ("p2", "s2")})), id="pairs"),
    ],
)
def test_scope(value: str, expected: Scope) -> None:
    assert expected == parse(ADDITIONAL_SERVICES=value).routing.scope


def test_timeouts_given_win_and_safe_ones_stay() -> None:
    timeouts = parse(TIMEOUT="client 5m, timeout tunnel 8h, check 2s").haproxy.timeouts

    assert {"client 5m", "tunnel 8h", "check 2s", "connect 5000", "http-request 10s"} <= set(timeouts)
    assert len({timeout.split()[0] for timeout in timeouts}) == len(timeouts)


def test_options_may_be_written_with_or_without_the_word() -> None:
    assert ("redispatch", "httpclose") == parse(OPTION="option redispatch, forceclose").haproxy.options


def test_lines_are_split_translated_and_keep_escaped_commas() -> None:
    settings = parse(
        EXTRA_GLOBAL_SETTINGS="tune.ssl.cachesize 20000, nbproc 2",
        EXTRA_DEFAULT_SETTINGS=r"log rsyslog local0,option splice-auto,compression type a\,b",
        EXTRA_FRONTEND_SETTINGS_80="  http-request set-header HOST %[urlp(backend)].example.com",
    )

    assert ("tune.ssl.cachesize 20000", "nbthread 2") == settings.haproxy.extra_global_settings
    assert (
        "log rsyslog local0",
        "option splice-auto",
        "compression type a,b",
    ) == settings.haproxy.extra_default_settings
    expected = {80: ("http-request set-header HOST %[urlp(backend)].example.com",)}
    assert expected == settings.routing.extra_frontend_settings


def test_files_hold_one_setting_a_line_and_come_after_the_variable() -> None:
    files = {
        "/g": "# remark\n\n  spread-checks 3\nlog-send-hostname, x\n",
        "/f": "balance source\n",
        "/b": "mode tcp\n",
    }

    settings = parse(
        files,
        EXTRA_GLOBAL_SETTINGS="maxcompcpuusage 50",
        EXTRA_GLOBAL_SETTINGS_FILE="/g",
        EXTRA_FRONTEND_SETTINGS_80="maxconn 2000",
        EXTRA_FRONTEND_SETTINGS_FILE_80="/f",
        EXTRA_FRONTEND_SETTINGS_443_FILE="/f",
        ADDITIONAL_BACKEND_FILE_db="/b",
        ADDITIONAL_BACKEND_old="server a 192.0.2.1:80, server b 192.0.2.2:80",
    )

    expected = ("maxcompcpuusage 50", "spread-checks 3", "log-send-hostname, x")
    assert expected == settings.haproxy.extra_global_settings
    assert {
        80: ("maxconn 2000", "balance source"),
        443: ("balance source",),
    } == settings.routing.extra_frontend_settings
    backends = {"db": ("mode tcp",), "old": ("server a 192.0.2.1:80", "server b 192.0.2.2:80")}
    assert backends == settings.routing.additional_backends


def test_bind_settings_of_a_port_are_appended() -> None:
    settings = parse(EXTRA_BIND_SETTINGS="443:accept-proxy, 80:name http, 443: tfo")

    assert {80: ("name http",), 443: ("accept-proxy", "tfo")} == settings.haproxy.extra_bind_settings


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("", "stdout", id="unset"),
        pytest.param("127.0.0.1", "127.0.0.1:514", id="host"),
        pytest.param("logs.example.com:3456", "logs.example.com:3456", id="host-and-port"),
        pytest.param("2001:db8::1", "[2001:db8::1]:514", id="ipv6"),
        pytest.param("[2001:db8::1]:99", "[2001:db8::1]:99", id="ipv6-and-port"),
        pytest.param("/dev/log", "/dev/log", id="socket"),
    ],
)
def test_log_target(value: str, expected: str) -> None:
    assert expected == parse(RSYSLOG_DESTINATION=value).haproxy.log_target


def test_users_are_read_with_their_passwords_hidden() -> None:
    users = parse(HTTP_BASIC_AUTH=r"alice:pa\,ss:word", HTTP_BASIC_AUTH_SECURE="bob:$5$x$y").routing.basic_users

    expected = [("alice", "pa,ss:word", False), ("bob", "$5$x$y", True)]
    assert expected == [(user.name, user.password.reveal(), user.is_crypted) for user in users]
    assert "pa,ss" not in repr(users)


def test_certificates_get_real_line_breaks() -> None:
    tls = parse(DEFAULT_SSL_CERT=r"KEY\nCERT\n", EXTRA_SSL_CERTS="C1, C2", C1="a\nb", C2=r"c\nd", CA_CERT=r"x\ny").tls

    assert tls.default_certificate is not None
    assert "KEY\nCERT\n" == tls.default_certificate.reveal()
    assert [("C1", "a\nb\n"), ("C2", "c\nd\n")] == [(name, pem.reveal()) for name, pem in tls.extra_certificates]
    assert tls.ca_certificate is not None
    assert "x\ny\n" == tls.ca_certificate.reveal()


def test_files_win_over_certificates_in_variables() -> None:
    tls = parse(DEFAULT_SSL_CERT="a", CERT_FOLDER="/certs/", CA_CERT="b", CA_CERT_FILE="/ca.pem").tls

    assert (None, None) == (tls.default_certificate, tls.ca_certificate)
    assert (Path("/certs"), Path("/ca.pem")) == (tls.certificate_folder, tls.ca_file)


def test_ssl_cert_is_another_name_for_the_default_certificate() -> None:
    certificate = parse(SSL_CERT="a").tls.default_certificate

    assert certificate is not None
    assert "a\n" == certificate.reveal()


@pytest.mark.parametrize("value", ["False", "false", "0", "no"])
def test_default_backend_may_be_switched_off(value: str) -> None:
    assert not parse(FORCE_DEFAULT_BACKEND=value).routing.force_default_backend


def test_switches() -> None:
    settings = parse(SKIP_FORWARDED_PROTO="yes", DEBUG="1", PROXY_ALLOW_EXTRA_SETTINGS="false", MODE="TCP")

    assert settings.routing.skip_forwarded_proto
    assert settings.runtime.debug
    assert ExtraSettings.FORBIDDEN is settings.routing.extra_settings
    assert ProxyMode.TCP is settings.routing.mode
    assert not parse(DEBUG="False").runtime.debug


@pytest.mark.parametrize("word", ["no", "Off", "FALSE", "0"])
def test_words_that_mean_no_turn_every_switch_off(word: str) -> None:
    switches = [variable.name for variable in VARIABLES if variable.is_switch]
    settings = parse({}, **dict.fromkeys([*switches, "PROXY_ALLOW_EXTRA_SETTINGS"], word))

    assert ["SKIP_FORWARDED_PROTO", "FORCE_DEFAULT_BACKEND", "DEBUG"] == switches
    assert not settings.routing.skip_forwarded_proto
    assert not settings.routing.force_default_backend
    assert ExtraSettings.FORBIDDEN is settings.routing.extra_settings
    assert not settings.runtime.debug
    assert "forwardfor" in settings.haproxy.options


@pytest.mark.parametrize("word", ["unrestricted", "Unrestricted"])
def test_labels_may_be_allowed_anything(word: str) -> None:
    assert ExtraSettings.UNRESTRICTED is parse(PROXY_ALLOW_EXTRA_SETTINGS=word).routing.extra_settings


def test_operator_may_balance_with_a_map() -> None:
    assert "hash path,map(/etc/proxy/a.map)" == parse(BALANCE="hash path,map(/etc/proxy/a.map)").routing.balance


def test_switch_that_says_neither_yes_nor_no_is_told() -> None:
    environment = {"SKIP_FORWARDED_PROTO": "please", "DEBUG": "Yes", "FORCE_DEFAULT_BACKEND": " "}

    assert parse({}, **environment).routing.skip_forwarded_proto
    assert (
        "SKIP_FORWARDED_PROTO='please': is neither yes nor no, and counts as yes; write true or false",
    ) == unclear_switches(environment)


def test_numbers() -> None:
    settings = parse(NBPROC="2", RELOAD_TIMEOUT="30", PROXY_PORT_OFFSET="10000", MONITOR_PORT="80", MONITOR_URI="/ping")

    assert 2 == settings.haproxy.threads
    assert 4 == parse(NBPROC="2", NBTHREAD="4").haproxy.threads
    assert 30 == settings.haproxy.old_worker_seconds
    assert OLD_WORKER_SECONDS == parse(RELOAD_TIMEOUT="0").haproxy.old_worker_seconds
    assert 10000 == settings.haproxy.port_offset
    assert (80, "/ping") == (settings.routing.monitor_port, settings.routing.monitor_uri)


def test_own_settings() -> None:
    settings = parse(
        PROXY_MODE="acsrouting",
        PROXY_SOURCES="docker, file",
        PROXY_SERVICES_FILE="/s.yml",
        PROXY_STATE_FOLDER="/state",
        PROXY_TEMPLATES="/templates",
        PROXY_HAPROXY="/sbin/haproxy",
        PROXY_RESYNC_SECONDS="5",
        PROXY_STOP_SECONDS="3",
        PROXY_NETWORK="front",
    )

    runtime = settings.runtime
    assert RoutingMode.SIMPLE is settings.routing.routing_mode
    assert "front" == settings.routing.network
    assert (SourceKind.DOCKER, SourceKind.FILE) == runtime.sources
    assert (Path("/s.yml"), Path("/state")) == (runtime.services_file, runtime.state_folder)
    assert (Path("/templates"), "/sbin/haproxy") == (runtime.templates_folder, runtime.haproxy_binary)
    assert (5, 3) == (runtime.resync_seconds, runtime.stop_seconds)


def test_balancers_are_addresses_and_networks() -> None:
    settings = parse(PROXY_ACCEPT_PROXY_FROM="10.0.0.5, 192.168.7.0/24,2001:db8::/32, ::1")

    assert ("10.0.0.5/32", "192.168.7.0/24", "2001:db8::/32", "::1/128") == settings.routing.accept_proxy_from


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ADDITIONAL_SERVICES", "shop", "write a list such as"),
        ("ADDITIONAL_SERVICES", "shop:*", "'*' for all"),
        ("BALANCE", "rondrobin", "not a balancing algorithm"),
        ("MODE", "udp", "not one of http, tcp, health"),
        ("MAXCONN", "0", "whole number, 1 or more"),
        ("PROXY_PORT_OFFSET", "65535", "0 to 65534"),
        ("STATS_PORT", "99999", "from 1 to 65535"),
        ("MONITOR_URI", "/ping", "no effect without MONITOR_PORT"),
        ("MONITOR_URI", "ping", "write '/' at its beginning"),
        ("TIMEOUT", "conect 5s", "is not a timeout of HAProxy"),
        ("TIMEOUT", "client", "has no time"),
        ("OPTION", "http_proxy", "removed from HAProxy"),
        ("HEALTH_CHECK", "check\nbackend x", "line break"),
        ("EXTRA_GLOBAL_SETTINGS", 'daemon,"backend" x', "starts a new section"),
        ("EXTRA_DEFAULT_SETTINGS", "reqdeny x", "http-request deny"),
        ("EXTRA_DEFAULT_SETTINGS_FILE", "/missing", "cannot be read"),
        ("EXTRA_FRONTEND_SETTINGS_70000", "maxconn 1", "from 1 to 65535"),
        ("EXTRA_BIND_SETTINGS", "accept-proxy", "is not 'port:setting'"),
        ("EXTRA_SSL_CERTS", "MISSING", "has no value"),
        ("PROXY_TRUSTED_PROXIES", "fe80::1%eth0", "write the address without %"),
        ("PROXY_ACCEPT_PROXY_FROM", "10.0.0.0/33", "write an address, or a network such as"),
        ("PROXY_ACCEPT_PROXY_FROM", "balancer.example", "entry 1 'balancer.example': is not a network"),
        ("PROXY_ACCEPT_PROXY_FROM", "10.0.0.1, 10.0.0.5/24", "write 10.0.0.0/24 for all of it, or 10.0.0.5"),
        ("PROXY_ACCEPT_PROXY_FROM", "2001:db8::1/64", "write 2001:db8::/64 for all of it, or 2001:db8::1"),
        ("PROXY_ACCEPT_PROXY_FROM", "10.0.0.1 10.0.0.2", "separate entries with ','"),
        ("PROXY_ACCEPT_PROXY_FROM", " , ", "has no address in it; write the addresses of the balancers"),
        ("ADDITIONAL_BACKEND_a/b", "mode tcp", "letters, digits"),
        ("ADDITIONAL_BACKEND_stats", "mode tcp", "uses for its own sections"),
        ("ADDITIONAL_BACKEND_shop:web::0123456789ab", "mode tcp", "uses for its own sections"),
        ("RSYSLOG_DESTINATION", "tcp://x", "write 'host' or 'host:port'"),
        ("SSL_BIND_CIPHERS", "A B", "single word"),
        ("PROXY_ALLOW_EXTRA_SETTINGS", "maybe", "neither true nor false"),
        ("PROXY_SOURCES", "dokcer", "not one of docker, links, file"),
    ],
)
def test_fault_names_the_reason_and_what_to_write(name: str, value: str, reason: str) -> None:
    faults = faults_of(**{name: value})

    assert any(re.search(re.escape(reason), fault) for fault in faults), faults


def test_all_faults_come_together_each_naming_its_variable() -> None:
    faults = faults_of(BALANCE="x", MAXCONN="many", TIMEOUT="client, serve 5s", EXTRA_GLOBAL_SETTINGS_FILE="/missing")

    names = [re.split("[:=]", fault)[0] for fault in faults]
    assert ["BALANCE", "MAXCONN", "TIMEOUT", "TIMEOUT", "EXTRA_GLOBAL_SETTINGS_FILE"] == names
    assert "BALANCE='x'" in faults[0]


@pytest.mark.parametrize("name", ["HTTP_BASIC_AUTH", "HTTP_BASIC_AUTH_SECURE", "STATS_AUTH"])
@pytest.mark.parametrize("value", ["hunter2", ":hunter2", "a:hunter2\n"], ids=["no-colon", "no-name", "line-break"])
def test_fault_never_shows_a_password(name: str, value: str) -> None:
    text = f"{value},{value}:{value}\x00,b:hunter2,b:hunter2,:"

    faults = faults_of(**{name: text})

    assert faults
    assert "hunter2" not in "".join(faults)


def test_user_named_twice_is_a_fault() -> None:
    (fault,) = faults_of(HTTP_BASIC_AUTH="a:one", HTTP_BASIC_AUTH_SECURE="a:$5$two")

    assert "contains the user 'a' twice" in fault


def test_long_values_are_shortened_in_faults() -> None:
    (fault,) = faults_of(MAXCONN="x" * 5000)

    assert len(fault) < 200


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("EXTRA_GLOBAL_SETTING", "did you mean EXTRA_GLOBAL_SETTINGS?"),
        ("PROXY_SOURCE", "did you mean PROXY_SOURCES?"),
        ("PROXY_COLOUR_OF_SKY", "has no effect"),
        ("EXTRA_FRONTEND_SETTING_80", "did you mean EXTRA_FRONTEND_SETTINGS_<PORT>?"),
    ],
)
def test_misspelt_variable_is_noticed(name: str, expected: str) -> None:
    (sentence,) = unknown_variables({name: "x", "PATH": "/bin"})

    assert sentence.startswith(name)
    assert expected in sentence


def test_known_and_foreign_variables_are_not_noticed() -> None:
    names = {variable.name for variable in VARIABLES if "<" not in variable.name}
    names |= {"EXTRA_FRONTEND_SETTINGS_8080", "EXTRA_FRONTEND_SETTINGS_FILE_80", "ADDITIONAL_BACKEND_old"}
    names |= {"PATH", "SSL_CERT_FILE", "HAPROXY_VERSION", "SSL_CERT1"}

    sentences = unknown_variables({**dict.fromkeys(names, "x"), "EXTRA_SSL_CERTS": "SSL_CERT1"})

    assert () == sentences


def test_variables_are_described_in_both_languages_once() -> None:
    names = [variable.name for variable in VARIABLES]

    assert sorted(set(names)) == sorted(names)
    assert [] == [variable.name for variable in VARIABLES if not variable.help or not variable.help_zh]


MISTAKES = {
    "quotes": ("MAXCONN", "'5000'", "is in quotes, and they are part of the value"),
    "quoted-list": ("HTTP_BASIC_AUTH", "'alice:secret'", "is in quotes, and they are part of the value"),
    "wide-comma": ("ADDITIONAL_SERVICES", "shop:web，blog:web", "it contains '，': write ',' instead"),
    "wide-colon": ("ADDITIONAL_SERVICES", "shop：web", "it contains '：': write ':' instead"),
    "semicolon": ("ADDITIONAL_SERVICES", "shop:web;blog:web", "separate entries with ','"),
    "blanks": ("ADDITIONAL_SERVICES", "shop:web blog:web", "separate entries with ','"),
    "semicolon-of-timeouts": ("TIMEOUT", "connect 5s;client 5s", "separate entries with ','"),
    "semicolon-of-names": ("EXTRA_SSL_CERTS", "CERT1;CERT2", "separate entries with ','"),
    "plain-password": ("HTTP_BASIC_AUTH_SECURE", "alice:secret", "has no hash, but a password in plain text"),
    "hash-of-htpasswd": ("HTTP_BASIC_AUTH_SECURE", "alice:$apr1$abc$def", "has a hash of htpasswd"),
    "sha1-of-htpasswd": ("HTTP_BASIC_AUTH_SECURE", "alice:{SHA}abcdef=", "has a hash of htpasswd"),
    "compose-s-dollars": ("HTTP_BASIC_AUTH_SECURE", "alice:$$6$$salt$$hash", "outside of a Compose file, write one $"),
    "hash-that-compose-cut": ("HTTP_BASIC_AUTH_SECURE", "alice:/hash", "in a Compose file write each $ as $$"),
}


@pytest.mark.parametrize(("name", "value", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_typical_mistake_in_a_variable_is_told(name: str, value: str, hint: str) -> None:
    (fault,) = faults_of(**{name: value})

    assert fault.startswith(name)
    assert hint in fault
    assert "secret" not in fault.removeprefix(name)


@pytest.mark.parametrize(
    "hashed", ["$6$salt$hash", "$5$rounds=5000$a$b", "$y$j9T$a$b", "$2y$05$abcdef", "$1$a$b", "ab1234567890."]
)
def test_hashes_that_crypt_knows_are_accepted(hashed: str) -> None:
    (user,) = parse(HTTP_BASIC_AUTH_SECURE=f"alice:{hashed}").routing.basic_users

    assert (hashed, True) == (user.password.reveal(), user.is_crypted)


def test_words_of_one_entry_are_no_mistake() -> None:
    (fault,) = faults_of(TIMEOUT="connect soon")

    assert "separate entries" not in fault
