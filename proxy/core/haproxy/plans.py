"""What a pass decides to do, as data: nothing, runtime commands, or a reload. A reload always has a reason."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.core.haproxy.runtime_commands import Action
from proxy.core.model.model import Backend
from proxy.core.model.model_change import ModelChange


@dataclass(frozen=True, slots=True)
class Unchanged:
    """What runs is what is desired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeUpdate:
    """The running HAProxy can be brought to the desired state by commands, without a reload.

    They come in `stages`, each in order: nobody is sent to what the stage before has not made.
    Servers (as backend, server) and backends that leave are deleted once their connections have ended; those that return
    before that are deleted no more.
    """

    stages: tuple[tuple[Action, ...], ...]
    changes: tuple[str, ...]
    servers_leaving: tuple[tuple[str, str], ...] = ()
    backends_leaving: tuple[Backend, ...] = ()
    servers_returning: tuple[tuple[str, str], ...] = ()
    backends_returning: tuple[str, ...] = ()

    @property
    def commands(self) -> tuple[Action, ...]:
        """Those of all stages."""
        return tuple(action for stage in self.stages for action in stage)


@dataclass(frozen=True, slots=True)
class Reload:
    """A new worker has to take over, for `reasons`."""

    reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.reasons:
            raise ValueError("a reload needs a reason")


Plan = Unchanged | RuntimeUpdate | Reload


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How a change is brought to HAProxy: what commands do `now`, and what only a reload can do.

    `rest` is the part of the change that HAProxy does not have after `now`. Nothing in `now` depends on it.
    """

    now: RuntimeUpdate | None = None
    reload_reasons: tuple[str, ...] = ()
    rest: ModelChange = field(default_factory=ModelChange)

    @property
    def plan(self) -> Plan:
        """What the step comes to as a whole."""
        if self.reload_reasons:
            return Reload(self.reload_reasons)
        return self.now or Unchanged()
