"""Writes the reference tables of the READMEs from the tables that the program itself uses.

In: `VARIABLES`, `LABELS`, `ROUTING_LABELS`. Out: Markdown between the marks `<!-- variables:begin -->` and
`<!-- variables:end -->` (the same with `labels` and `routing-labels`) in README.md and README.zh-CN.md. `python -m
proxy.commands.reference` writes the tables; with `--check` it only compares them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from proxy.core.labels.labels import LABELS, PREFIX
from proxy.core.labels.simple_routing import ROUTING_LABELS
from proxy.settings.variables.all import VARIABLES


class Row(Protocol):
    """The fields that a row of a reference table is made from."""

    @property
    def name(self) -> str: ...
    @property
    def default(self) -> str: ...
    @property
    def help(self) -> str: ...
    @property
    def help_zh(self) -> str: ...
    @property
    def example(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """The words of a table in one language. `example` is put before an example."""

    variable: str
    label: str
    default: str
    meaning: str
    example: str
    is_chinese: bool = False


ENGLISH = Language(variable="variable", label="label", default="default", meaning="meaning", example="; e.g. ")
CHINESE = Language(variable="环境变量", label="标签", default="默认值", meaning="说明", example="；例如 ", is_chinese=True)


def render_blocks(language: Language) -> Mapping[str, str]:
    """Return the tables by the name of their block."""
    return {
        "variables": render_table(VARIABLES, language, first_column=language.variable),
        "labels": render_table(LABELS, language, first_column=language.label, prefix=PREFIX),
        "routing-labels": render_table(ROUTING_LABELS, language, first_column=language.label),
    }


def render_table(rows: Sequence[Row], language: Language, *, first_column: str, prefix: str = "") -> str:
    """Return `rows` as a Markdown table, in their order."""
    lines = [f"| {first_column} | {language.default} | {language.meaning} |", "| --- | --- | --- |"]
    for row in rows:
        meaning = row.help_zh if language.is_chinese else row.help
        if row.example:
            meaning += f"{language.example}{_code(row.example)}"
        cells = (_code(prefix + row.name), _code(row.default) if row.default else "", meaning)
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def update_blocks(text: str, blocks: Mapping[str, str]) -> str:
    """Return `text` with the content of every marked block replaced.

    Raises ValueError unless the marks of every block appear exactly once.
    """
    for name, content in blocks.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            raise ValueError(f"must hold the marks {begin} and {end} once, in this order")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{content}{end}{rest.partition(end)[2]}"
    return text


def main(arguments: Sequence[str], folder: Path) -> int:
    """Update the READMEs in `folder`, or compare them. Return 1 when `--check` finds a difference, else 0.

    Exits with 2 when a README cannot be read or lacks the marks.
    """
    parser = argparse.ArgumentParser(prog="python -m proxy.commands.reference", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 when a table is out of date")
    is_check = parser.parse_args(arguments).check
    outdated = 0
    for name, language in (("README.md", ENGLISH), ("README.zh-CN.md", CHINESE)):
        path = folder / name
        try:
            text = path.read_text(encoding="utf-8")
            updated = update_blocks(text, render_blocks(language))
        except (OSError, ValueError) as error:
            parser.error(f"{name}: {error}")
        if updated == text:
            continue
        outdated += 1
        if not is_check:
            path.write_text(updated, encoding="utf-8")
        print(
            f"{name}: "
            + ("tables are out of date; run python -m proxy.commands.reference" if is_check else "tables updated")
        )
    return 1 if is_check and outdated else 0


def _code(text: str) -> str:
    return f"`{text}`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).resolve().parent.parent.parent))
