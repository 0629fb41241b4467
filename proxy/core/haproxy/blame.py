"""Whose fault is it that HAProxy refuses a configuration: from its alert lines back to services.

In: the alert lines of `haproxy -c` (or of a reload) and the state that was tried. Out: services, perhaps none, each with
the message and the line of haproxy.cfg. HAProxy tells the line number of most faults, and the name of the proxy or of the
certificate file of the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proxy.core.haproxy.file_names import CERTIFICATE_FOLDER, CONFIG_FILE
from proxy.core.haproxy.rendering import DesiredState
from proxy.core.labels.labels import free_settings
from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.model import RoutingModel
from proxy.core.model.port_uses import HTTP_PORT, HTTPS_PORT
from proxy.grammar.keywords import KNOWN_WORDS
from proxy.grammar.syntax import split_list
from proxy.printable import HIDDEN, MIN_SECRET_LENGTH

_LINE = re.compile(rf"{re.escape(CONFIG_FILE)}:(\d+)")
_PROXY = re.compile(r"(?:[Pp]roxy|[Bb]ackend|[Ff]rontend|[Ll]istener|[Ss]erver) '?([A-Za-z0-9_.:-]+?)(?:/[^']*)?'", re.ASCII)
_CERTIFICATE = re.compile(rf"{CERTIFICATE_FOLDER}/([^\s':]+\.pem)")
_PLACE = re.compile(rf"^(?:config : )?(?:parsing )?\[\S*{re.escape(CONFIG_FILE)}:\d+\] : ")
_SECTION = re.compile(r"(backend|defaults|frontend|listen) (\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accusation:
    """What HAProxy says against a service; `line` is the configuration's line, empty where it names none."""

    message: str
    line: str = ""


def blame(messages: Iterable[str], state: DesiredState) -> Mapping[str, Accusation]:
    """Return the first accusation against each service that a message leads to.

    A message on a profile or port that several services share leads to all of them; the caller finds out which.
    """
    lines = state.files[CONFIG_FILE].split("\n")
    owners = _owners(state.model)
    found: dict[str, Accusation] = {}
    for message in messages:
        for section, line in _places(message, lines):
            for service in owners.get(section, ()):
                found.setdefault(service, Accusation(message=_PLACE.sub("", message), line=line))
    return found


def find_setting(specs: Iterable[ContainerSpec], accusation: Accusation) -> tuple[str, str, str]:
    """Return (container, label, value) of the setting that the accused line was made of, empty where none is seen.

    Of several, the one whose words HAProxy's message quotes. A value that may hold a password is empty.
    """
    best: tuple[int, str, str, str] = (0, "", "", "")
    quoted = set(re.findall(r"'([^']+)'", accusation.message))
    for spec in specs:
        for setting in free_settings(spec.container):
            pieces = [piece for piece in split_list(setting.value) if piece in accusation.line]
            words = setting.value.split()
            if pieces or setting.value in accusation.line:
                score = 1 + sum(word in words for word in quoted) + sum(word in accusation.message for word in words)
                shown = setting.value if setting.is_shown else ""
                best = max(best, (score, spec.container.place, setting.name, shown))
    return best[1:]


def hide_values(specs: Iterable[ContainerSpec], message: str) -> str:
    """Return HAProxy's message without the words of settings that may hold passwords; known words of HAProxy stay."""
    settings = [setting for spec in specs for setting in free_settings(spec.container) if not setting.is_shown]
    values = " ".join(setting.value for setting in settings)
    pieces = {*re.findall(r"[^\s'\"\\,]+", values), *re.findall(r"[\w.-]+", values)}
    for piece in sorted(pieces, key=lambda piece: (-len(piece), piece)):
        if len(piece) >= MIN_SECRET_LENGTH and piece not in KNOWN_WORDS:
            message = message.replace(piece, HIDDEN)
    return message


def _places(message: str, lines: list[str]) -> Iterable[tuple[str, str]]:
    """(section, line) of every place that a message names."""
    for number in _LINE.findall(message):
        for line in reversed(lines[: int(number)]):
            if line and not line[0].isspace():
                match = _SECTION.match(line)
                if match:
                    yield match[2], lines[int(number) - 1].strip()
                break
    yield from ((name, "") for name in _PROXY.findall(message))
    yield from ((name, "") for name in _CERTIFICATE.findall(message))


def _owners(model: RoutingModel) -> Mapping[str, tuple[str, ...]]:
    owners: dict[str, tuple[str, ...]] = {}
    services = {backend.name: backend.services for backend in model.backends}
    for backend in model.backends:
        owners[backend.name] = backend.services
        owners[backend.profile.name] = owners.get(backend.profile.name, ()) + backend.services
    for listener in model.listeners:
        owners[listener.backend.name] = listener.backend.services
    for frontend in model.frontends:
        if frontend.port not in (HTTP_PORT, HTTPS_PORT):
            names = dict.fromkeys(route.backend for route in frontend.routes)
            owners[f"port_{frontend.port}"] = tuple(label for name in names for label in services[name])
    for stored in model.certificates:
        owners[stored.name] = stored.services
    return owners
