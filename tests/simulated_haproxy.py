"""An HAProxy in memory: it starts from files, carries out commands, reports its state, and fails when a test wants it to.

It stands for both ports of the controller: the program with its master (`HaproxyControl`), and the worker (`Runtime`). It
knows the commands that the product sends, and refuses every other one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1

from proxy.core.haproxy.file_names import CERTIFICATE_LIST, CONFIG_FILE
from proxy.core.haproxy.loaded import Loaded, load_sections, read_digest
from proxy.core.haproxy.reported import Reported, ReportedServer, Worker
from proxy.core.haproxy.runtime_commands import Action, Command, ReplaceMap
from proxy.core.haproxy.served import Place
from proxy.core.model.matching import Row
from proxy.core.model.model import ServerState
from proxy.errors import CommandRefusedError, ConfigCheckError, ReloadError, RuntimeApiError, WorkerReplacedError

Files = Mapping[str, str]
_SERVER = re.compile(r"    server (\S+) (\S+):(\d+)(.*)")
_SECTION = re.compile(r"(backend|listen) (\S+)(?: from (\S+))?")


@dataclass(slots=True)
class SimulatedServer:
    address: str
    port: int
    weight: int = 1
    state: ServerState = ServerState.READY
    words: str = ""


@dataclass(slots=True)
class WorkerState:
    """The state of one worker."""

    worker: Worker
    loaded: Loaded
    profiles: dict[str, str] = field(default_factory=dict)
    """The profile of each backend."""
    is_dead: bool = False
    has_list: bool = False
    """Whether a port shows certificates; the list of them is unknown otherwise."""
    servers: dict[str, dict[str, SimulatedServer]] = field(default_factory=dict)
    published: set[str] = field(default_factory=set)
    maps: dict[str, list[Row]] = field(default_factory=dict)
    certificates: dict[str, str] = field(default_factory=dict)
    uncommitted: dict[str, str] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)


@dataclass(slots=True)
class SimulatedHaproxy:
    """`files` returns the files in force. A test sets the faults. `fault` is called before each use of a port."""

    files: Callable[[], Files | None]
    has_backends: bool = True
    refuses: Sequence[str] = ()
    """Words that no configuration may hold."""
    refused_command: str = ""
    """Commands that start with this are refused."""
    attached: str = ""
    """Commands that start with this do not succeed yet, because connections are attached."""
    reload_failure: str = ""
    loses_replies: bool = False
    """Whether the connection ends after each command, which is carried out all the same."""
    taken_ports: frozenset[int] = frozenset()
    ipv4_only_ports: frozenset[int] = frozenset()
    fault: Callable[[str], None] = lambda place: None
    clock: Callable[[], float] | None = None
    """Seconds since the epoch; without it, a worker's start time is its number."""
    down: Mapping[Place, str] = field(default_factory=dict)
    """The servers that their health checks have taken out, with the reason."""
    checks: int = 0
    reloads: int = 0
    starts: int = 0
    replacements_asked: int = 0
    sent: list[str] = field(default_factory=list)
    running: WorkerState | None = None

    def start(self) -> None:
        """Start from the files in force, as the supervisor does. Without files, nothing happens."""
        files = self.files()
        if files is not None and not self.taken_ports & _ports(files[CONFIG_FILE]):
            self.starts += 1
            self.running = self.load_current()

    def kill(self) -> None:
        """End without a word, and forget everything."""
        if self.running:
            self.running.is_dead = True
        self.running = None

    def load_current(self) -> WorkerState:
        """Return what a worker has that starts now."""
        files = self.files()
        assert files is not None
        pid = 1000 + self.starts + self.reloads
        digest = read_digest(files[CONFIG_FILE])
        started_at = int(self.clock()) if self.clock else pid
        worker = Worker(pid=pid, started_at=started_at, has_runtime_backends=self.has_backends, config_digest=digest)
        loaded = load_sections(files[CONFIG_FILE], has_runtime_backends=self.has_backends)
        state = WorkerState(worker=worker, loaded=loaded)
        section = ""
        for line in files[CONFIG_FILE].splitlines():
            if line[:1].isalpha():
                match = _SECTION.match(line)
                section = match[2] if match else ""
                if section:
                    state.servers[section] = {}
                    state.published.add(section)
                    state.profiles[section] = (match and match[3]) or ""
            elif section and (match := _SERVER.match(line)):
                state.servers[section][match[1]] = _make_server(match[2], match[3], match[4])
        state.maps = {
            name: [(key, value) for key, _, value in (line.partition(" ") for line in text.splitlines())]
            for name, text in files.items()
            if name.endswith(".map")
        }
        state.has_list = f"crt-list {CERTIFICATE_LIST}" in files[CONFIG_FILE]
        state.listed = files[CERTIFICATE_LIST].splitlines() if state.has_list else []
        state.certificates = {name: files[name] for name in state.listed}
        return state

    def check(self, config: Path, *, is_urgent: bool = True) -> None:
        self.fault("check")
        self.checks += 1
        lines = config.read_text().split("\n")
        bad = [(number, word) for number, line in enumerate(lines, 1) for word in self.refuses if word in line]
        if bad:
            raise ConfigCheckError([f"[{config}:{number}] : '{word}' is refused" for number, word in bad])

    def is_running(self) -> bool:
        self.fault("is_running")
        return self.running is not None

    def reload(self) -> None:
        self.fault("reload")
        files = self.files()
        if self.running is None or files is None:
            raise ReloadError("HAProxy cannot be told to reload: nothing answers")
        taken = sorted(self.taken_ports & _ports(files[CONFIG_FILE]))
        if self.reload_failure or taken:
            raise ReloadError(self.reload_failure or f"Starting proxy: cannot bind socket [0.0.0.0:{taken[0]}]")
        self.reloads += 1
        self.running = self.load_current()

    def ask_replacement(self) -> None:
        self.replacements_asked += 1

    def tell_synchronised(self) -> None:
        """Do nothing: no supervisor is simulated."""

    def find_taken_ports(self, ports: Iterable[int]) -> frozenset[int]:
        self.fault("find_taken_ports")
        return self.taken_ports & frozenset(ports)

    def find_ipv4_only_ports(self, ports: Iterable[int]) -> frozenset[int]:
        return self.ipv4_only_ports & frozenset(ports)

    def identify(self) -> Worker:
        self.fault("identify")
        return self._worker_state().worker

    def report(self, worker: Worker) -> Reported:
        self.fault("report")
        state = self._expect(worker)
        return Reported(
            servers={
                name: {
                    key: ReportedServer(address=server.address, port=server.port, weight=server.weight, state=server.state)
                    for key, server in servers.items()
                }
                for name, servers in state.servers.items()
            },
            maps={name: tuple(rows) for name, rows in state.maps.items()},
            certificates={name: _fingerprint(pem) for name, pem in state.certificates.items()},
            listed=frozenset(state.listed),
        )

    def read_down(self) -> Mapping[Place, str]:
        self.fault("read_down")
        self._worker_state()
        return self.down

    def execute(self, stages: Iterable[Sequence[Action]], worker: Worker) -> None:
        """A stage is sent as a whole: what stands behind a refused command may have been carried out."""
        state = self._expect(worker)
        for stage in stages:
            refusals = [refusal for action in stage if (refusal := self._execute(state, action))]
            if refusals:
                raise CommandRefusedError(refusals[0])

    def _execute(self, state: WorkerState, action: Action) -> str:
        """Carry one command out; return how it is refused, empty where it is not."""
        self.fault("execute")
        if state.is_dead:
            raise RuntimeApiError("the connection has ended")
        text = f"replace map {action.file}" if isinstance(action, ReplaceMap) else action.text
        if self.refused_command and text.startswith(self.refused_command):
            return f"`{text}`: refused"
        self.sent.append(text)
        if isinstance(action, ReplaceMap):
            if action.file not in state.maps:
                return f"`{text}`: Unknown map identifier."
            state.maps[action.file] = list(action.rows)
            reply = ""
        else:
            reply = _carry_out(state, action)
        if self.loses_replies:
            raise RuntimeApiError("the connection has ended before the reply")
        is_accepted = isinstance(action, ReplaceMap) or action.is_accepted(reply)
        return "" if is_accepted else f"`{text}`: {reply or 'no reply'}"

    def attempt(self, commands: Sequence[Command], worker: Worker) -> Sequence[bool]:
        self.fault("attempt")
        state = self._expect(worker)
        self.sent += [command.text for command in commands]
        return [
            not (self.attached and command.text.startswith(self.attached))
            and command.is_accepted(_carry_out(state, command))
            for command in commands
        ]

    def _worker_state(self) -> WorkerState:
        if self.running is None:
            raise RuntimeApiError("nothing listens")
        return self.running

    def _expect(self, worker: Worker) -> WorkerState:
        state = self._worker_state()
        if state.worker != worker:
            raise WorkerReplacedError(f"process {state.worker.pid} answers instead of process {worker.pid}")
        return state


