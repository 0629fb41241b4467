"""The command line in this process, with a services file and a small program in the place of HAProxy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.adapters.files.status_file import STATUS_FILE, Status
from proxy.cli import main

REFUSED = "http-send-name-header"
"""A word that the program in the place of HAProxy refuses, with an alert in HAProxy's format."""
PLAYER = f"""\
#!/bin/sh
case "$1" in
-v) echo "HAProxy version 3.4.7-1 2026/06/01 - https://haproxy.org/" ;;
-c)
    line=$(grep -n {REFUSED} "$5" | cut -d: -f1)
    [ -z "$line" ] || {{ echo "[ALERT] (7) : config : parsing [$5:$line] : unknown keyword '{REFUSED}'" >&2; exit 1; }} ;;
esac
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """Runs commands as a user types them. The services are in `services.yml`, the state is in `state`."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def environment(self) -> Mapping[str, str]:
        """Create the files that all commands need, and return the variables that name them."""
        player = self.folder / "haproxy"
        player.write_text(PLAYER)
        player.chmod(0o755)
        self.state.mkdir()
        self.write_services()
        return {
            "PROXY_HAPROXY": str(player),
            "PROXY_SOURCES": "file",
            "PROXY_SERVICES_FILE": str(self.folder / "services.yml"),
            "PROXY_STATE_FOLDER": str(self.state),
        }

    def write_services(self, **services: Mapping[str, str]) -> None:
        """Write the services file. Each service has these labels, given by their full names."""
        entries: dict[str, Any] = {
            name: {"labels": dict(labels), "external": {"host": "10.0.0.5", "ports": [80]}}
            for name, labels in services.items()
        }
        document = {"name": "shop", "services": entries}
        (self.folder / "services.yml").write_text(json.dumps(document))  # JSON is YAML

    def write_status(self, status: Status) -> None:
        """Write the status file, as the controller does."""
        values = {field: getattr(status, field) for field in Status.__dataclass_fields__}
        draft = self.state / "draft"
        draft.write_text(json.dumps(values))
        draft.replace(self.state / STATUS_FILE)

    def run(self, *arguments: str) -> int:
        return main(arguments)
