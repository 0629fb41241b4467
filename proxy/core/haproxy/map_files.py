"""The names of the map files, as the configuration and the runtime API know them."""

from __future__ import annotations

MAP_FOLDER = "maps"
MAP_KINDS = ("hosts", "choices", "paths", "prefixes", "patterns", "wildcards")


def map_file(port: int, kind: str) -> str:
    """Return the name of one of a frontend's map files, as the configuration and the runtime API know it."""
    return f"{MAP_FOLDER}/{port}-{kind}.map"
