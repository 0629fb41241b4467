"""Labels and variables that are nearly right: misspelt, with another prefix, or in a place where the proxy does not look.

In: a container, or the environment or labels of the proxy's own container. Out: a `Problem` for each, with the name that is
meant. Their values are in no message, because a misspelt `SSL_CERT` holds a key. Labels of orchestrators, and those of the
other routing mode, are left alone: another proxy may read them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping

from proxy.core.containers.containers import Container, ProxyContainer
from proxy.core.labels.labels import LABELS, PREFIX, service_label
from proxy.core.labels.simple_routing import PORT_PREFIX, PROBE_PREFIX, ROUTING_LABELS, ROUTING_PREFIX
from proxy.errors import THE_PROXY, Problem, shorten
from proxy.grammar.spelling import IN_NAMESPACE, may_be_ours, nearest, squeeze
from proxy.settings import RoutingMode
from proxy.settings.variables.all import is_variable, unclear_switches, unknown_variables

_NAMES = tuple(label.name for label in LABELS)
_ROUTING_NAMES = tuple(label.name for label in ROUTING_LABELS)
_LONG_NAMES = tuple(name for name in _NAMES if len(name) >= 8)
"""Shorter names of variables are those of many other programs (`WEIGHT`, `NETWORK`)."""
_BEGINS_ROUTE = frozenset({"VIRTUAL_HOST", "TCP_PORTS", "required"})
_SYNONYMS = {"host", "hosts", "hostname", "domain", "domains", "servername", "url"}
"""Words for what `VIRTUAL_HOST` says."""
_OTHERS = re.compile(
    r"aliyun\.(scale|global|depends|rolling_updates|custom_addon|monitor|latest_image|gpu|ulimit|"
    r"(lb|logs?|slb|com|volume|lifecycle|node|environment|template)[._].*|log_\w+)"
)
"""Labels of the orchestrator that these proxies come from."""
_ROUTED_PORT = re.compile(r"port_?(\d+)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+$")


_NOT_CUSTOM = f"is a label of simple routing; set PROXY_MODE=acsrouting, or use {PREFIX}VIRTUAL_HOST"
_NOT_SIMPLE = f"is not read with PROXY_MODE=acsrouting; remove PROXY_MODE, or use {PORT_PREFIX}<N>"
OF_OTHER_MODE = frozenset({_NOT_CUSTOM, _NOT_SIMPLE})
"""What is said of labels that another proxy may read. It is worth saying only while this one has no service at all."""


def find_misspellings(container: Container, mode: RoutingMode) -> tuple[Problem, ...]:
    """Return a problem for each label and variable of `container` that is nearly right."""
    found = [*_label_faults(container, mode), *_misplaced(container, mode), *_of_other_mode(container, mode)]
    if mode is RoutingMode.CUSTOM:
        found += [*_variable_faults(container)] if container.environment else []
        found += _without_route(container) if not found else []
    return tuple(found)


def find_own_misspellings(environment: Mapping[str, str]) -> tuple[Problem, ...]:
    """Return a note for each variable of the proxy's own environment that belongs to a service, is misspelt, or unclear."""
    notes: list[Problem] = []
    rest = dict(environment)
    for name in sorted(environment):
        reason = _own_variable_reason(name) if environment[name].strip() else None
        if reason:
            notes.append(Problem(service=THE_PROXY, reason=f"{name} {reason}", is_note=True))
            del rest[name]
    unknown = unknown_variables({name: value for name, value in rest.items() if value.strip()})
    sentences = (*unknown, *unclear_switches(environment))
    return (*notes, *(Problem(service=THE_PROXY, reason=sentence, is_note=True) for sentence in sentences))


