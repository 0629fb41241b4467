"""The addresses of the host names in the proxy's own settings: log servers, and servers of the operator's backends.

In: names, and the DNS's answers (`host_names`). Out: one address for each name that has one, and why the others have none.
Rules: a name that has once had an address never loses it while this program runs, so a DNS that fails changes nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from proxy.adapters.files.host_names import Answer, HostNames


class OwnNames:
    """The names of `logs` and `servers`. A later address counts for logs only: HAProxy keeps the one of a server."""

    def __init__(self, names: HostNames, logs: frozenset[str], servers: frozenset[str]) -> None:
        self._names = names
        self._logs = logs
        self._all = logs | servers
        self._addresses: dict[str, str] = {}

    def read(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return the addresses of the names, and for each name without one the reason."""
        answers = self._names.answers(self._all) if self._all else {}
        for name, answer in answers.items():
            if answer.addresses:
                self._addresses[name] = self._choose(name, answer)
        faults = {name: _tell(answers.get(name)) for name in sorted(self._all) if name not in self._addresses}
        return dict(self._addresses), faults

    def _choose(self, name: str, answer: Answer) -> str:
        """Return the address to use. A public name may have other addresses at each answer; that is no reason to reload."""
        known = self._addresses.get(name)
        if known is None:
            return answer.addresses[0]
        may_change = name in self._logs and ipaddress.ip_address(known.partition("%")[0]).is_private
        return known if known in answer.addresses or not may_change else answer.addresses[0]


def _tell(answer: Answer | None) -> str:
    return str(answer) if answer else "has no address yet, because the DNS has not answered"