def _ports(config: str) -> frozenset[int]:
    return frozenset(map(int, re.findall(r"^ +bind :(\d+)", config, re.MULTILINE)))


def _make_server(address: str, port: str, words: str) -> SimulatedServer:
    weight = re.search(r" weight (\d+)", words)
    state = ServerState.MAINT if words.endswith(" disabled") else ServerState.READY
    return SimulatedServer(address.strip("[]"), int(port), int(weight[1]) if weight else 1, state, words)


def _fingerprint(pem: str) -> str:
    if not pem:
        return ""
    first = pem[pem.index("-----BEGIN CERTIFICATE") :]
    return x509.load_pem_x509_certificate(first.encode()).fingerprint(SHA1()).hex().upper()


def _carry_out(state: WorkerState, command: Command) -> str:
    """Carry out a command, and reply as HAProxy does."""
    words = command.text.split(" ")
    match words:
        case ["add", "server", place, address, *options]:
            return _add_server(state, place, address, options)
        case ["add" | "publish" | "unpublish" | "del", "backend", *_]:
            return _change_backend(state, words)
        case ["enable", "health", _] | ["shutdown", "sessions", "server", _]:
            return ""
        case ["set" | "del", "server", place, *_]:
            backend, _, name = place.partition("/")
            return _change_server(state.servers.get(backend, {}), name, words)
        case ["add" | "set" | "del", "map", file, *_]:
            return _change_map(state.maps, file, words, command.payload.reveal())
        case _ if "ssl" in words:
            return _change_certificate(state, words, command.payload.reveal())
    return "Unknown command"


