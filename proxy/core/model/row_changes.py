"""The differences between two states of the maps of a port."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.core.model.matching import Row

RowChange = tuple[str | None, str | None]
"""(value before, value after) of one key; None where the key does not exist."""


@dataclass(slots=True, kw_only=True)
class RowChanges:
    """The differences in the maps of one port: single rows for unordered kinds, all rows for an ordered kind."""

    rows: dict[str, dict[str, RowChange]] = field(default_factory=dict)
    ordered: dict[str, tuple[Row, ...]] = field(default_factory=dict)

    def then(self, later: RowChanges) -> RowChanges:
        """Return these changes and later ones combined."""
        rows: dict[str, dict[str, RowChange]] = {}
        for kind in {**self.rows, **later.rows}:
            first, second = self.rows.get(kind, {}), later.rows.get(kind, {})
            composed = {
                key: ((first.get(key) or second[key])[0], (second.get(key) or first[key])[1]) for key in {**first, **second}
            }
            rows[kind] = {key: change for key, change in composed.items() if change[0] != change[1]}
        return RowChanges(
            rows={kind: changes for kind, changes in rows.items() if changes}, ordered={**self.ordered, **later.ordered}
        )
