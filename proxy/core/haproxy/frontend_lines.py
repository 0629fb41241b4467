"""The operator's own lines of a frontend (EXTRA_FRONTEND_SETTINGS), in the order in which HAProxy processes them.

In: the settings and a port. Out: lines. A line that chooses a service by name looks its backend up at each request.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from proxy.core.haproxy.file_names import map_file
from proxy.core.model.named_backends import ROW_KIND, parse_choice
from proxy.settings import RoutingSettings


class _Place(Enum):
    """Where a line of the operator stands in a frontend: before the proxy's own rules, after them, or below all rules."""

    RULES = auto()
    FALLBACK = auto()
    CHOICES = auto()


def frontend_lines(routing: RoutingSettings, port: int, *, chooses_backend: bool) -> Sequence[str]:
    """Return the operator's lines of a frontend: those that choose a backend, or the others.

    HAProxy warns of every `http-request` line below a `use_backend` line, for they are not processed in that order.
    """
    return _lines_at(routing, port, _Place.CHOICES if chooses_backend else _Place.RULES)


def fallback_lines(routing: RoutingSettings, port: int) -> Sequence[str]:
    """Return the operator's lines that choose a backend for what no route matches."""
    return _lines_at(routing, port, _Place.FALLBACK)


def _lines_at(routing: RoutingSettings, port: int, place: _Place) -> Sequence[str]:
    placed = [_place_line(line, port, routing) for line in routing.extra_frontend_settings.get(port, ())]
    return [line for its_place, line in placed if its_place is place]


def _place_line(line: str, port: int, routing: RoutingSettings) -> tuple[_Place, str]:
    """Return where a line of the operator stands, and how it is written there."""
    choice = parse_choice(line, routing)
    if choice is None:
        return _Place.CHOICES if line.startswith("use_backend ") else _Place.RULES, line
    backend = f"str({ROW_KIND}{choice.name}),map_str({map_file(port, 'choices')},{choice.name})"
    if choice.directive == "use_backend":
        return _Place.CHOICES, f"use_backend %[{backend}] {choice.condition}".rstrip()
    return _Place.FALLBACK, f"http-request set-var(txn.backend) {backend} if !{{ var(txn.backend) -m found }}"
