"""Parse `Settings` from environment variables.

In: a mapping of variables (`os.environ` in `cli.py`, nowhere else). Out: `Settings`, or one `SettingsError` that lists all
faults together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from proxy.errors import SettingsError
from proxy.grammar.syntax import make_backend_name, make_name, safe_word, split_list
from proxy.grammar.values import is_on
from proxy.grammar.virtual_host import parse_port
from proxy.settings import (
    OLD_WORKER_SECONDS,
    BasicUser,
    ExtraSettings,
    HaproxySettings,
    ProxyMode,
    RoutingMode,
    RoutingSettings,
    RuntimeSettings,
    Scope,
    Settings,
    SourceKind,
    TlsSettings,
)
from proxy.settings import (
    value_parsers as values,
)
from proxy.settings.cluster_parser import parse_cluster
from proxy.settings.reader import SettingsReader
from proxy.settings.simple_parser import adapt, parse_simple

Key = TypeVar("Key", int, str)

_FRONTEND_SETTINGS = re.compile(r"EXTRA_FRONTEND_SETTINGS_(?P<port>\d+)")
_FRONTEND_FILE = re.compile(r"EXTRA_FRONTEND_SETTINGS_(FILE_)?(?P<port>\d+)(?(1)|_FILE)")
_BACKEND = re.compile(r"ADDITIONAL_BACKEND_(?!FILE_)(?P<name>.+)")
_BACKEND_FILE = re.compile(r"ADDITIONAL_BACKEND_FILE_(?P<name>.+)")
_TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


def parse_settings(environment: Mapping[str, str], read_text: Callable[[Path], str]) -> Settings:
    """Return the settings that `environment` asks for.

    `read_text` reads the files that `*_FILE` variables name. It may raise OSError or UnicodeDecodeError. Raises
    SettingsError with every fault.
    """
    reader = SettingsReader(environment, read_text)
    settings = Settings(
        routing=_parse_routing(reader),
        tls=_parse_tls(reader),
        haproxy=_parse_haproxy(reader),
        runtime=_parse_runtime(reader),
        cluster=parse_cluster(reader),
    )
    if reader.faults:
        raise SettingsError(reader.faults)
    return settings


def state_folder(environment: Mapping[str, str]) -> Path:
    """Return the state folder that `environment` names."""
    return Path(SettingsReader(environment, Path.read_text).text("PROXY_STATE_FOLDER"))


def _parse_routing(reader: SettingsReader) -> RoutingSettings:
    services = reader.entries("ADDITIONAL_SERVICES", values.parse_service, has_blanks=False)
    monitor_port = reader.parse("MONITOR_PORT", parse_port, None)
    for given, missing in (("MONITOR_PORT", "MONITOR_URI"), ("MONITOR_URI", "MONITOR_PORT")):
        if reader.is_set(given) and not reader.is_set(missing):
            reader.add_fault(
                given, f"has no effect without {missing}; set both, for example MONITOR_PORT=80 and MONITOR_URI=/ping"
            )
    routing = RoutingSettings(
        routing_mode=reader.parse("PROXY_MODE", values.choice(RoutingMode), RoutingMode.CUSTOM),
        mode=reader.parse("MODE", values.choice(ProxyMode), ProxyMode.HTTP),
        scope=Scope(everything=None in services, services=frozenset(pair for pair in services if pair)),
        balance=reader.parse("BALANCE", values.parse_balance, ""),
        health_check=reader.parse("HEALTH_CHECK", values.parse_text, "") if reader.is_set("HEALTH_CHECK") else None,
        extra_route_settings=reader.parse("EXTRA_ROUTE_SETTINGS", values.parse_server_words, ""),
        force_default_backend=reader.parse("FORCE_DEFAULT_BACKEND", is_on, True),
        skip_forwarded_proto=_skips_forwarded_proto(reader),
        trusted_proxies=reader.entries("PROXY_TRUSTED_PROXIES", values.parse_network),
        accept_proxy_from=_parse_accept_proxy_from(reader),
        extra_settings=reader.parse("PROXY_ALLOW_EXTRA_SETTINGS", values.parse_extra_settings, ExtraSettings.FORBIDDEN),
        basic_users=_parse_basic_users(reader),
        network=reader.text("PROXY_NETWORK"),
        linger_seconds=reader.parse("ROUTE_LINGER", values.number(minimum=0), 0),
        extra_frontend_settings=_parse_frontend_settings(reader),
        additional_backends=_parse_backends(reader),
        monitor_port=monitor_port,
        monitor_uri=reader.parse("MONITOR_URI", values.parse_uri, ""),
        simple=parse_simple(reader),
    )
    return adapt(routing, reader) if routing.routing_mode is RoutingMode.SIMPLE else routing


def _parse_tls(reader: SettingsReader) -> TlsSettings:
    folder, ca_file = reader.text("CERT_FOLDER"), reader.text("CA_CERT_FILE")
    extra = []
    for name in reader.entries("EXTRA_SSL_CERTS", values.parse_variable_name, has_blanks=False):
        certificate = reader.secret_pem(name)
        if certificate:
            extra.append((name, certificate))
        else:
            reader.add_fault(name, "is in EXTRA_SSL_CERTS but has no value; set it to a one-line PEM")
    default = reader.secret_pem("DEFAULT_SSL_CERT") or reader.secret_pem("SSL_CERT")
    return TlsSettings(
        default_certificate=None if folder else default,
        extra_certificates=tuple(extra),
        certificate_folder=Path(folder) if folder else None,
        ca_file=Path(ca_file) if ca_file else None,
        ca_certificate=None if ca_file else reader.secret_pem("CA_CERT"),
        bind_ciphers=reader.parse("SSL_BIND_CIPHERS", safe_word, ""),
        bind_options=reader.parse("SSL_BIND_OPTIONS", values.parse_text, ""),
    )


def _parse_haproxy(reader: SettingsReader) -> HaproxySettings:
    positive = values.number(minimum=1)
    processes = reader.parse("NBPROC", positive, None)
    maxconn = reader.parse("MAXCONN", positive, 0)
    options, option_lines = _parse_options(reader)
    return HaproxySettings(
        maxconn=maxconn,
        wanted_maxconn=maxconn,
        maxconn_per_source=reader.parse("PROXY_MAXCONN_PER_SOURCE", values.number_or_off, max(1, maxconn // 2)),
        threads=reader.parse("NBTHREAD", positive, None) or processes,
        options=options,
        timeouts=_parse_timeouts(reader),
        extra_global_settings=_lines_and_file(reader, "EXTRA_GLOBAL_SETTINGS"),
        extra_default_settings=option_lines + _lines_and_file(reader, "EXTRA_DEFAULT_SETTINGS"),
        extra_bind_settings=_group(reader.entries("EXTRA_BIND_SETTINGS", values.parse_bind_setting)),
        log_target=_parse_log_target(reader),
        stats_port=reader.parse("STATS_PORT", values.parse_port_or_off, None),
        stats_users=reader.entries("STATS_AUTH", values.parse_user),
        port_offset=reader.parse("PROXY_PORT_OFFSET", values.number(minimum=0, maximum=65534), 0),
        old_worker_seconds=reader.parse("RELOAD_TIMEOUT", values.number(minimum=0), 0) or OLD_WORKER_SECONDS,
        user=reader.parse("HAPROXY_USER", safe_word, ""),
        group=reader.parse("HAPROXY_GROUP", safe_word, ""),
    )


def _parse_runtime(reader: SettingsReader) -> RuntimeSettings:
    file = reader.text("PROXY_SERVICES_FILE")
    return RuntimeSettings(
        sources=reader.entries("PROXY_SOURCES", values.choice(SourceKind), has_blanks=False) or None,
        services_file=Path(file) if file else None,
        state_folder=state_folder(reader.environment),
        templates_folder=Path(reader.text("PROXY_TEMPLATES") or _TEMPLATES),
        own_templates_folder=_TEMPLATES,
        setting_files=tuple(reader.files),
        haproxy_binary=reader.text("PROXY_HAPROXY"),
        resync_seconds=reader.parse("PROXY_RESYNC_SECONDS", values.number(minimum=1), 0),
        stop_seconds=reader.parse("PROXY_STOP_SECONDS", values.number(minimum=0), 0),
        debug=reader.parse("DEBUG", is_on, False),
    )


def _parse_basic_users(reader: SettingsReader) -> tuple[BasicUser, ...]:
    users: dict[str, BasicUser] = {}
    for variable, parse in (("HTTP_BASIC_AUTH", values.parse_user), ("HTTP_BASIC_AUTH_SECURE", values.parse_hashed_user)):
        for name, password in reader.entries(variable, parse):
            if name in users:
                reader.add_fault(variable, f"contains the user {name!r} twice; write each user once")
            users[name] = BasicUser(name=name, password=password, is_crypted=variable.endswith("_SECURE"))
    return tuple(users.values())


def _parse_frontend_settings(reader: SettingsReader) -> Mapping[int, tuple[str, ...]]:
    found: list[tuple[int, str]] = []
    for name, match in (*reader.family(_FRONTEND_SETTINGS), *reader.family(_FRONTEND_FILE)):
        try:
            port = parse_port(match["port"])
        except ValueError as error:
            reader.add_fault(name, f"{error}; write the port of the frontend")
            continue
        found += [(port, line) for line in _lines_of(reader, name, is_file="FILE" in name)]
    return _group(found)


def _parse_backends(reader: SettingsReader) -> Mapping[str, tuple[str, ...]]:
    found: list[tuple[str, str]] = []
    for name, match in (*reader.family(_BACKEND), *reader.family(_BACKEND_FILE)):
        if make_name(match["name"]) != match["name"]:
            reader.add_fault(name, "ends in a name that HAProxy does not accept; use only letters, digits and - _ . :")
        elif make_backend_name(match["name"]) != match["name"]:
            reader.add_fault(name, "ends in a name that the proxy uses for its own sections; use another one")
        found += [(match["name"], line) for line in _lines_of(reader, name, is_file="BACKEND_FILE_" in name)]
    return _group(found)


def _lines_and_file(reader: SettingsReader, name: str) -> tuple[str, ...]:
    return reader.lines(name) + reader.file_lines(f"{name}_FILE")


def _lines_of(reader: SettingsReader, name: str, *, is_file: bool) -> tuple[str, ...]:
    return reader.file_lines(name) if is_file else reader.lines(name)


def _parse_options(reader: SettingsReader) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the options without the word `option`, and the other lines that some of them need."""
    lines = [line for lines in reader.entries("OPTION", values.parse_option) for line in lines]
    options = tuple(line.removeprefix("option ") for line in lines if line.startswith("option "))
    if _skips_forwarded_proto(reader) and not reader.is_set("OPTION"):
        # What the proxy in front says about the client is passed on unchanged, so we add no header of our own.
        options = tuple(option for option in options if option != "forwardfor")
    return options, tuple(line for line in lines if not line.startswith("option "))