def find_own_labels(proxy: ProxyContainer, mode: RoutingMode) -> tuple[Problem, ...]:
    """Return a note for each label of routing that the proxy's own container has."""
    prefix = PREFIX if mode is RoutingMode.CUSTOM else PORT_PREFIX
    reason = "has no effect on the proxy's own container; set it on the containers of the service"
    return tuple(
        Problem(service=THE_PROXY, container=proxy.name, setting=key, reason=reason, is_note=True)
        for key in sorted(proxy.labels)
        if key.startswith(prefix)
    )


def _label_faults(container: Container, mode: RoutingMode) -> Iterator[Problem]:
    for key in sorted(container.labels):
        if reason := _label_reason(key, mode):
            yield _problem(container, shorten(_written(key)), reason)


@functools.lru_cache(maxsize=8192)
def _label_reason(key: str, mode: RoutingMode) -> str | None:
    """Return what is wrong with the name of a label; None for one that is right, or is nothing of the proxy's."""
    if key.startswith((ROUTING_PREFIX, PROBE_PREFIX)) or _OTHERS.fullmatch(key) or not may_be_ours(key):
        return None
    if mode is RoutingMode.SIMPLE:
        meant = None if key.startswith(PREFIX) else _meant_routing_label(key)
        return f"is not a label of simple routing; did you mean {meant}?" if meant else None
    name = key.removeprefix(PREFIX)
    if name == key:
        meant = _meant_label(key)
        return f"is not a label of the proxy; did you mean {meant}?" if meant else None
    return None if name in _NAMES else _name_reason(name)


def _written(key: str) -> str:
    """Return the name in a key that has quotes around it, or something after it. That may be a value, even a secret one."""
    return re.split(r"[\s:=]", key.strip("\"' "), maxsplit=1)[0]


def _name_reason(name: str) -> str:
    """Return what is wrong with a name that follows `aliyun.proxy.` and is none of the labels."""
    written = _written(name)
    if written != name and written in _NAMES:
        label = PREFIX + written
        return f"has something after its name; write `{label}: value` in a mapping, and `{label}=value` in a list"
    if is_variable(name):
        return "is no label: it is a setting of the whole proxy; set it as a variable of the proxy's container"
    if number := _ROUTED_PORT.fullmatch(name):
        other = f"{PORT_PREFIX}{number[1]} of simple routing"
        return f"is not a label of the proxy and is ignored; did you mean {PREFIX}VIRTUAL_HOST, or {other}?"
    if meant := "VIRTUAL_HOST" if squeeze(name) in _SYNONYMS else nearest(name, _NAMES, similarity=IN_NAMESPACE):
        return f"is not a label of the proxy and is ignored; did you mean {PREFIX}{meant}?"
    return "is not a label of the proxy and is ignored; the README lists the labels"


def _meant_label(key: str) -> str | None:
    """Return the label of custom routing that is meant by one with another prefix."""
    letters = squeeze(key)
    for name in _NAMES:
        whole = squeeze(PREFIX + name)
        if letters == whole or letters.removeprefix("acs") in (f"{half}{squeeze(name)}" for half in _HALVES):
            return PREFIX + name
    if letters == squeeze("VIRTUAL_HOST"):
        return f"{PREFIX}VIRTUAL_HOST"
    return nearest(_written(key), [PREFIX + name for name in _NAMES])


_HALVES = ("aliyun", "proxy", "haproxy", "aliyunhaproxy")
"""What stands in the place of `aliyun.proxy`, besides its misspellings. What follows must then be right."""


def _meant_routing_label(key: str) -> str | None:
    """Return the label of simple routing that is meant by one with another prefix."""
    number = _NUMBER.search(key)
    letters = squeeze(_NUMBER.sub("N", key))
    meant = None
    for name in _ROUTING_NAMES:
        short = squeeze(name).removeprefix("aliyunrouting").removeprefix("aliyunprobe")
        if letters == squeeze(name) or letters in (f"aliyun{short}", f"routing{short}", f"acsrouting{short}"):
            meant = name
    meant = meant or nearest(letters, _ROUTING_NAMES)
    return meant.replace("<N>", number[0] if number else "80") if meant else None


