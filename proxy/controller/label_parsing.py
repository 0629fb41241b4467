"""Reads the labels of containers. Whatever goes wrong there costs one container its route, and nothing else.

In: containers. Out: specs, and problems and notes of their labels. A service whose new container brings a certificate that
is broken keeps the one that it has.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from proxy.core.containers.containers import Container
from proxy.core.labels import simple_routing
from proxy.core.labels.deactivation import is_deactivated
from proxy.core.labels.labels import certificates_of, parse_container, service_label
from proxy.core.labels.misspellings import find_misspellings
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.spec_index import Parsed
from proxy.errors import Problem
from proxy.grammar.certificates import Certificate
from proxy.grammar.syntax import make_backend_name
from proxy.settings import RoutingMode, RoutingSettings

logger = logging.getLogger(__name__)


class LabelParser:
    """Parses in the routing mode of `settings`; remembers the certificates that labels have brought."""

    def __init__(self, settings: RoutingSettings) -> None:
        self._settings = settings
        self._certificates: dict[str, Mapping[str, Certificate]] = {}
        self._previous: ProxyCertificates | None = None
        self._is_starting = True

    def parse(self, container: Container) -> Parsed:
        """Return what the container asks for, and what is wrong with it. Raises nothing."""
        try:
            specs, problems = self._parse(container)
            if is_deactivated(container.labels):
                return specs, problems
            return specs, (*problems, *find_misspellings(container, self._settings.routing_mode))
        except Exception as error:
            logger.exception("container %s is left out because of an error in this program", container.name)
            reason = f"left out because of an error in this program ({type(error).__name__}); the log has the details"
            return (), (Problem(service=service_label(container), container=container.place, reason=reason),)

    def set_previous(self, certificates: ProxyCertificates) -> None:
        """Set the proxy's certificates, which know what services had in an earlier run. It counts until `end_start`."""
        self._previous = certificates if self._is_starting else None

    def end_start(self) -> None:
        """From now on only the certificates that labels have brought are remembered."""
        self._is_starting, self._previous = False, None

    def certified(self) -> Iterable[str]:
        """Return the services of which a certificate is remembered."""
        return self._certificates.keys()

    def forget(self, label: str) -> None:
        """Forget the certificates of a service that has gone."""
        self._certificates.pop(label, None)

    def _parse(self, container: Container) -> Parsed:
        if self._settings.routing_mode is RoutingMode.SIMPLE:
            return simple_routing.parse_container(container, self._settings.simple)
        label = service_label(container)
        known = self._known_certificates(label)
        spec, problems = parse_container(container, extra_settings=self._settings.extra_settings, known_certificates=known)
        if spec and (certificates := certificates_of(spec.settings)):
            self._certificates[label] = certificates
        return ((spec,) if spec else ()), problems

    def _known_certificates(self, label: str) -> Mapping[str, Certificate]:
        if label in self._certificates or self._previous is None:
            return self._certificates.get(label, {})
        return self._previous.previous_of(make_backend_name(label))
