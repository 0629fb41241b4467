"""HAProxy's runtime API as values: what to send, and which replies mean that it was done (management guide, section 9.3).

HAProxy reports errors as text, so that every kind of command names the replies that it accepts; anything else is a
refusal. Foreign text is escaped here for the command line, or sent as payload.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from proxy.core.haproxy.rendering import server_words
from proxy.core.model.matching import Row
from proxy.core.model.model import Server, ServerState
from proxy.grammar.server_words import option_names
from proxy.grammar.syntax import split_words
from proxy.secret import Secret

PAYLOAD_LENGTH = 8000
"""Most characters sent in one payload; HAProxy takes what fits into a buffer (`tune.bufsize`, 16,384 by default)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command. A reply that holds one of `accepted` means done; the empty word accepts an empty reply only."""

    text: str
    accepted: tuple[str, ...] = ("",)
    payload: Secret = field(default=Secret(""), repr=False)

    def is_accepted(self, reply: str) -> bool:
        """Whether `reply` says that the command was carried out."""
        reply = reply.strip()
        return any(word in reply if word else not reply for word in self.accepted)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceMap:
    """All rows of a map, exchanged in one step: `prepare map`, `add map @version`, `commit map @version`."""

    file: str
    rows: tuple[Row, ...]

    def commands(self, version: str) -> list[Command]:
        """Return what to send once `prepare map` has told the version."""
        add = [Command(text=f"add map @{version} {self.file}", payload=Secret(payload)) for payload in _payloads(self.rows)]
        return [*add, Command(text=f"commit map @{version} {self.file}")]


Action = Command | ReplaceMap


def add_backend(name: str, profile: str) -> Command:
    """A new backend with the settings of a named `defaults` section; no traffic before `publish_backend` (3.4)."""
    return Command(text=f"add backend {name} from {profile}", accepted=("New backend registered",))


def publish_backend(name: str) -> Command:
    """Let a backend be chosen by frontends."""
    return Command(text=f"publish backend {name}", accepted=("Backend published", "No effective change"))


def unpublish_backend(name: str) -> Command:
    """Let a backend be chosen no more; what it serves goes on."""
    return Command(text=f"unpublish backend {name}", accepted=("Backend unpublished", "No effective change"))


def delete_backend(name: str) -> tuple[Command, ...]:
    """Forget a backend without servers: asked twice, for the reply to the first may be anything.

    It is all that HAProxy has had to say lately, cut off where that is too long for the word that counts [tried: 3.4].
    """
    command = Command(text=f"del backend {name}", accepted=("No such backend",))
    return command, command


def add_server(backend: str, server: Server, default_check: str) -> list[Command]:
    """A new server in the state that it is to have; HAProxy adds it in maintenance, with its checks off."""
    # The command line has other quotes than the configuration, and `;` would begin another command.
    words = split_words(" ".join(server_words(server, default_check)))
    words = (*words, *_words_for_checks(words))
    text = f"add server {backend}/{server.name} {' '.join(map(escape, words))}"
    commands = [Command(text=text, accepted=("New server registered",))]
    if server.has_default_check or "check" in words:
        commands.append(Command(text=f"enable health {backend}/{server.name}"))
    if server.state is not ServerState.MAINT:
        commands.append(set_server_state(backend, server))
    return commands


def _words_for_checks(words: Sequence[str]) -> list[str]:
    """Return what lets checks use TLS and the PROXY protocol as requests do.

    Checks of servers in the configuration do so by themselves, unless they go to another port or address (manual,
    `check-ssl`, `check-send-proxy`). Those of added servers do not [tried: 2.6, 3.4].
    """
    names = set(option_names(words))
    if "check" not in names or names & {"port", "addr"}:
        return []
    sends_proxy = any(name.startswith("send-proxy") for name in names)
    return [word for word, is_used in (("check-ssl", "ssl" in names), ("check-send-proxy", sends_proxy)) if is_used]


def set_server_state(backend: str, server: Server) -> Command:
    """Ready, drain or maint, as the model has it."""
    return Command(text=f"set server {backend}/{server.name} state {server.state}")


def stop_server(backend: str, name: str) -> Command:
    """No new requests for a server that is to be removed; those in flight go on."""
    return Command(text=f"set server {backend}/{name} state maint")


def set_server_weight(backend: str, server: Server) -> Command:
    """The server's weight; 1, HAProxy's own default, where the model has none."""
    weight = 1 if server.weight is None else server.weight
    return Command(text=f"set server {backend}/{server.name} weight {weight}")


def set_server_address(backend: str, server: Server) -> Command:
    """Where the server is now."""
    return Command(
        text=f"set server {backend}/{server.name} addr {server.address} port {server.port}",
        accepted=("IP changed", "port changed", "no need to change"),
    )


def delete_server(backend: str, name: str) -> Command:
    """Forget a server in maintenance; refused while connections are attached to it."""
    return Command(text=f"del server {backend}/{name}", accepted=("Server deleted", "No such server", "No such backend"))


def close_sessions(backend: str, name: str) -> Command:
    """Close what a server that is to be removed still has."""
    return Command(text=f"shutdown sessions server {backend}/{name}", accepted=("", "No such server", "No such backend"))


def change_rows(file: str, changes: Iterable[tuple[str, tuple[str | None, str | None]]]) -> list[Command]:
    """Bring single rows, as (key, (value before, value after)), of a map up to date."""
    commands: list[Command] = []
    added: list[Row] = []
    for key, (before, after) in sorted(changes, key=lambda change: change[0]):
        if after is None:
            commands.append(Command(text=f"del map {file} {escape(key)}"))
        elif before is None:
            added.append((key, after))
        else:
            commands.append(Command(text=f"set map {file} {escape(key)} {escape(after)}"))
    return [*(Command(text=f"add map {file}", payload=Secret(payload)) for payload in _payloads(added)), *commands]


def put_certificate(name: str, pem: Secret, *, is_new: bool) -> list[Command]:
    """A certificate's text under its file name, taken into use at once where it is replaced."""
    create = Command(text=f"new ssl cert {name}", accepted=("New empty certificate store", "already exists"))
    return [
        *([create] if is_new else []),
        Command(text=f"set ssl cert {name}", accepted=("Transaction",), payload=pem),
        Command(text=f"commit ssl cert {name}", accepted=("Success!",)),
    ]


def list_certificate(file: str, name: str) -> Command:
    """Serve a certificate to clients of every bind that has this list."""
    return Command(text=f"add ssl crt-list {file} {name}", accepted=("Success!",))


def unlist_certificate(file: str, name: str) -> list[Command]:
    """Serve a certificate no more, and forget it."""
    return [
        Command(text=f"del ssl crt-list {file} {name}", accepted=("deleted",)),
        Command(text=f"del ssl cert {name}", accepted=("deleted",)),
    ]


def escape(word: str) -> str:
    """Return a word as the command line of the runtime API reads it."""
    return "".join(f"\\{sign}" if sign in "\\ ;\t<'\"" else sign for sign in word)


def _payloads(rows: Sequence[Row]) -> Iterable[str]:
    lines: list[str] = []
    length = 0
    for key, value in rows:
        line = f"{key} {value}"
        if lines and length + len(line) > PAYLOAD_LENGTH:
            yield "\n".join(lines)
            lines, length = [], 0
        lines.append(line)
        length += len(line) + 1
    if lines:
        yield "\n".join(lines)
