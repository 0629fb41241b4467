"""The type of a row in the table of environment variables."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One environment variable, or a family of them: `<PORT>` and `<NAME>` in a name stand for any port or name.

    `default` is the text that is used if the variable is unset or empty. The value of an `is_secret` variable is never
    shown. An `is_switch` variable is on with any value except a word that means no.
    """

    name: str
    default: str = ""
    help: str
    help_zh: str
    example: str = ""
    is_secret: bool = False
    is_switch: bool = False

    def matches(self, name: str) -> bool:
        """Return whether `name` is this variable, or one of this family."""
        pattern = re.escape(self.name).replace("<PORT>", r"\d+").replace("<NAME>", ".+")
        return re.fullmatch(pattern, name) is not None
