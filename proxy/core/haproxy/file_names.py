"""The names of the files that HAProxy runs from, relative to their folder, as the runtime API knows them, too."""

from __future__ import annotations

CONFIG_FILE = "haproxy.cfg"
CERTIFICATE_LIST = "certificates.list"
CERTIFICATE_FOLDER = "certs"
CA_FILE = "certs/ca/client-ca.pem"
MAP_FOLDER = "maps"
MAP_KINDS = ("hosts", "choices", "paths", "prefixes", "patterns", "wildcards")


def map_file(port: int, kind: str) -> str:
    """Return the name of one of a frontend's map files, as the configuration and the runtime API know it."""
    return f"{MAP_FOLDER}/{port}-{kind}.map"