def _parse_accept_proxy_from(reader: SettingsReader) -> tuple[str, ...]:
    name = "PROXY_ACCEPT_PROXY_FROM"
    if reader.is_set(name) and not split_list(reader.text(name)):
        reader.add_fault(name, "has no address in it; write the addresses of the balancers, such as 10.0.0.5,192.168.7.0/24")
    return reader.entries(name, values.parse_exact_network, has_blanks=False)


def _skips_forwarded_proto(reader: SettingsReader) -> bool:
    return reader.parse("SKIP_FORWARDED_PROTO", is_on, False)


def _parse_timeouts(reader: SettingsReader) -> tuple[str, ...]:
    timeouts = {**values.TIMEOUTS, **dict(reader.entries("TIMEOUT", values.parse_timeout))}
    return tuple(f"{name} {value}" for name, value in timeouts.items())


def _parse_log_target(reader: SettingsReader) -> str:
    # Usually no server listens at the documented default, so the log goes there only if the variable is set.
    if not reader.is_set("RSYSLOG_DESTINATION"):
        return "stdout"
    return reader.parse("RSYSLOG_DESTINATION", values.parse_log_target, "")


def _group(pairs: Iterable[tuple[Key, str]]) -> Mapping[Key, tuple[str, ...]]:
    """Return the lines by key, with sorted keys. The lines of a key keep their order."""
    grouped: dict[Key, list[str]] = {}
    for key, line in pairs:
        grouped.setdefault(key, []).append(line)
    return {key: tuple(lines) for key, lines in sorted(grouped.items())}
