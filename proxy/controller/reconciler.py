"""One pass, no loop, no sleep: take in, decide, bring HAProxy to it.

In: why a pass is due. Out: an `Outcome`. A pass is a transaction: what it takes in is pending until HAProxy has confirmed
it, whatever fails in between. Nothing here waits: files, checks and reloads run in the background, and a later pass takes
their results in. What a pass costs follows what changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from proxy.controller.check_jobs import OwnFilesJobs, ServiceCheckJobs
from proxy.controller.desired_model import DesiredModel
from proxy.controller.haproxy_state import HaproxyState
from proxy.controller.health_jobs import HealthJobs
from proxy.controller.model_loads import ModelLoads
from proxy.controller.pending import Pending
from proxy.controller.ports import Background, HaproxyControl
from proxy.controller.schedule import DuePass
from proxy.controller.sentences import describe, tell_differences
from proxy.core.haproxy.plans import Plan, Reload, Unchanged
from proxy.errors import THE_PROXY, CommandRefusedError, Problem, ProxyError, RuntimeApiError

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
"""How long nobody may have asked HAProxy who it is."""
START_POLL_SECONDS = 0.05
"""How soon to ask again an HAProxy that does not answer: it may be starting."""
LONGEST_START_POLL_SECONDS = 1.0
UNREACHABLE_SECONDS = 5.0
"""How long HAProxy may not answer before the supervisor is asked to look at it, and how often it is asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a pass did: one sentence for the log, and what it leaves behind.

    `again_in` is in seconds, and so is `look_seconds`: how long reading the sources took, and HAProxy at a resync. `forced`
    counts the reloads that users had asked for and that have ended.
    """

    sentence: str
    is_success: bool
    plan: Plan
    services: int
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    servers: Mapping[str, str] = field(default_factory=dict)
    """Why servers get no requests, by `backend/server`."""
    again_in: float | None = None
    look_seconds: float = 0.0
    forced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """What runs in the background, and the threads that it runs in."""

    own_files: OwnFilesJobs
    services: ServiceCheckJobs
    loads: ModelLoads
    health: HealthJobs
    threads: tuple[Background, ...]

    def deliver(self) -> bool:
        """Take in what has ended; return whether anything has."""
        return bool(sum(thread.deliver() for thread in self.threads))


class Reconciler:
    """Brings HAProxy to what the sources say. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        *,
        desired: DesiredModel,
        haproxy: HaproxyState,
        control: HaproxyControl,
        pending: Pending,
        jobs: Jobs,
        clock: Callable[[], float],
    ) -> None:
        self._desired = desired
        self._haproxy = haproxy
        self._control = control
        self._pending = pending
        self._jobs = jobs
        self._clock = clock
        self._seen_at = clock()
        self._silent_since: float | None = None
        self._asked_at = 0.0
        self._look_seconds = 0.0
        self._is_drift_due = False

    def run_pass(self, due: DuePass) -> Outcome:
        """Run one pass.

        Raises SourceError while no source has answered yet. Whatever is raised, HAProxy goes on as it was, and what was
        taken in is done by a later pass.
        """
        started = self._clock()
        if due.forced_by:
            self._pending.ask_reload(due.forced_by, is_forced=True)
        if due.is_about_haproxy:
            self._haproxy.recognise()
        self._jobs.own_files.begin(started, is_due=due.is_resync or due.is_about_files)
        self._jobs.deliver()
        self._desired.observe(self._pending, is_resync=due.is_resync)
        self._look_seconds = self._clock() - started
        plan = self._bring_up_to_date(is_resync=due.is_resync)
        while self._jobs.deliver():  # where jobs do not run in another thread, their results are here at once
            more = self._bring_up_to_date(is_resync=False)
            plan = more if isinstance(plan, Unchanged) else plan
        return self._outcome(plan)

    def _bring_up_to_date(self, *, is_resync: bool) -> Plan:
        self._update_model()
        self._leave_taken_ports_out(is_resync=is_resync)
        plan = self._apply(is_resync=is_resync)
        now = self._clock()
        self._jobs.loads.begin(now)
        self._jobs.services.begin(now)
        if self._haproxy.is_synchronised:
            self._jobs.health.begin(now, is_due=is_resync)
        return plan

    def _update_model(self) -> None:
        try:
            self._desired.update(self._pending)
        except ProxyError:
            raise
        except Exception:
            # The model may be half changed. It is built anew, and HAProxy is asked what it has.
            self._desired.start_over(self._pending)
            self._haproxy.doubt("an error in this program interrupted a change of the model")
            raise

    def _leave_taken_ports_out(self, *, is_resync: bool) -> None:
        """Leave out ports that another program listens on, with which HAProxy would not start or reload at all."""
        pending = self._pending
        is_due = is_resync or pending.concerns_ports or pending.reload_reasons or not self._haproxy.is_synchronised
        if not is_due:
            return
        before, control = self._desired.ipv4_only_ports, self._control
        if self._desired.look_at_ports(control.find_taken_ports, control.find_ipv4_only_ports):
            self._update_model()
        if free := before - self._desired.ipv4_only_ports:
            pending.ask_reload(f"port {min(free)} can be used over IPv6 now")

    def _apply(self, *, is_resync: bool) -> Plan:
        """Do what can be done at runtime; what needs a reload becomes pending."""
        pending, haproxy, now = self._pending, self._haproxy, self._clock()
        if haproxy.is_synchronised and now >= self._seen_at + HEARTBEAT_SECONDS:
            haproxy.recognise()
            self._seen_at = now
        self._is_drift_due |= is_resync
        if not haproxy.is_synchronised:
            if pending.is_loading or not self._synchronise(now):
                return Unchanged()
        elif self._is_drift_due and pending.is_done:  # else at a later pass, when nothing is under way
            self._look_for_drift()
        step = haproxy.step(pending.change)
        pending.needed = step.reload_reasons
        if step.now is None:
            pending.confirm(step.rest, step.reload_reasons)
            return Unchanged()
        try:
            haproxy.update(step.now, now)
        except CommandRefusedError as error:
            pending.ask_reload(f"HAProxy refuses {error}")
            return Unchanged()
        except RuntimeApiError as error:
            # While a reload is under way, the new worker may answer before it is known that it does.
            level = logging.DEBUG if pending.is_loading else logging.WARNING
            logger.log(level, "%s; the proxy asks HAProxy what it has", error)
            return Unchanged()
        pending.confirm(step.rest, step.reload_reasons)
        self._seen_at = now
        self._jobs.loads.note_change(now)
        return step.now

    def _synchronise(self, now: float) -> bool:
        """Ask HAProxy what it has, and start from there; return whether it has told."""
        why = self._haproxy.doubt_reason
        try:
            if self._haproxy.worker is None:  # a controller that starts takes over from the one before
                self._desired.hold_ports(self._haproxy.read_port_uses(), self._pending)
            found = self._haproxy.synchronise(self._desired.printed_model())
        except CommandRefusedError as error:
            self._pending.ask_reload(f"HAProxy refuses {error}")
            return False
        except RuntimeApiError as error:
            self._wait_for_haproxy(error, now)
            return False
        self._silent_since, self._seen_at, self._is_drift_due = None, now, False
        self._pending.start_from(found.comparison.change, found.reload_reasons)
        if self._haproxy.is_synchronised:
            self._jobs.loads.note_confirmed()
            self._jobs.loads.note_change(now)  # whether the files in force are of the present model, nobody knows
            self._control.tell_synchronised()
            self._report(why, found.comparison.differences)
        return self._haproxy.is_synchronised

    def _report(self, why: str, differences: tuple[str, ...]) -> None:
        level = logging.WARNING if differences else logging.INFO
        pid = self._haproxy.worker.pid if self._haproxy.worker else 0
        message = "HAProxy process %d was compared with the containers (reason: %s): %s"
        logger.log(level, message, pid, why, tell_differences(differences))

    def _wait_for_haproxy(self, error: RuntimeApiError, now: float) -> None:
        """See to it that HAProxy can start from the present files, and is replaced if it runs and cannot be reached."""
        if self._silent_since is None:
            self._silent_since = self._asked_at = now
            logger.debug("HAProxy does not answer: %s", error)
            self._haproxy.doubt("it did not answer")
        is_unreachable = now >= self._asked_at + UNREACHABLE_SECONDS
        self._jobs.loads.prepare_start(are_files_in_doubt=is_unreachable)
        if is_unreachable:
            self._asked_at = now
            logger.warning("HAProxy has not answered for %.0f s: %s", now - self._silent_since, error)
            self._control.ask_replacement()

    def _look_for_drift(self) -> None:
        """Compare what HAProxy has with the model, which it has confirmed: somebody else may have changed it."""
        started = self._clock()
        try:
            comparison = self._haproxy.compare(self._desired.printed_model())
        except RuntimeApiError as error:
            self._haproxy.doubt("it did not answer")
            logger.warning("%s", error)
            return
        self._look_seconds += self._clock() - started
        self._is_drift_due = False
        if comparison.differences:
            logger.warning(
                "HAProxy differed from the containers, somebody may have changed it by hand: %s",
                tell_differences(comparison.differences),
            )
            self._pending.start_from(comparison.change)

    def _outcome(self, plan: Plan) -> Outcome:
        now = self._clock()
        expiry = self._desired.next_expiry()
        waits = [
            HEARTBEAT_SECONDS,
            self._haproxy.remove(now),
            self._jobs.loads.wait(now),
            self._jobs.services.wait(now),
            self._jobs.own_files.wait(now),
            None if expiry is None else max(expiry - now, 0.0),
        ]
        if not self._haproxy.is_synchronised and not self._pending.is_loading:
            silent = 0.0 if self._silent_since is None else now - self._silent_since
            waits.append(min(max(START_POLL_SECONDS, silent / 20), LONGEST_START_POLL_SECONDS))
        ended = self._jobs.loads.take_ended()
        if ended.reasons:
            plan = Reload(ended.reasons)
        problems = self._desired.problems()
        if self._silent_since is not None and now >= self._silent_since + UNREACHABLE_SECONDS:
            reason = "HAProxy does not answer; the log tells why, if HAProxy has said it"
            problems = (*problems, Problem(service=THE_PROXY, reason=reason))
        done = "" if ended.failure and isinstance(plan, Unchanged) else describe(plan)
        failed = f"failed, HAProxy keeps what it has: {ended.failure}" if ended.failure else ""
        return Outcome(
            sentence="; ".join(filter(None, (done, failed))),
            is_success=not ended.failure,
            plan=plan,
            services=self._desired.count_services(),
            problems=problems,
            notes=self._desired.notes(),
            servers=self._desired.servers.reasons(),
            again_in=min(wait for wait in waits if wait is not None),
            look_seconds=self._look_seconds,
            forced=ended.forced,
        )
