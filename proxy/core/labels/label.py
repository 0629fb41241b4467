"""The type of a row in the tables of labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.errors import shorten_reason
from proxy.grammar.hints import add_hint

MAX_LONG_VALUE = 65536
"""The number of characters of a label that holds a certificate or many virtual hosts. Others have `Label.max_length`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One row of the grammar. `parse` raises ValueError with the reason; `is_secret` values are never shown.

    An `is_switch` label is on with any value except a word that means no. A label in HAProxy's own language has `restrict`:
    it raises ValueError for what `parse` has returned, unless a label may have it (see `grammar/label_lines.py`).
    `separator` is the sign between the entries of a list.
    """

    name: str
    parse: Callable[[str], Any]
    help: str
    help_zh: str
    example: str = ""
    default: str = ""
    restrict: Callable[[Any], None] | None = None
    separator: str = ""
    max_length: int = 8192
    is_secret: bool = False
    is_switch: bool = False

    @property
    def is_shown(self) -> bool:
        """Whether messages show the value. Lines in HAProxy's language may hold passwords."""
        return not (self.is_secret or self.restrict)

    def read(self, text: str, *, is_restricted: bool = True) -> Any:
        """Return what the label says. Raises ValueError with the reason, and with a hint at typical mistakes."""
        if len(text) > self.max_length:
            raise ValueError(f"has {len(text)} characters, more than {self.max_length}")
        try:
            value = self.parse(text)
            if is_restricted and self.restrict:
                self.restrict(value)
        except ValueError as error:
            raise ValueError(
                add_hint(shorten_reason(str(error), text), text, self.separator, has_blanks=bool(self.restrict))
            ) from None
        return value
