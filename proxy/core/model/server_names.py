"""What servers are called, and the values of their cookies: from a container and its port to a name no other server has.

In: the spec of a container. Out: names that hold to the rules of `grammar/syntax`: such a name tells the settings that
HAProxy can change no more once the server is there.
"""

from __future__ import annotations

import re

from proxy.core.containers.containers import Container
from proxy.core.labels.labels import ContainerSpec
from proxy.grammar.syntax import ServerName, make_digest, make_distinct_name, make_server_name

_ENGINE_ID = re.compile(r"[0-9a-f]{64}")
_LIKE_ENGINE = re.compile(r".*\.[0-9a-f]{12}", re.DOTALL)
_LIKE_FILE = re.compile(r".*-\d+", re.DOTALL)


def server_name(spec: ContainerSpec, port: int, *, has_cookie: bool = False) -> ServerName:
    """Return a name that people recognise and that no other container ever has, a recreated one included.

    The settings of an engine's container follow from its id, and show only where they can change under the same id: all
    of those of a linked container, since the proxy may be linked to it later; and whether a port is its first one.
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
    """Return the container's id; with the port behind it for all but the first, since a value leads to a single server."""
    container = spec.container
    # The id of a container of the services file is `project/name`, and there is one project.
    text = container.id.replace("/", "-", 1)
    value = make_distinct_name(text, container.source, is_taken=_is_name_of_others(container))
    return value if _is_first_port(spec, port) else f"{value}:{port}"


def _is_of_engine(container: Container) -> bool:
    return _ENGINE_ID.fullmatch(container.id) is not None


def _is_name_of_others(container: Container) -> bool:
    """Whether a container without an engine's id is called as one of another source could be.

    Those of an engine end in an id, those of the services file in a number; only links can have any name.
    """
    name = container.name
    is_numbered_link = bool(container.alias and _LIKE_FILE.fullmatch(name))
    return not _is_of_engine(container) and (is_numbered_link or _LIKE_ENGINE.fullmatch(name) is not None)


def _is_first_port(spec: ContainerSpec, port: int) -> bool:
    """Whether no port of the container comes before this one; it depends on what else is published, not on labels alone."""
    return spec.ports[:1] == (port,)
