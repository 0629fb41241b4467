"""The model as text: haproxy.cfg, map files, certificate files and the list of certificates.

In: `RoutingModel`, settings, a Jinja environment over `proxy/templates/`. Out: `DesiredState`. Templates are views: what
they print is decided here and before. Equal models give byte-equal files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from jinja2 import Environment, Template, TemplateNotFound, TemplateSyntaxError
from jinja2 import TemplateError as JinjaError

from proxy.core.haproxy.cluster_section import ClusterOffer, bind_words, resolver_lines, section_lines, stream_lines
from proxy.core.haproxy.default_checks import loaded_check
from proxy.core.haproxy.defaults_section import default_lines
from proxy.core.haproxy.file_names import CA_FILE, CERTIFICATE_FOLDER, CERTIFICATE_LIST, CONFIG_FILE, MAP_KINDS, map_file
from proxy.core.haproxy.forwarded_headers import forwarding_lines
from proxy.core.haproxy.frontend_lines import fallback_lines, frontend_lines
from proxy.core.haproxy.loaded import add_digest
from proxy.core.haproxy.own_lines import STANDARD_OUTPUT, Substitutes, adapt
from proxy.core.haproxy.source_limits import SOURCE_TABLE, SOURCES, body_lines, connection_lines
from proxy.core.model.backends import PEERS, USERLIST
from proxy.core.model.matching import Row
from proxy.core.model.model import Backend, Frontend, RoutingModel, Server, ServerState
from proxy.errors import TemplateError
from proxy.grammar.syntax import quote
from proxy.grammar.virtual_host import DOMAIN_OF_REQUEST
from proxy.printable import HIDDEN, hide_passwords
from proxy.secret import Secret
from proxy.settings import HaproxySettings, ProxyMode, Settings

LOCAL_PEER = "this"
"""The name of this HAProxy among its peers; without one it would be the name of the host, which need not be fit."""

SMALL_BUFFER_BYTES = 4096
"""Where HAProxy >= 3.4 keeps a request that it may have to send again, if it fits: keeping it in a whole buffer (16 KB)
costs a sixth of the throughput (docs/benchmarks.md)."""

MAX_RELOADS_OF_A_WORKER = 50
"""How many reloads an old worker may outlive: bounds their number where `hard-stop-after` bounds their time."""

_CHECK_PLACE = "\0"
"""Stands for the default health check in the text of a backend that is kept; no setting can hold it (`grammar.syntax`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredState:
    """Every file HAProxy is to run from (name relative to the state's folder -> text) and the model they print.

    The files hold keys and passwords: they go to files of mode 0600 and nowhere else.
    """

    model: RoutingModel
    files: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where HAProxy finds what does not change with the configuration."""

    runtime_socket: Path
    server_state: Path

    @property
    def peers_socket(self) -> Path:
        """Where an old worker finds the new one to hand its sessions to."""
        return self.runtime_socket.with_name("peers.sock")


class Renderer:
    """Renders models; keeps the text of backends that have not changed.

    `substitutes` tells what stands for names and files of the settings that are not there now, and `cluster` what this
    proxy offers to others of its cluster.
    """

    def __init__(
        self,
        environment: Environment,
        settings: Settings,
        paths: Paths,
        substitutes: Callable[[], Substitutes] = Substitutes,
        cluster: Callable[[], ClusterOffer | None] = lambda: None,
    ) -> None:
        self._environment = environment
        self._backend: Template | None = None
        self._settings = settings
        self._paths = paths
        self._substitutes = substitutes
        self._cluster = cluster
        self._backend_texts: dict[str, tuple[Backend, str]] = {}

    def render(self, model: RoutingModel) -> DesiredState:
        """Return everything that HAProxy needs to run `model`; raise TemplateError where a template cannot be printed."""
        files = {CONFIG_FILE: add_digest(self.render_config(model, show_secrets=True))}
        for frontend in model.frontends:
            if frontend.mode is not ProxyMode.TCP:
                files.update(render_maps(frontend))
        if model.certificates:
            files[CERTIFICATE_LIST] = "".join(f"{CERTIFICATE_FOLDER}/{stored.name}\n" for stored in model.certificates)
        for stored in model.certificates:
            files[f"{CERTIFICATE_FOLDER}/{stored.name}"] = stored.certificate.pem.reveal()
        if model.client_ca:
            files[CA_FILE] = model.client_ca.reveal()
        self._backend_texts = {backend.name: self._backend_texts[backend.name] for backend in model.backends}
        return DesiredState(model=model, files=files)

    def render_fixed(self, model: RoutingModel) -> str:
        """Return haproxy.cfg as far as no command can change it: one backend stands for all that share a profile."""
        by_profile = {backend.profile.name: backend for backend in model.backends if not backend.lines}
        own = tuple(backend for backend in model.backends if backend.lines)
        fewer = dataclasses.replace(model, backends=(*by_profile.values(), *own))
        return self.render_config(fewer, show_secrets=True)

    def render_config(self, model: RoutingModel, *, show_secrets: bool) -> str:
        """Return haproxy.cfg; with `show_secrets` false, passwords are printed as `***`.

        Templates that were changed since the last time are read again.
        """
        try:
            text = self._render_config(model, show_secrets=show_secrets)
            return text if show_secrets else hide_passwords(text)
        except TemplateNotFound as error:
            text = f"the template {error.name} of haproxy.cfg is missing or cannot be read; correct it (PROXY_TEMPLATES)"
            raise TemplateError(text) from error
        except JinjaError as error:
            line = f" line {error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
            text = f"a template of haproxy.cfg cannot be printed{line}: {error.message}; correct it (PROXY_TEMPLATES)"
            raise TemplateError(text) from error

    def _render_config(self, model: RoutingModel, *, show_secrets: bool) -> str:
        backend_template = self._environment.get_template("backend.cfg.j2")
        if backend_template is not self._backend:
            self._backend, self._backend_texts = backend_template, {}
        check = loaded_check(model.count_default_checks())
        substitutes = self._substitutes()
        settings = adapt(self._settings, substitutes)
        head = self._environment.get_template("haproxy.cfg.j2").render(
            settings=settings,
            paths=self._paths,
            model=model,
            routing=settings.routing,
            tls_bind=self._tls_bind(model),
            small_buffer_bytes=_small_buffer_bytes(settings.haproxy),
            logs=_log_targets(settings.haproxy.log_target),
            defaults={mode: default_lines(settings.haproxy, mode) for mode in (ProxyMode.HTTP, ProxyMode.TCP)},
            profiles=_profiles(model),
            userlist=USERLIST,
            peers=PEERS,
            local_peer=LOCAL_PEER,
            has_stick_tables=_has_stick_tables(model),
            sources=SOURCES,
            source_table=SOURCE_TABLE,
            connection_lines=partial(connection_lines, settings),
            body_lines=body_lines(settings.haproxy),
            forwarding_lines=partial(forwarding_lines, settings),
            frontend_lines=partial(frontend_lines, settings.routing),
            fallback_lines=partial(fallback_lines, settings.routing),
            domain_of_request=DOMAIN_OF_REQUEST,
            max_reloads=MAX_RELOADS_OF_A_WORKER,
            map_file=map_file,
            quote=quote,
            secret=lambda secret: _show(secret, show_secrets=show_secrets),
            server_line=partial(server_line, default_check=check),
            **_cluster_words(self._cluster(), settings.haproxy.maxconn),
        )
        backends = "".join(self._backend_text(backend_template, backend) for backend in model.backends)
        return substitutes.put_files(head + backends.replace(_CHECK_PLACE, check))

    def _backend_text(self, template: Template, backend: Backend) -> str:
        """Return a backend's section; where the default health check goes, its place is marked."""
        known, text = self._backend_texts.get(backend.name, (None, ""))
        if known != backend:
            text = template.render(backend=backend, server_line=partial(server_line, default_check=_CHECK_PLACE))
            self._backend_texts[backend.name] = (backend, text)
        return text

    def _tls_bind(self, model: RoutingModel) -> str:
        if not model.certificates:
            return ""
        words = ["ssl", "crt-list", CERTIFICATE_LIST]
        if model.client_ca:
            words += ["ca-file", CA_FILE, "verify", "required"]
        return " ".join(words)


def render_maps(frontend: Frontend) -> dict[str, str]:
    """Return the map files of a frontend by name; every kind is there, empty ones too, so that rows can come at runtime."""
    return {map_file(frontend.port, kind): _rows(getattr(frontend.tables, kind)) for kind in MAP_KINDS}


def server_line(server: Server, default_check: str) -> str:
    """Return the `server` line of the configuration; `default_check` where nobody has set a health check."""
    disabled = " disabled" if server.state is ServerState.MAINT else ""
    return f"server {server.name} {' '.join(server_words(server, default_check))}{disabled}"


def server_words(server: Server, default_check: str) -> list[str]:
    """Return what follows a server's name, as the configuration writes it. Its options are one text, perhaps with quotes."""
    words = [_address(server)]
    if server.cookie:
        words += ["cookie", server.cookie]
    if server.weight is not None:
        words += ["weight", str(server.weight)]
    if server.is_backup:
        words.append("backup")
    if server.has_default_check:
        words.append(default_check)
    return [*words, server.options] if server.options else words


def _address(server: Server) -> str:
    return f"[{server.address}]:{server.port}" if ":" in server.address else f"{server.address}:{server.port}"


def _rows(rows: Sequence[Row]) -> str:
    return "".join(f"{key} {value}\n" for key, value in rows)


def _has_stick_tables(model: RoutingModel) -> bool:
    """Whether there is anything to hand over: with a peers section a worker takes 5 s longer to stop [tried, 3.4]."""
    backends = (*model.backends, *(listener.backend for listener in model.listeners))
    return any(line.startswith("stick-table ") for backend in backends for line in backend.lines)


def _profiles(model: RoutingModel) -> Sequence[tuple[str, Sequence[str]]]:
    """(header, lines) of each profile, by name; a profile builds on the defaults of its mode."""
    profiles = {backend.profile for backend in model.backends} | ({model.plain_profile} if model.plain_profile else set())
    return [(f"{profile.name} from {profile.mode}", profile.lines) for profile in sorted(profiles, key=lambda p: p.name)]


def _cluster_words(offer: ClusterOffer | None, maxconn: int) -> Mapping[str, object]:
    """Return what the template prints of the cluster's section."""
    if offer is None:
        return {"cluster": None}
    return {
        "cluster": offer,
        "cluster_resolvers": resolver_lines(offer),
        "cluster_stream_lines": stream_lines(),
        "cluster_bind": bind_words(offer),
        "cluster_lines": section_lines(offer, maxconn),
    }


def _small_buffer_bytes(haproxy: HaproxySettings) -> int | None:
    """None where the operator sets the size of buffers: a small one may not be larger than the others."""
    lines = haproxy.extra_global_settings
    return None if any(line.startswith("tune.bufsize") for line in lines) else SMALL_BUFFER_BYTES


def _log_targets(target: str) -> Sequence[str]:
    if target == STANDARD_OUTPUT:
        return ["stdout format raw local0"]
    return [f"{target} local0", f"{target} local1 notice"]


def _show(secret: Secret, *, show_secrets: bool) -> str:
    return quote(secret.reveal()) if show_secrets else HIDDEN