def _variable_faults(container: Container) -> Iterator[Problem]:
    """Yield what is wrong with variables: misspelt ones of linked containers, and routes of those that are not linked."""
    has_route = any(PREFIX + name in container.labels for name in _BEGINS_ROUTE)
    for name, value in sorted(container.environment.items()):
        label = name.removeprefix(PREFIX) if name.startswith(PREFIX) else ""
        meant = label if label in _NAMES else _meant_variable(name)
        if not value.strip() or meant is None:
            continue
        if container.alias:
            if name not in _NAMES:
                yield _problem(container, name, f"is not a variable of the proxy; did you mean {meant}?", is_note=not label)
        elif label or (meant == "VIRTUAL_HOST" and not has_route):
            reason = f"is a variable, and variables count only for linked containers; set the label {PREFIX}{meant}"
            yield _problem(container, name, reason, is_note=True)


def _meant_variable(name: str) -> str | None:
    """Return the variable of a linked container that is meant; short names must be right but for case and separators."""
    exact = next((each for each in _LONG_NAMES if squeeze(each) == squeeze(name)), None)
    return exact or (None if "_ENV_" in name or name.endswith(("_DIR", "_FILE")) else nearest(name, _LONG_NAMES))


def _misplaced(container: Container, mode: RoutingMode) -> Iterator[Problem]:
    prefix = PREFIX if mode is RoutingMode.CUSTOM else PORT_PREFIX
    for key in container.service_labels:
        if key.startswith(prefix) and key not in container.labels:
            reason = "is in deploy.labels, which the containers do not get; move it to the labels of the service itself"
            yield _problem(container, key, reason)


def _of_other_mode(container: Container, mode: RoutingMode) -> Iterator[Problem]:
    """Yield a note about a container that asks for a route only in the words of the other routing mode."""
    prefixes = (PORT_PREFIX, PREFIX) if mode is RoutingMode.CUSTOM else (f"{PREFIX}VIRTUAL_HOST", ROUTING_PREFIX)
    theirs = [key for key in sorted(container.labels) if key.startswith(prefixes[0])]
    if theirs and not any(key.startswith(prefixes[1]) for key in container.labels):
        reason = _NOT_CUSTOM if mode is RoutingMode.CUSTOM else _NOT_SIMPLE
        yield _problem(container, theirs[0], reason, is_note=True)


def _without_route(container: Container) -> Iterator[Problem]:
    """Yield a note about a container whose labels set something, but do not ask for a route."""
    if container.alias or any(container.labels.get(PREFIX + name, "").strip() for name in _BEGINS_ROUTE):
        return
    given = [PREFIX + name for name in _NAMES if container.labels.get(PREFIX + name, "").strip()]
    if given:
        routes = ", ".join(PREFIX + name for name in sorted(_BEGINS_ROUTE))
        yield _problem(container, given[0], f"has no effect: the container has none of {routes}", is_note=True)


def _own_variable_reason(name: str) -> str | None:
    """Return why a variable of the proxy's own environment has no effect; None if it is no setting of a service."""
    if is_variable(name):
        return None
    if name in _NAMES:
        advice = f"set the label {PREFIX}{name} on the service's containers"
        return f"is a setting of a service and has no effect on the proxy; {advice}"
    if name.startswith((PREFIX, ROUTING_PREFIX, PROBE_PREFIX)):
        return "is a label, not a variable; set it under `labels` of the service's containers"
    meant = _meant_variable(name)
    if meant is None or is_variable(meant):
        return None
    return f"has no effect on the proxy; did you mean the label {PREFIX}{meant}, on the service's containers?"


def _problem(container: Container, setting: str, reason: str, *, is_note: bool = False) -> Problem:
    return Problem(
        service=service_label(container), container=container.place, setting=setting, reason=reason, is_note=is_note
    )