def _add_server(state: WorkerState, place: str, address: str, options: list[str]) -> str:
    backend, _, name = place.partition("/")
    if backend not in state.servers:
        return "No such backend"
    if name in state.servers[backend]:
        return "Already exists a server with the same name in backend"
    for tracked in [after for word, after in itertools.pairwise(options) if word == "track"]:
        owner, _, follower = tracked.partition("/")
        if follower not in state.servers.get(owner, {}):
            return "unable to find required server for tracking"
    host, _, port = address.rpartition(":")
    server = _make_server(host, port, " " + " ".join(options))
    server.state = ServerState.MAINT
    state.servers[backend][name] = server
    return "New server registered."


def _change_backend(state: WorkerState, words: list[str]) -> str:
    verb, name = words[0], words[2]
    if verb == "add":
        if name in state.servers or words[4] not in state.loaded.profiles:
            return "refused"
        state.servers[name] = {}
        state.profiles[name] = words[4]
        return "New backend registered."
    if name not in state.servers:
        return "No such backend"
    if verb == "publish":
        state.published.add(name)
        return "Backend published."
    if verb == "unpublish":
        state.published.discard(name)
        return "Backend unpublished."
    if state.servers[name] or name in state.published:
        return "Backend still has servers"
    del state.servers[name], state.profiles[name]
    return "No such backend"


def _change_server(servers: dict[str, SimulatedServer], name: str, words: list[str]) -> str:
    server = servers.get(name)
    if server is None:
        return "No such server."
    match words:
        case ["del", *_]:
            if server.state is not ServerState.MAINT:
                return "Only servers in maintenance mode can be deleted."
            del servers[name]
            return "Server deleted."
        case [_, _, _, "state", state]:
            server.state = ServerState(state)
        case [_, _, _, "weight", weight]:
            server.weight = int(weight)
        case [_, _, _, "addr", address, "port", port]:
            server.address, server.port = address, int(port)
            return "IP changed from one to another"
    return ""


def _change_map(maps: dict[str, list[Row]], file: str, words: list[str], payload: str) -> str:
    if file not in maps:
        return "Unknown map identifier."
    rows = maps[file]
    if words[0] == "add":
        rows += [(key, value) for key, _, value in (line.partition(" ") for line in payload.splitlines())]
        return ""
    key = _unescape(words[3])
    if all(known != key for known, _ in rows):
        return "Key not found."
    if words[0] == "set":
        maps[file] = [(known, _unescape(words[4]) if known == key else value) for known, value in rows]
    else:
        maps[file] = [(known, value) for known, value in rows if known != key]
    return ""


def _unescape(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word)


def _change_certificate(state: WorkerState, words: list[str], payload: str) -> str:
    match words:
        case ["new", _, "cert", name]:
            if name in state.certificates:
                return f"Certificate '{name}' already exists!"
            state.certificates[name] = ""
            return "New empty certificate store"
        case ["set", _, "cert", name]:
            state.uncommitted[name] = payload
            return "Transaction created"
        case ["commit", _, "cert", name]:
            state.certificates[name] = state.uncommitted.pop(name)
            return "Success!"
        case [_, _, "crt-list", *_] if not state.has_list:
            return "no such crt-list"
        case ["add", _, "crt-list", _, name]:
            state.listed.append(name)
            return "Success!"
        case ["del", _, "crt-list", _, name] if name in state.listed:
            state.listed.remove(name)
            return "Entry deleted"
        case ["del", _, "cert", name] if name in state.certificates and name not in state.listed:
            del state.certificates[name]
            return "Certificate deleted!"
    return "refused"
