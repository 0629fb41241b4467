"""What HAProxy's command sockets reply, as values, and how a command is written for them. No I/O.

In: commands and replies as text (management guide, sections 9.3 and 9.4). Out: bytes to send, frozen values. A reply in
a form that is not understood raises `RuntimeApiError`, which names the command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from proxy.core.haproxy.file_names import CONFIG_FILE
from proxy.errors import RuntimeApiError
from proxy.printable import hide_passwords_of

_VERSION = re.compile(r"(?P<major>\d+)\.(?P<minor>\d+)(?:[.-](?:dev)?(?P<patch>\d+))?")
_LOG_LINE = re.compile(r"\[(?P<level>[A-Z]+)\]\s+(?:\S+\s+)?\(\d+\)\s*:\s*(?P<text>.*)")
_ALERT_LINE = re.compile(rf"{re.escape(CONFIG_FILE)}:(\d+)")
_FORCED_MAINTENANCE = 0x01
"""The bit of `srv_admin_state` for maintenance by command or configuration (management guide, `show servers state`)."""
_SUMMARIES = ("Fatal errors found in configuration", "Error(s) found in configuration file")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class HaproxyVersion:
    """A release of HAProxy. Compares by number; distribution suffixes are left out."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def has_runtime_backends(self) -> bool:
        """Whether `add backend`, `publish backend` and `del backend` exist."""
        return (self.major, self.minor) >= (3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker process; `reloads` counts those since it was started, failed ones included."""

    pid: int
    reloads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """What `show proc` tells of a master and its workers. `failed_reloads` is 0 again after one that succeeds."""

    master_pid: int
    reloads: int
    failed_reloads: int
    workers: tuple[Worker, ...] = ()
    old_workers: tuple[Worker, ...] = ()

    @property
    def serving_pid(self) -> int:
        """The worker that accepts connections, 0 if there is none.

        After a failed reload HAProxy >= 3.1 has no current worker and lists the one that serves among the old ones.
        """
        candidates = self.workers or self.old_workers
        return min(candidates, key=lambda worker: worker.reloads).pid if candidates else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadReply:
    """The master's word on a reload; `alerts` is why it failed."""

    is_success: bool
    alerts: tuple[str, ...] = ()


def encode_command(command: str, payload: str = "") -> bytes:
    """Return what to send for one command, and for its payload (management guide, section 9.3).

    Raises RuntimeApiError when the command is more than one (a line break, or a `;` that no backslash escapes; two of them
    are one backslash), or when an empty line would end the payload early.
    """
    if re.search(r"[\r\n\x00]", command):
        raise RuntimeApiError(f"a runtime command is a single line: {command[:80]!r}")
    if re.search(r"(?<!\\)(?:\\\\)*;", command):
        raise RuntimeApiError(f"one runtime command at a time, `;` starts another: {command[:80]!r}")
    if not payload:
        return f"{command}\n".encode()
    lines = payload.strip("\n").splitlines()
    if any(not line.strip() for line in lines):
        raise RuntimeApiError(f"an empty line would end the payload of {command[:80]!r}")
    return "\n".join([f"{command} <<", *lines, "", ""]).encode()


def parse_version(text: str) -> HaproxyVersion:
    """Read the version out of `haproxy -v` or `show version`; raise RuntimeApiError if there is none."""
    match = _VERSION.search(text)
    if match is None:
        raise RuntimeApiError(f"this does not tell a version of HAProxy: {text[:80]!r}")
    return HaproxyVersion(major=int(match["major"]), minor=int(match["minor"]), patch=int(match["patch"] or 0))


def parse_processes(reply: str) -> Processes:
    """Read `show proc` of the master CLI (management guide, section 9.4.1)."""
    master: re.Match[str] | None = None
    workers: dict[str, list[Worker]] = {"# workers": [], "# old workers": []}
    section = ""
    for line in reply.splitlines():
        words = line.split()
        if line.startswith("#"):
            section = line.strip()
        elif match := re.match(r"(?P<pid>\d+)\s+master\s+(?P<reloads>\d+)\s+\[failed: (?P<failed>\d+)\]", line):
            master = match
        elif section in workers and len(words) > 2 and words[1] == "worker":
            workers[section].append(Worker(pid=int(words[0]), reloads=int(words[2])))
    if master is None:
        raise RuntimeApiError(f"`show proc` names no master: {reply[:200]!r}")
    return Processes(
        master_pid=int(master["pid"]),
        reloads=int(master["reloads"]),
        failed_reloads=int(master["failed"]),
        workers=tuple(workers["# workers"]),
        old_workers=tuple(workers["# old workers"]),
    )


def parse_reload_reply(reply: str) -> ReloadReply | None:
    """Read the reply to `reload`: None where the master says nothing, as up to 2.6 (it closes the connection)."""
    match = re.match(r"Success=(?P<digit>[01])", reply)
    if match is None:
        return None
    return ReloadReply(is_success=match["digit"] == "1", alerts=select_alerts(reply))


_LONG_LIST = re.compile(r"((?:'[^']+', ){3})(?:'[^']+'(?:, (?:and )?| and )){3,}'[^']+'")
"""HAProxy lists all keywords that it knows where it does not know one: up to 1,400 characters."""


def select_alerts(output: str) -> tuple[str, ...]:
    """Return the alerts among HAProxy's messages, without level, time and process id; notices and warnings are dropped.

    Lines without a level belong to the message before them. The closing "Fatal errors found" is left out when there
    is anything else to say.
    """
    alerts: list[str] = []
    is_alert = False
    for line in output.splitlines():
        if match := _LOG_LINE.match(line):
            is_alert = match["level"] in ("ALERT", "EMERG")
            if is_alert:
                alerts.append(match["text"].strip())
        elif is_alert and line.strip():
            alerts[-1] += f" {line.strip()}"
    alerts = [_LONG_LIST.sub(r"\1...", alert) for alert in alerts]
    telling = [alert for alert in alerts if not any(summary in alert for summary in _SUMMARIES)]
    return tuple(telling or alerts)


def hide_passwords_in(alerts: Sequence[str], config: str) -> tuple[str, ...]:
    """Return the alerts without the passwords that stand in the lines of haproxy.cfg that they are about."""
    lines = ("", *config.split("\n"))
    hidden = []
    for alert in alerts:
        text = alert
        for number in map(int, _ALERT_LINE.findall(alert)):
            text = hide_passwords_of(lines[number] if number < len(lines) else "", text)
        hidden.append(text)
    return tuple(hidden)


def make_state_file(reply: str) -> str:
    """Turn the reply to `show servers state` into a server-state file (manual, `load-server-state-from-file`).

    The port in such a file overrides the configuration's, the address does not [tried: 2.6 and 3.4]; the file is safe
    because a server's name holds its port. Servers in maintenance are left out: the configuration that is loaded with the
    file says who is in maintenance, and the file would keep a server there, and down, that has answered meanwhile [tried:
    2.6 and 3.4]. A weight in the file overrides the configuration's where it differs from the one that was configured
    before; here it never does, because the model alone says which weight a server has.
    """
    lines, columns = _state_lines(reply)
    kept = lines[:2]
    for line in lines[2:]:
        words = line.split()
        row = dict(zip(columns, words, strict=False))
        if int(row.get("srv_admin_state", 0)) & _FORCED_MAINTENANCE:
            continue
        if "srv_iweight" in row:
            words[columns.index("srv_uweight")] = row["srv_iweight"]
        kept.append(" ".join(words))
    return "\n".join(kept) + "\n"


def _state_lines(reply: str) -> tuple[list[str], list[str]]:
    """Return the lines of `show servers state`, none empty, and the names of its columns."""
    lines = [line for line in reply.splitlines() if line.strip()]
    if len(lines) < 2 or not lines[1].startswith("#"):
        raise RuntimeApiError(f"`show servers state` replied something else: {reply[:200]!r}")
    return lines, lines[1].lstrip("# ").split()


def select_states(reply: str, wanted: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield some columns of each server of `show servers state`; raise RuntimeApiError where one is missing."""
    lines, columns = _state_lines(reply)
    try:
        select = itemgetter(*(columns.index(column) for column in wanted))
        yield from (select(line.split()) for line in lines[2:])
    except (ValueError, IndexError):
        raise RuntimeApiError(f"`show servers state` lacks a column: {' '.join(columns)[:200]!r}") from None
