"""Whatever happens in whatever order, HAProxy has exactly the model as soon as things calm down; nothing is forgotten.

A state machine drives a controller among fakes: containers, an engine that fails, an HAProxy that is killed, started,
replaced and changed by hand, commands and reloads that are refused, disk errors, checks that are killed, restarts of the
controller. Jobs run at once, or later than what comes after them.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from proxy.core.containers.containers import Container, State
from proxy.core.labels.labels import parse_container
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.model import ServerState
from proxy.core.model.model_index import ModelIndex
from proxy.core.model.own_files import OwnFiles
from proxy.core.model.service_table import label_specs
from proxy.core.trigger import TriggerKind
from proxy.errors import (
    CheckNotRunError,
    CommandRefusedError,
    ReloadError,
    RuntimeApiError,
    SourceError,
    StateError,
)
from proxy.grammar.certificates import parse_certificate
from proxy.secret import Secret
from tests.builders import make_container, make_pem, one_line, with_labels
from tests.controlled import Controlled, ControllerKilledError, Fault
from tests.simulated_haproxy import SimulatedServer, WorkerState

TCP_PORT = 6379
BROKEN, FICKLE = "broken", "fickle"
"""Words in settings: HAProxy refuses the first one always, and the second one when a test says so."""
NAMES = ("api", "blog", "cart")
OF_FILE = "cart"
"""This service stands in a services file: its containers can change their settings without another id."""
HOSTS = (
    "{0}.example",
    "{0}.example, www.{0}.example",
    "*.{0}.example",
    "shared.example/{0}/*",
    "shared.example/*/{0}/*.php",
    "{0}.example:8080",
    "https://{0}.example",
    "*",
)
SETTING_SETS: tuple[dict[str, str], ...] = (
    {},
    {},
    {"BALANCE": "leastconn"},
    {"COOKIE": "SRV insert indirect nocache"},
    {"WEIGHT": "7"},
    {"OPTION": "httpclose", "HEALTH_CHECK": "check inter 1s"},
    {"EXTRA_SETTINGS": f"description {BROKEN}"},
    {"EXTRA_SETTINGS": f"description {FICKLE}"},
    {"TCP_PORTS": str(TCP_PORT)},
    {"APPSESSION": "JSESSIONID len 52 timeout 3h"},
    {"FAILOVER": "yes"},
)
ERRORS: dict[str, tuple[Callable[[], BaseException], ...]] = {
    "read": (lambda: SourceError("the engine is down"), lambda: RuntimeError("read")),
    "overlay": (lambda: RuntimeError("overlay"),),
    "lay over": (lambda: RuntimeError("lay over"),),
    "ask_at_once": (lambda: RuntimeError("ask"),),
    "wait_for": (lambda: RuntimeError("wait"),),
    "take_answers": (lambda: RuntimeError("take"),),
    "own files": (lambda: OSError("own files"), lambda: RuntimeError("own files")),
    "write": (lambda: StateError("disk full"), lambda: OSError("disk full")),
    "promote": (lambda: StateError("disk full"), lambda: RuntimeError("promote")),
    "rollback": (lambda: StateError("disk full"), lambda: RuntimeError("rollback")),
    "scratch": (lambda: StateError("disk full"), lambda: OSError("disk full")),
    "pin": (lambda: OSError("disk"), lambda: RuntimeError("pin")),
    "check": (lambda: CheckNotRunError("killed"), lambda: RuntimeError("check")),
    "reload": (lambda: ReloadError("no answer"), lambda: RuntimeError("reload")),
    "is_running": (lambda: RuntimeError("is_running"),),
    "find_taken_ports": (lambda: OSError("ports"),),
    "identify": (lambda: RuntimeApiError("no answer"), lambda: RuntimeError("identify")),
    "report": (lambda: RuntimeApiError("no answer"), lambda: RuntimeError("report")),
    "execute": (
        lambda: RuntimeApiError("no answer"),
        lambda: CommandRefusedError("no"),
        lambda: RuntimeError("execute"),
    ),
    "attempt": (lambda: RuntimeApiError("no answer"), lambda: RuntimeError("attempt")),
}
DEATHS = ("kill", "kill and start", "reload by others", "controller")
CALM_PASSES = 80
"""More passes than this are never needed until everything is done."""
CERTIFICATES = tuple(parse_certificate(make_pem(f"own{number}.example")) for number in range(2))

indices = st.integers(min_value=0, max_value=11)
names = st.sampled_from(NAMES)


class Transaction(RuleBasedStateMachine):
    """Services run as `services` say, whatever the controller knows of them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="transaction-"))
        self.world: Controlled
        self.services: dict[str, list[Container]] = {}
        self.created = 0
        self.is_untold = False
        """Whether HAProxy has something that no pass can know of before the next resync."""

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.calm_down()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    @initialize(has_backends=st.booleans(), is_later=st.booleans())
    def begin(self, has_backends: bool, is_later: bool) -> None:
        self.world = Controlled(self.folder, has_backends=has_backends, is_later=is_later)
        self.world.haproxy.refuses = (BROKEN,)

    # What happens to containers.

    @rule(name=names, host=indices, kind=indices, count=st.integers(1, 2), certificate=st.integers(0, 6))
    def start(self, name: str, host: int, kind: int, count: int, certificate: int) -> None:
        labels = {"VIRTUAL_HOST": HOSTS[host % len(HOSTS)].format(name), **SETTING_SETS[kind % len(SETTING_SETS)]}
        if host == len(HOSTS):
            labels = {"required": "true", **SETTING_SETS[kind % len(SETTING_SETS)]}
        if certificate < 2:
            labels["SSL_CERT"] = one_line(make_pem(f"{name}.example", str(certificate)))
        elif certificate == 2:
            labels["DEFAULT_SSL_CERT"] = one_line(make_pem(f"{name}.example", "2"))
        self.services[name] = [self._make(name, dict(with_labels(**labels))) for _ in range(count)]
        self._tell()

    @precondition(lambda self: self.services)
    @rule(index=indices)
    def stop(self, index: int) -> None:
        del self.services[self._pick(index)]
        self._tell()

    @precondition(lambda self: self.services)
    @rule(index=indices)
    def scale_up(self, index: int) -> None:
        group = self.services[self._pick(index)]
        group.append(self._make(group[0].service, dict(group[0].labels)))
        self._tell()

    @precondition(lambda self: any(len(group) > 1 for group in self.services.values()))
    @rule(index=indices)
    def scale_down(self, index: int) -> None:
        group = next(group for group in self.services.values() if len(group) > 1)
        group.pop(index % len(group))
        self._tell()

    @precondition(lambda self: self.services)
    @rule(index=indices, kind=indices, host=indices)
    def relabel_in_place(self, index: int, kind: int, host: int) -> None:
        """One of a service's containers is recreated; one of the services file keeps its name."""
        name = self._pick(index)
        labels = {"VIRTUAL_HOST": HOSTS[host % len(HOSTS)].format(name), **SETTING_SETS[kind % len(SETTING_SETS)]}
        group = self.services[name]
        if name == OF_FILE:
            group[0] = dataclasses.replace(group[0], labels=with_labels(**labels))
        else:
            group[0] = self._make(name, dict(with_labels(**labels)))
        self._tell()

    @precondition(lambda self: self.services)
    @rule(index=indices, state=st.sampled_from([State.RUNNING, State.PAUSED, State.STOPPING, State.STOPPED]))
    def change_state(self, index: int, state: State) -> None:
        group = self.services[self._pick(index)]
        group[0] = dataclasses.replace(group[0], state=state)
        self._tell()

    @precondition(lambda self: self.services)
    @rule(index=indices)
    def move(self, index: int) -> None:
        group = self.services[self._pick(index)]
        group[-1] = dataclasses.replace(group[-1], address=self._new_address())
        self._tell()

    @precondition(lambda self: self.services)
    @rule(index=indices)
    def tell_part(self, index: int) -> None:
        """The engine tells of one container only; of the others at the next reading."""
        group = self.services[self._pick(index)]
        self.world.source.tell(changed=(group[0],))

    @precondition(lambda self: self.services)
    @rule(index=indices)
    def have_news(self, index: int) -> None:
        self.world.overlay.news.add(("docker", self.services[self._pick(index)][0].id))

    # What happens to HAProxy.

    @rule()
    def kill_haproxy(self) -> None:
        self.world.kill_haproxy()

    @rule()
    def start_haproxy(self) -> None:
        self.world.start_haproxy()

    @rule(is_told=st.booleans())
    def restart_haproxy(self, is_told: bool) -> None:
        self.world.kill_haproxy()
        self.world.haproxy.start()
        if is_told:
            self.world.put(TriggerKind.HAPROXY)
        else:
            self.is_untold = True

    @precondition(lambda self: self.world.haproxy.running and self.world.disk.current)
    @rule()
    def reload_by_others(self) -> None:
        self._reload_by_others()

    @precondition(lambda self: self.world.haproxy.running and any(self.world.haproxy.running.servers.values()))
    @rule(index=indices, what=st.sampled_from(["weight", "state", "address", "extra", "gone"]))
    def change_server_by_hand(self, index: int, what: str) -> None:
        state = self._running()
        places = [(servers, name) for servers in state.servers.values() for name in servers]
        servers, name = places[index % len(places)]
        server = servers[name]
        match what:
            case "weight":
                server.weight = 99
            case "state":
                server.state = ServerState.DRAIN if server.state is ServerState.READY else ServerState.READY
            case "address":
                server.address = "127.9.9.9"
            case "extra":
                servers["by-hand"] = SimulatedServer("127.9.9.9", 80, words=" weight 1")
            case "gone":
                del servers[name]
        self.is_untold = True

    @precondition(lambda self: self.world.haproxy.running and self.world.haproxy.has_backends)
    @rule(is_published=st.booleans())
    def add_backend_by_hand(self, is_published: bool) -> None:
        state = self._running()
        state.servers["by-hand"] = {"s": SimulatedServer("127.9.9.9", 80)}
        state.profiles["by-hand"] = "profile_x"
        if is_published:
            state.published.add("by-hand")
        self.is_untold = True

    @precondition(lambda self: self.world.haproxy.running and any(self.world.haproxy.running.maps.values()))
    @rule(index=indices, what=st.sampled_from(["gone", "other", "extra", "twice"]))
    def change_map_by_hand(self, index: int, what: str) -> None:
        maps = [rows for rows in self._running().maps.values() if rows]
        rows = maps[index % len(maps)]
        match what:
            case "gone":
                rows.pop(index % len(rows))
            case "other":
                rows[0] = rows[0][0], "elsewhere"
            case "extra":
                rows.append(("by-hand.example", "elsewhere"))
            case "twice":
                rows.append(rows[0])
        self.is_untold = True

    @precondition(lambda self: self.world.haproxy.running and self.world.haproxy.running.listed)
    @rule(index=indices, is_exchanged=st.booleans())
    def change_certificate_by_hand(self, index: int, is_exchanged: bool) -> None:
        state = self._running()
        name = state.listed[index % len(state.listed)]
        if is_exchanged:
            state.certificates[name] = make_pem("by-hand.example")
        else:
            state.listed.remove(name)
        self.is_untold = True

    @rule(
        command=st.sampled_from(["", "add backend", "add server", "set server", "del map", "add map", "commit", "publish"])
    )
    def refuse_command(self, command: str) -> None:
        self.world.haproxy.refused_command = command

    @rule(is_attached=st.booleans())
    def attach(self, is_attached: bool) -> None:
        self.world.haproxy.attached = "del server" if is_attached else ""

    @rule(loses=st.booleans())
    def lose_replies(self, loses: bool) -> None:
        self.world.haproxy.loses_replies = loses

    @rule(is_refused=st.booleans())
    def refuse_reload(self, is_refused: bool) -> None:
        self.world.haproxy.reload_failure = "no memory" if is_refused else ""

    @rule(is_refused=st.booleans())
    def refuse_fickle(self, is_refused: bool) -> None:
        self.world.haproxy.refuses = (BROKEN, FICKLE) if is_refused else (BROKEN,)

    @rule(ports=st.sets(st.sampled_from([TCP_PORT, 8080, 443])))
    def take_ports(self, ports: set[int]) -> None:
        self.world.haproxy.taken_ports = frozenset(ports)

    # What happens to the controller.

    @rule(place=st.sampled_from(sorted(ERRORS)), kind=indices, skip=st.integers(0, 3), is_lasting=st.booleans())
    def fail(self, place: str, kind: int, skip: int, is_lasting: bool) -> None:
        errors = ERRORS[place]
        self.world.fail(place, errors[kind % len(errors)](), skip=skip, is_lasting=is_lasting)

    @rule(place=st.sampled_from(sorted({*ERRORS} - {"own files"})), what=st.sampled_from(DEATHS), skip=st.integers(0, 6))
    def die_at(self, place: str, what: str, skip: int) -> None:
        self.world.faults.append(Fault(place=place, happen=lambda: self._die(what), skip=skip))

    @precondition(lambda self: self.world.is_later)
    @rule(place=st.sampled_from(["write", "check", "promote", "reload", "identify", "scratch"]), passes=st.integers(1, 2))
    def run_passes_at(self, place: str, passes: int) -> None:
        """While a job is at that place, the deciding thread goes on."""

        def happen() -> None:
            for _ in range(passes if not self.world.is_in_pass else 0):
                self.run_pass()

        self.world.faults.append(Fault(place=place, happen=happen))

    @rule()
    def restart_controller(self) -> None:
        self.world.start_controller()

    @rule()
    def mend(self) -> None:
        self.world.faults.clear()

    @rule(which=st.integers(0, 4))
    def change_own_files(self, which: int) -> None:
        files, certificates = self.world.own_files, self.world.own_files.certificates
        match which:
            case 0 | 1:
                certificates = dataclasses.replace(certificates, default=CERTIFICATES[which])
            case 2:
                certificates = ProxyCertificates()
            case 3:
                certificates = dataclasses.replace(certificates, client_ca=Secret(make_pem("ca", str(self.created % 2))))
            case 4:
                files = dataclasses.replace(files, templates=f"{files.templates}1")
        self.world.own_files = OwnFiles(certificates=certificates, templates=files.templates)
        self.world.put(TriggerKind.FILES)

    @rule(kind=st.sampled_from([TriggerKind.LOOK, TriggerKind.RELOAD, TriggerKind.FILES, TriggerKind.HAPROXY]))
    def put(self, kind: TriggerKind) -> None:
        self.world.put(kind)

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.0, 6.0, 70.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(count=st.integers(1, 3))
    def run_passes(self, count: int) -> None:
        for _ in range(count):
            self.run_pass()

    @rule(is_of_files=st.booleans())
    def run_job(self, is_of_files: bool) -> None:
        self.world.run_job(self.world.files if is_of_files else self.world.checks)

    @rule()
    def calm_down(self) -> None:
        """As soon as nothing happens any more, HAProxy has exactly the model."""
        self._clear()
        for _ in range(CALM_PASSES):
            self._do_jobs_and_pass(max(self.world.now, self.world.schedule.due_time()))
            if self.world.is_idle and self.world.haproxy.running:
                break
        for seconds in (70, 70, 400, 400, 2):  # two full looks, then what lingers ends, then the files follow
            self._do_jobs_and_pass(self.world.now + seconds)
            self._do_jobs_and_pass(self.world.now)
            self._do_jobs_and_pass(self.world.now)
        assert self.world.is_idle, vars(self.world.controller.pending)
        self.is_untold = False
        self._check_calm()

    def _do_jobs_and_pass(self, now: float) -> None:
        while self.world.run_job(self.world.files) or self.world.run_job(self.world.checks):
            pass
        self.world.start_haproxy()
        self.world.now = now
        self.world.run_pass()

    def run_pass(self) -> None:
        """Run one pass. A success with nothing pending is taken at its word."""
        outcome = self.world.run_pass()
        running = self.world.haproxy.running
        if (
            outcome
            and outcome.is_success
            and self.world.is_idle
            and self.world.is_synchronised
            and not self.is_untold
            and running
        ):
            found = compare(running, self._fresh(), is_leaving_ignored=True)
            assert [] == found, found

    def _clear(self) -> None:
        world, haproxy = self.world, self.world.haproxy
        world.faults.clear()
        haproxy.refused_command = haproxy.attached = haproxy.reload_failure = ""
        haproxy.loses_replies, haproxy.taken_ports = False, frozenset()
        world.put(TriggerKind.LOOK)

    def _check_calm(self) -> None:
        world = self.world
        model = world.model()
        assert world.haproxy.running is not None
        found = compare(world.haproxy.running, self._fresh(), is_leaving_ignored=False)
        assert [] == found, found
        files = world.make_renderer().render(model).files
        assert world.disk.current == files
        groups = world.controller.desired.groups()
        specs = [spec for spec, _ in map(parse_container, self._containers()) if spec]
        bad = {spec.label for spec in specs if BROKEN in str(spec.settings.extra_lines)}
        doubtful = {spec.label for spec in specs if FICKLE in str(spec.settings.extra_lines)}
        good = {spec.label for spec in specs if BROKEN not in str(spec.settings.extra_lines)}
        if not bad & groups.keys():
            # Of a service that HAProxy may refuse, only the containers with settings that it takes are there.
            present = {spec.container.id for group in groups.values() for spec in group}
            wanted = [
                spec
                for spec in specs
                if spec.label in (good - bad) & groups.keys()
                and (spec.label not in doubtful or spec.container.id in present)
            ]
            index = ModelIndex(world.settings, None, world.own_files.certificates)
            index.update(label_specs(wanted))
            assert files == world.make_renderer().render(index.model()).files
        assert good - bad - doubtful <= groups.keys()
        problems = world.controller.desired.problems()
        rejected = {problem.service for problem in problems if "HAProxy rejects it" in problem.reason}
        assert bad - good <= rejected <= bad | doubtful, (bad, good, doubtful, rejected)
        assert not [problem for problem in problems if "could not be checked" in problem.reason]
        memory = world.controller.desired._checks
        assert memory._refused.keys() | memory._settings.keys() <= {spec.label for spec in specs}
        assert memory._accepted - memory._plain <= {spec.settings for spec in specs}

    def _containers(self) -> list[Container]:
        return [container for group in self.services.values() for container in group]

    def _tell(self) -> None:
        self.world.source.set(self._containers())
        self.world.put(TriggerKind.LOOK)

    def _pick(self, index: int) -> str:
        return sorted(self.services)[index % len(self.services)]

    def _make(self, name: str, labels: dict[str, str]) -> Container:
        self.created += 1
        address = self._new_address()
        values: dict[str, Any] = {"ports": (80, TCP_PORT), "address": address, "created": self.created}
        if name == OF_FILE:
            values["id"] = f"shop/{name}-{self.created}"
        return make_container(f"{name}-{self.created}", service=name, labels=labels, **values)

    def _new_address(self) -> str:
        self.created += 1
        return f"127.0.{self.created // 250}.{self.created % 250 + 1}"

    def _running(self) -> WorkerState:
        assert self.world.haproxy.running
        return self.world.haproxy.running

    def _fresh(self) -> WorkerState:
        running = self.world.start_fresh().running
        assert running
        return running

    def _reload_by_others(self) -> None:
        haproxy = self.world.haproxy
        if haproxy.running and haproxy.files() and not haproxy.taken_ports:
            haproxy.reloads += 1
            haproxy.running = haproxy.load_current()
            self.world.put(TriggerKind.HAPROXY)

    def _die(self, what: str) -> None:
        match what:
            case "kill":
                self.world.kill_haproxy()
            case "kill and start":
                self.world.kill_haproxy()
                self.world.start_haproxy()
            case "reload by others":
                self._reload_by_others()
            case "controller":
                raise ControllerKilledError


