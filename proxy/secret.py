"""Text that must not be shown: keys and passwords."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A key or password. Its `repr` and `str` show nothing. Call `reveal` only to write it to its place or to parse it."""

    _text: str

    def reveal(self) -> str:
        """Return the text itself, to be written to a file of mode 0600 or given to a parser."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"
