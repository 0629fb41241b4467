"""Compare what is desired with what runs, decide, explain. Nothing is sent from here.

In: two `DesiredState`s (the running one is what was applied last) and whether the user asked for a reload. Out: a `Plan`.
A `Reload` cannot be made without reasons; they are sentences for the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proxy.core.model import RoutingModel
from proxy.core.rendering import CONFIG_FILE, DesiredState


@dataclass(frozen=True, slots=True)
class Unchanged:
    """What runs is what is desired."""


@dataclass(frozen=True, slots=True)
class RuntimeUpdate:
    """The running HAProxy can be brought to the desired state by `commands`, in order, without a reload."""

    commands: tuple[str, ...]
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reload:
    """A new worker has to take over, for `reasons`."""

    reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.reasons:
            raise ValueError("a reload needs a reason")


Plan = Unchanged | RuntimeUpdate | Reload

MAX_REASONS = 8
"""More changes than this are counted rather than listed in the log."""


def make_plan(desired: DesiredState, running: DesiredState | None, *, forced_by: str = "") -> Plan:
    """Return what is to be done so that `desired` runs; `forced_by` tells who asked for a reload in any case."""
    if running is None:
        return Reload(("first configuration",))
    changes = tuple(describe_changes(desired, running))
    if forced_by:
        return Reload((forced_by, *changes))
    return Reload(changes) if changes else Unchanged()


def describe_changes(desired: DesiredState, running: DesiredState) -> Iterable[str]:
    """Yield a phrase for each thing that differs; nothing when the files are equal."""
    if desired.files == running.files:
        return
    phrases = [*_model_changes(desired.model, running.model)]
    yield from phrases[:MAX_REASONS]
    if len(phrases) > MAX_REASONS:
        yield f"{len(phrases) - MAX_REASONS} more changes"
    if not phrases:
        names = sorted(_differing(desired.files, running.files))
        yield f"changed files: {', '.join(names[:MAX_REASONS]) or CONFIG_FILE}"


def _model_changes(desired: RoutingModel, running: RoutingModel) -> Iterable[str]:
    yield from _differences("port", _by_name(desired.frontends, "port"), _by_name(running.frontends, "port"))
    yield from _differences("TCP port", _by_name(desired.listeners, "port"), _by_name(running.listeners, "port"))
    yield from _differences("backend", _by_name(desired.backends, "name"), _by_name(running.backends, "name"))
    yield from _differences(
        "certificate", _by_name(desired.certificates, "name"), _by_name(running.certificates, "name")
    )


def _differences(kind: str, desired: Mapping[object, object], running: Mapping[object, object]) -> Iterable[str]:
    for name in desired:
        if name not in running:
            yield f"new {kind} {name}"
        elif desired[name] != running[name]:
            yield f"changed {kind} {name}"
    yield from (f"removed {kind} {name}" for name in running if name not in desired)


def _by_name(values: Iterable[object], attribute: str) -> Mapping[object, object]:
    return {getattr(value, attribute): value for value in values}


def _differing(desired: Mapping[str, str], running: Mapping[str, str]) -> set[str]:
    return {name for name in {*desired, *running} if desired.get(name) != running.get(name)}
