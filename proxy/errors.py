"""What can go wrong, as types. An exception stops an action. A `Problem` keeps a service or a route from being served.

ProxyError
├── SettingsError       the proxy's own settings are wrong; it lists all faults (exit code 2)
├── StateError          the folder of state files cannot be used or written; the current files stay
├── TrustError          the secret of the cluster cannot be used; the proxy goes on without the others
├── SourceError         a source of containers cannot be read now; never means "no containers"
├── ConfigCheckError    HAProxy refuses a candidate configuration; nothing was changed
├── CheckNotRunError    a check could not be run or did not end; this says nothing about the configuration
├── TemplateError       a template of haproxy.cfg cannot be printed; the files stay as they are
├── ReloadError         HAProxy did not take over a checked configuration; the old worker still serves
│   └── MasterUnreachableError   the master cannot be told to reload
└── RuntimeApiError     HAProxy's command socket gave no answer, or one that is not understood
    ├── CommandRefusedError   HAProxy answered, and refuses a command
    └── WorkerReplacedError   another worker answers than the expected one; nothing was sent to it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.printable import hide_passwords, hide_passwords_of, printable


class ProxyError(Exception):
    """Base of all errors that this program raises on purpose. Its text is meant for the user."""


class SettingsError(ProxyError):
    """The proxy's own settings are wrong. `faults` holds every fault found, one sentence each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class SourceError(ProxyError):
    """A source of containers cannot be read now. The last snapshot stays in force."""


class TrustError(ProxyError):
    """The secret of the cluster cannot be used. What the proxy knows of the others stays as it is."""


class StateError(ProxyError):
    """The folder of state files cannot be used or written. The current files are as they were."""


class ConfigCheckError(ProxyError):
    """HAProxy refuses a candidate configuration. `messages` are its alert lines, in order.

    `places` are the section and the line that each message is about, where somebody has looked them up.
    """

    def __init__(self, messages: Sequence[str], places: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__("\n".join(messages))
        self.messages = tuple(messages)
        self.places = tuple(places)


class CheckNotRunError(ProxyError):
    """A check of a configuration could not be run, was killed, or took too long. The configuration may be good."""


class TemplateError(ProxyError):
    """A template of haproxy.cfg cannot be printed. The files are as they were."""


class ReloadError(ProxyError):
    """HAProxy did not take over a configuration that had passed the check. The old worker still serves."""


class MasterUnreachableError(ReloadError):
    """The master of HAProxy cannot be told to reload. The files that it should have loaded are good."""


class RuntimeApiError(ProxyError):
    """HAProxy's command socket cannot be reached, or its answer is not understood."""


class CommandRefusedError(RuntimeApiError):
    """HAProxy answered, and refuses a command."""


class WorkerReplacedError(RuntimeApiError):
    """The worker that answers is not the one that was expected. Nothing was sent to it."""


THE_PROXY = "the proxy"
"""Stands in the place of a service where the proxy's own settings, files or ports are at fault."""
MAX_VALUE_LENGTH = 120
"""The longest part of a label's value that a problem shows, in characters."""
MAX_REASON_LENGTH = 400
"""The longest reason for which a value is refused. It may quote parts of the value."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """A diagnosed fault of one container or service: where it is, what is wrong, what to do.

    `value` is what the user wrote, already shortened and with secrets left out (see `shorten`). An empty `container` means
    the service as a whole. An empty `setting` means that no single label is at fault. A note (`is_note`) costs nobody
    traffic that he has asked for in a way that the proxy understands.
    """

    service: str
    container: str = ""
    setting: str = ""
    value: str = ""
    reason: str
    is_note: bool = False

    def __str__(self) -> str:
        """Return the problem as one line that is safe to show."""
        where = self.service if self.service == THE_PROXY else f"service {self.service}"
        where = f"container {self.container}" if self.container else where
        what = f": {self.setting}" if self.setting else ""
        if self.setting and self.value:
            what += f"={self.value!r}"
        return printable(f"{where}{what}: {self.reason}")


def shorten(value: str, maximum: int = MAX_VALUE_LENGTH) -> str:
    """Return `value` without passwords, and with its middle left out if it has more than `maximum` characters."""
    return _cut(hide_passwords(value), maximum)


def shorten_reason(reason: str, value: str) -> str:
    """Return the reason why `value` is refused, without its passwords. It may quote parts of the value."""
    return _cut(hide_passwords_of(value, reason), MAX_REASON_LENGTH)


def _cut(text: str, maximum: int) -> str:
    if len(text) <= maximum:
        return text
    half = maximum // 2
    return f"{text[:half]}...{text[-half:]}"
