"""What was taken in and is not done yet. This is the one place that says so; nothing in it is forgotten until it is done.

In: what a pass is asked for, what changed, what HAProxy has confirmed. Out: what remains to be done. A pass may fail
anywhere: what it took in is still here at the next one.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.core.model.model_change import ModelChange


class Pending:
    """Everything between the sources and HAProxy's word that it has it.

    `touched` are services that are still to be looked at. `change` leads from what HAProxy has confirmed to the model.
    A reload is due for reasons of three kinds: those that were asked for stay until it is done; `found` ones follow from
    what HAProxy has loaded, `needed` ones from `change`, and both are found out anew each time.
    """

    def __init__(self) -> None:
        self.touched: set[str] = set()
        self.change = ModelChange()
        self.found: tuple[str, ...] = ()
        self.needed: tuple[str, ...] = ()
        self.is_suspect = False
        """Whether `change` may begin from something else than what HAProxy has: it is to be asked."""
        self.forced = 0
        """How many reloads that users asked for are still to be done."""
        self._asked: dict[str, None] = {}
        self._loading: tuple[str, ...] = ()
        self._asked_loading: tuple[str, ...] = ()
        self._forced_loading = 0
        self._change_since: ModelChange | None = None

    @property
    def reload_reasons(self) -> tuple[str, ...]:
        """Why a load is due. What one under way was begun for is left out, unless somebody has asked again."""
        derived = (reason for reason in (*self.found, *self.needed) if reason not in self._loading)
        return tuple(dict.fromkeys((*self._asked, *derived)))

    @property
    def is_loading(self) -> bool:
        """Whether a load is under way."""
        return self._change_since is not None

    @property
    def is_done(self) -> bool:
        """Whether HAProxy has confirmed everything that was taken in."""
        return not (self.touched or self.change or self.reload_reasons or self.is_loading)

    @property
    def concerns_ports(self) -> bool:
        """Whether HAProxy is to listen on other ports than before."""
        return bool(self.change.listeners) or self.change.shapes[0] != self.change.shapes[1]

    def add(self, change: ModelChange) -> None:
        """Take in that the model has changed."""
        self.change = self.change.then(change)
        if self._change_since is not None:
            self._change_since = self._change_since.then(change)

    def ask_reload(self, reason: str, *, is_forced: bool = False) -> None:
        """Ask for a reload, which begins after this moment."""
        self.forced += is_forced
        self._asked[reason] = None

    def confirm(self, rest: ModelChange, needed: Iterable[str]) -> None:
        """HAProxy has confirmed the change, except `rest`, which takes a reload for what is `needed`."""
        self.change, self.needed = rest, tuple(needed)

    def start_from(self, change: ModelChange, found: Iterable[str] = ()) -> None:
        """HAProxy has told what it has: `change` leads from there to the model; a reload is due for what is `found`."""
        self.change, self.found, self.needed, self.is_suspect = change, tuple(found), (), False

    def begin_load(self) -> tuple[str, ...]:
        """Note that the present model is being loaded; return the reasons. What changes from now on comes after it."""
        self._loading, self._asked_loading, self._asked = self.reload_reasons, tuple(self._asked), {}
        self._forced_loading, self.forced = self.forced, 0
        self._change_since = ModelChange()
        return self._loading

    def end_load(self, *, is_confirmed: bool) -> tuple[tuple[str, ...], int]:
        """Note that the load has ended; return its reasons, and how many users had asked for it.

        Where it is not confirmed, everything that it was for is due again.
        """
        reasons, forced = self._loading, self._forced_loading
        if is_confirmed:
            self.change = self._change_since or ModelChange()
            self.found = tuple(reason for reason in self.found if reason not in reasons)
            self.needed = ()
        else:
            self._asked = dict.fromkeys((*self._asked_loading, *self._asked))
            self.forced += forced
        self._loading, self._asked_loading, self._forced_loading, self._change_since = (), (), 0, None
        return reasons, forced
