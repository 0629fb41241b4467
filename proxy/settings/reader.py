"""Reads environment variables according to the table in `proxy/settings/variables/all.py`, and collects every fault.

In: the mapping of variables. Out: parsed values, and one sentence per fault. The sentence names the variable, its value
unless it is secret, and the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from proxy.errors import shorten, shorten_reason
from proxy.grammar.hints import add_hint, is_in_quotes
from proxy.grammar.syntax import split_list
from proxy.secret import Secret
from proxy.settings.value_parsers import parse_lines
from proxy.settings.variables.all import VARIABLES
from proxy.settings.variables.variable import Variable

T = TypeVar("T")


class SettingsReader:
    """Reads one environment. `faults` gets a sentence for every value that cannot be used.

    `files` gets each file of lines that was read, with the variable that names it.
    """

    def __init__(self, environment: Mapping[str, str], read_text: Callable[[Path], str]) -> None:
        self.environment = environment
        self._read_text = read_text
        self._table: Mapping[str, Variable] = {variable.name: variable for variable in VARIABLES}
        self.faults: list[str] = []
        self.files: list[tuple[str, Path]] = []

    def is_set(self, name: str) -> bool:
        """Return whether the variable has a value. An empty one counts as unset."""
        return bool(self.environment.get(name, "").strip())

    def text(self, name: str) -> str:
        """Return the variable's value, stripped, or the table's default if it is unset or empty."""
        value = self.environment.get(name, "").strip()
        return value or (self._table[name].default if name in self._table else "")

    def parse(self, name: str, parser: Callable[[str], T], fallback: T) -> T:
        """Return the parsed value. Returns `fallback` if the variable is faulty, or is unset and has no default."""
        text = self.text(name)
        if not text:
            return fallback
        try:
            return parser(text)
        except ValueError as error:
            self.add_fault(name, add_hint(shorten_reason(str(error), text), text))
            return fallback

    def entries(self, name: str, parser: Callable[[str], T], *, has_blanks: bool = True) -> tuple[T, ...]:
        """Return the parsed entries of a comma list, without the faulty ones. With `has_blanks` an entry may be words."""
        if is_in_quotes(self.text(name)):
            self.add_fault(name, add_hint("", self.text(name)))
            return ()
        numbered = enumerate(split_list(self.text(name)), start=1)
        hint = partial(add_hint, separator=",", has_blanks=has_blanks)
        return self._parse_each(name, ((f"entry {number}", entry) for number, entry in numbered), parser, hint)

    def lines(self, name: str) -> tuple[str, ...]:
        """Return the configuration lines of a comma list."""
        return tuple(line for lines in self.entries(name, parse_lines) for line in lines)

    def file_lines(self, name: str) -> tuple[str, ...]:
        """Return the configuration lines of the file that the variable names, without blank lines and comments."""
        if not self.is_set(name):
            return ()
        parsed = self._parse_each(name, self._read_lines(name), parse_lines, add_hint)
        return tuple(line for lines in parsed for line in lines)

    def family(self, pattern: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str]]]:
        """Yield the variables that are set and whose whole name matches, sorted by name."""
        for name in sorted(self.environment):
            match = pattern.fullmatch(name)
            if match and self.is_set(name):
                yield name, match

    def secret_pem(self, name: str) -> Secret | None:
        r"""Return a PEM with real line breaks (a variable writes them as the two characters `\n`). It is not checked."""
        text = self.text(name)
        return Secret(text.replace("\\n", "\n").strip() + "\n") if text else None

    def add_fault(self, name: str, reason: str) -> None:
        """Record a fault. The message shows the value unless it is secret."""
        is_shown = self.is_set(name) and not (name in self._table and self._table[name].is_secret)
        self.faults.append(f"{name}={shorten(self.text(name))!r}: {reason}" if is_shown else f"{name}: {reason}")

    def _parse_each(
        self, name: str, entries: Iterator[tuple[str, str]], parser: Callable[[str], T], hint: Callable[[str, str], str]
    ) -> tuple[T, ...]:
        is_secret = name in self._table and self._table[name].is_secret
        parsed = []
        for place, entry in entries:
            try:
                parsed.append(parser(entry))
            except ValueError as error:
                shown = "" if is_secret else f" {shorten(entry)!r}"
                self.faults.append(f"{name}: {place}{shown}: {hint(shorten_reason(str(error), entry), entry)}")
        return tuple(parsed)

    def _read_lines(self, name: str) -> Iterator[tuple[str, str]]:
        path = Path(self.text(name))
        try:
            text = self._read_text(path)
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            self.add_fault(name, f"cannot be read ({why}); write the path of a text file that the proxy can read")
            return
        self.files.append((name, path))
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip() and not line.lstrip().startswith("#"):
                yield f"line {number}", line
