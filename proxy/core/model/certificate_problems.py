"""What is wrong with the certificates that are served, for the hosts that services have, at this time.

In: the specs of services, the certificates that are served, and a clock. Out: problems. Those that depend on the time are
looked for again only when one of them can come or go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.core.model.certificate_cover import CertificateCover
from proxy.core.model.certificate_dates import DatedProblems, find_dated_problems
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.model import StoredCertificate
from proxy.core.model.service_table import Specs
from proxy.errors import Problem


class CertificateProblems:
    """Kept up to date as services change. `wall_clock` counts seconds from the epoch."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._cover = CertificateCover()
        self._dated: tuple[tuple[StoredCertificate, ...], DatedProblems] = (), DatedProblems()

    def set_specs(self, label: str, specs: Specs) -> None:
        """Set the containers of a service; none if it has gone."""
        self._cover.set_specs(label, specs)

    def find(self, served: tuple[StoredCertificate, ...], own: ProxyCertificates) -> Sequence[Problem]:
        """Return the problems of the certificates that are served; `own` tells where the proxy's come from."""
        self._cover.set_certificates(served)
        now, (known, found) = self._wall_clock(), self._dated
        if served is not known or not found.since <= now < found.until:
            found = find_dated_problems(served, own.origins, now)
            self._dated = served, found
        return [*self._cover.problems(), *found.problems]
