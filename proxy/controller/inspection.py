"""What a pass would bring HAProxy to, without doing it: for `proxy check`, `routes` and `render`.

In: the sources, once. Out: the files, every problem and note. HAProxy checks the files, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proxy.controller.config_check import ConfigCheck
from proxy.controller.desired_model import DesiredModel
from proxy.controller.pending import Pending
from proxy.controller.ports import HaproxyControl
from proxy.core.haproxy.file_names import CONFIG_FILE
from proxy.core.haproxy.loaded import listening_ports, port_uses
from proxy.core.haproxy.refused_lines import find_places
from proxy.core.haproxy.rendering import DesiredState, Renderer
from proxy.core.model.own_files import OwnFiles
from proxy.errors import CheckNotRunError, ConfigCheckError, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What HAProxy is to run, what is wrong, and who is left out on purpose."""

    state: DesiredState
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]


class Inspector:
    """Looks once. Nothing that it does reaches the HAProxy that runs."""

    def __init__(
        self,
        *,
        desired: DesiredModel,
        check: ConfigCheck,
        renderer: Renderer,
        own_files: Callable[[], OwnFiles],
        control: HaproxyControl,
    ) -> None:
        self._desired = desired
        self._check = check
        self._renderer = renderer
        self._own_files = own_files
        self._control = control
        self._pending = Pending()

    @property
    def renderer(self) -> Renderer:
        """What prints the files."""
        return self._renderer

    def check_own_settings(self) -> None:
        """Raise ConfigCheckError or TemplateError when HAProxy refuses a configuration without any service.

        A check that could not be run proves nothing and is no reason not to begin.
        """
        self._desired.set_certificates(self._own_files().certificates)
        state = self._renderer.render(self._desired.builder()(()))
        try:
            self._check.check(state.files)
        except CheckNotRunError:
            return
        except ConfigCheckError as error:
            raise _located(error, state) from error

    def inspect(self, running_config: str = "") -> Inspection:
        """Return what a pass would come to. `running_config` is what HAProxy runs with; empty if no HAProxy answers.

        Raises SourceError, StateError, TemplateError, CheckNotRunError, or ConfigCheckError where no service is at fault.
        """
        self._desired.set_certificates(self._own_files().certificates)
        self._desired.observe(self._pending, is_resync=True)
        self._desired.update(self._pending)
        self._desired.hold_ports(port_uses(running_config), self._pending)
        own_ports = listening_ports(running_config)
        self._desired.look_at_ports(
            lambda ports: self._control.find_taken_ports({*ports} - own_ports),
            lambda ports: self._control.find_ipv4_only_ports({*ports} - own_ports),
        )
        while True:
            self._desired.update(self._pending)
            state = self._renderer.render(self._desired.model())
            try:
                self._check.check(state.files)
            except ConfigCheckError as error:
                groups = self._desired.groups()
                try:
                    culprits = self._check.find_culprits(groups, self._desired.builder())
                except ConfigCheckError as nobody:
                    raise _located(error, state) from nobody
                if not self._desired.refuse(culprits, groups, self._pending):
                    raise _located(error, state) from error
            else:
                return Inspection(state=state, problems=self._desired.problems(), notes=self._desired.notes())


def _located(error: ConfigCheckError, state: DesiredState) -> ConfigCheckError:
    """Return the error with the places that its messages are about."""
    return ConfigCheckError(error.messages, find_places(error.messages, state.files[CONFIG_FILE]))
