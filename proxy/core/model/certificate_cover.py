"""Whether the hosts of services have a certificate, and FORCE_SSL leads somewhere. Kept up to date as services change.

In: services' entries and the certificates. Out: problems. They keep nothing from being served: visitors get a warning of
their browser, or no answer.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence

from proxy.core.model.matching import matches_domain
from proxy.core.model.model import StoredCertificate
from proxy.core.model.service_table import Specs
from proxy.errors import Problem
from proxy.grammar.certificates import covers
from proxy.grammar.virtual_host import Scheme, VirtualHost


class CertificateCover:
    """The problems of each service by its label. The cost of a change follows its size, except where certificates change."""

    def __init__(self) -> None:
        self._certificates: tuple[StoredCertificate, ...] = ()
        self._exact: frozenset[str] = frozenset()
        self._specs: dict[str, Specs] = {}
        self._problems: dict[str, tuple[Problem, ...]] = {}

    def set_certificates(self, certificates: tuple[StoredCertificate, ...]) -> None:
        """Set which certificates are served, the default first."""
        if certificates is not self._certificates:
            self._certificates = certificates
            self._exact = frozenset(name for stored in certificates for name in stored.certificate.names)
            for label, specs in self._specs.items():
                self._look_at(label, specs)

    def set_specs(self, label: str, specs: Specs) -> None:
        """Set the containers of a service; none if it has gone."""
        concerns = any(spec.settings.force_ssl or any(e.scheme.is_tls for e in spec.virtual_hosts) for spec in specs)
        self._problems.pop(label, None)
        self._specs.pop(label, None)
        if concerns:
            self._specs[label] = specs
            self._look_at(label, specs)

    def problems(self) -> Sequence[Problem]:
        """Return the problems of all services."""
        return [problem for problems in self._problems.values() for problem in problems]

    def _look_at(self, label: str, specs: Specs) -> None:
        newest = max(specs, key=lambda spec: (spec.container.created, spec.container.id))
        reasons = {("VIRTUAL_HOST", reason): None for reason in self._uncovered(newest.virtual_hosts)}
        if newest.settings.force_ssl:
            reasons |= {("FORCE_SSL", reason): None for reason in _leads_nowhere(newest.virtual_hosts)}
        self._problems.pop(label, None)
        if reasons:
            self._problems[label] = tuple(Problem(service=label, setting=name, reason=text) for name, text in reasons)

    def _uncovered(self, entries: Iterable[VirtualHost]) -> Iterator[str]:
        if not self._certificates:
            return  # without any certificate there is no TLS, and every such entry is a problem already
        for entry in entries:
            if entry.scheme.is_tls and not _is_address(entry.domain) and not self._is_covered(entry):
                yield (
                    f"{entry}: no certificate is for {entry.domain}, so visitors get a warning; add one "
                    "(SSL_CERT, or CERT_FOLDER of the proxy)"
                )

    def _is_covered(self, entry: VirtualHost) -> bool:
        if not entry.has_exact_domain:
            return any(matches_domain(entry.domain, name) for name in self._exact)
        wildcard = "*." + entry.domain.partition(".")[2]
        return any(name in self._exact and covers(name, entry.domain) for name in (entry.domain, wildcard))


def _leads_nowhere(entries: Sequence[VirtualHost]) -> Iterator[str]:
    """Yield a reason for each plain entry whose visitors FORCE_SSL sends to a host that the service does not have."""
    secure = [entry.domain for entry in entries if entry.scheme is Scheme.HTTPS]
    for entry in entries:
        if entry.scheme is Scheme.HTTP and not any(matches_domain(domain, entry.domain) for domain in secure):
            yield f"{entry}: visitors are to be sent to https, but VIRTUAL_HOST has no https entry; add https://{entry.domain}"


def _is_address(domain: str) -> bool:
    try:
        ipaddress.ip_address(domain.strip("[]"))
    except ValueError:
        return False
    return True