def compare(found: WorkerState, fresh: WorkerState, *, is_leaving_ignored: bool) -> list[str]:
    """Return what an HAProxy has that a fresh one has not, and the other way round.

    What leaves gets no traffic: a backend that is unpublished, and a server in maintenance that the model does not have.
    """
    first, second = (_describe(state) for state in (found, fresh))
    leaving = {key for key, value in first.items() if value == "leaving"}
    for name, servers in found.servers.items():
        keys = {f"server {name}/{key}" for key, server in servers.items() if server.state is ServerState.MAINT}
        leaving |= keys - second.keys()
    return [
        f"{key}: {first.get(key)} is not {second.get(key)}"
        for key in sorted({*first, *second} - (leaving if is_leaving_ignored else set()))
        if first.get(key) != second.get(key)
    ]


def _describe(state: WorkerState) -> dict[str, object]:
    told: dict[str, object] = {}
    for name, servers in state.servers.items():
        is_published = name in state.published
        told[f"backend {name}"] = ("published", state.profiles.get(name)) if is_published else "leaving"
        for key, server in servers.items():
            words = [word for word in server.words.split() if word != "disabled"]
            place = words.index("weight") if "weight" in words else len(words)
            del words[place : place + 2]
            value = (server.address, server.port, server.weight, server.state, tuple(words))
            told[f"server {name}/{key}"] = value if is_published else "leaving"
    for file, rows in state.maps.items():
        told[file] = rows if file.endswith(("patterns.map", "wildcards.map")) else sorted(rows)
    # One that an interrupted update has left behind is in no list, and nobody is shown it.
    told["certificates"] = {name: state.certificates.get(name, "")[-120:] for name in sorted(state.listed)}
    told["listed"] = sorted(state.listed)
    # The table of sessions of a backend that has gone stays until the next reload; so do profiles.
    own = {
        header: tuple(line for line in lines if not line.startswith("localpeer "))
        for header, lines in state.loaded.sections.items()
        if not header.startswith(("backend", "defaults profile_", "peers "))
    }
    return told | own


@pytest.fixture(autouse=True)
def _quiet_log() -> Any:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Transaction,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_haproxy_has_the_model_whatever_happened() -> None:
    run(300, 50)


@pytest.mark.soak
def test_haproxy_has_the_model_whatever_happened_for_long() -> None:
    run(5000, 80)
