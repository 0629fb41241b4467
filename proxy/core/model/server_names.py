"""The names of servers and the values of their cookies. No two servers share a name.

In: the spec of a container, and a port. Out: names that follow the rules of `grammar/syntax`: a name determines all
settings that HAProxy cannot change once the server exists.
"""

from __future__ import annotations

import re

from proxy.core.containers.containers import Container
from proxy.core.labels.specs import ContainerSpec
from proxy.grammar.syntax import ServerName, make_digest, make_distinct_name, make_server_name

_ENGINE_ID = re.compile(r"[0-9a-f]{64}")
_LIKE_ENGINE = re.compile(r".*\.[0-9a-f]{12}", re.DOTALL)
_LIKE_FILE = re.compile(r".*-\d+", re.DOTALL)


def server_name(spec: ContainerSpec, port: int, *, has_cookie: bool = False) -> ServerName:
    """Return a name that people recognise and that no other container ever has, not even a recreated one.

    The settings of an engine's container are fixed together with its id, so they are not part of the name. Two things can
    change under the same id and are part of it: the settings of a linked container, since the link may be added later, and,
    with a cookie, whether the port is the container's first one. For a container of another source, its settings are always
    part of the name.
    """
    container, settings = spec.container, spec.settings
    is_of_engine = _is_of_engine(container)
    words: tuple[object, ...] = ()
    if not is_of_engine or container.alias:
        words = settings.health_check, settings.extra_route_settings, settings.is_backup
    if has_cookie and not _is_first_port(spec, port):
        words = *words, port
    text = f"{container.name}.{container.id[:12]}" if is_of_engine else container.name
    variant = make_digest(repr(words)) if any(words) else ""
    return make_server_name(text, container.source, port, variant, is_taken=_is_name_of_others(container))


def cookie_value(spec: ContainerSpec, port: int) -> str:
    """Return the container's id, followed by the port unless it is the first. So each value leads to one server."""
    container = spec.container
    # The id of a container of the services file is `project/name`, and there is only one project.
    text = container.id.replace("/", "-", 1) if container.source == "file" else container.id
    value = make_distinct_name(text, container.source, is_taken=_is_name_of_others(container))
    return value if _is_first_port(spec, port) else f"{value}:{port}"


def _is_of_engine(container: Container) -> bool:
    return _ENGINE_ID.fullmatch(container.id) is not None


def _is_name_of_others(container: Container) -> bool:
    """Say whether a container without an engine's id has a name that a container of another source could have.

    Names of an engine's containers end in an id, those of the services file in a number. Only links can have any name.
    """
    name = container.name
    is_numbered_link = bool(container.alias and _LIKE_FILE.fullmatch(name))
    return not _is_of_engine(container) and (is_numbered_link or _LIKE_ENGINE.fullmatch(name) is not None)


def _is_first_port(spec: ContainerSpec, port: int) -> bool:
    """Say whether the port is the lowest routed one. This depends on which ports are published, not only on labels."""
    return spec.ports[:1] == (port,)
