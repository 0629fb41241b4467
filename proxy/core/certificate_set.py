"""Which certificates are served, in which order and under which file names.

In: the proxy's own certificates and those of services. Out: `StoredCertificate`s, the default first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.core.certificates import Certificate
from proxy.core.model import StoredCertificate
from proxy.core.services import Service
from proxy.errors import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyCertificates:
    """The certificates that the proxy itself is given: (file name, certificate), the default one apart.

    With `exclusive` (CERT_FOLDER) those of services are ignored. `problems` are the files that cannot be used.
    """

    default: Certificate | None = None
    others: tuple[tuple[str, Certificate], ...] = ()
    exclusive: bool = False
    problems: tuple[Problem, ...] = ()


def collect_certificates(services: Sequence[Service], own: ProxyCertificates) -> tuple[StoredCertificate, ...]:
    """Return every certificate to serve, the default first, each under a file name of its own."""
    default = [StoredCertificate(name="cert0.pem", certificate=own.default)] if own.default else []
    stored: dict[str, StoredCertificate] = {}
    for name, certificate in own.others:
        stored[f"{name}.pem"] = StoredCertificate(name=f"{name}.pem", certificate=certificate)
    for service in () if own.exclusive else services:
        # "~" keeps project and service apart, and is in no name of either; ":" would mean a line in crt-list commands
        base = service.name.replace(":", "~")
        named = [(f"{base}.pem", certificate) for certificate in service.settings.certificates]
        for certificate in service.settings.default_certificates:
            entry = StoredCertificate(name=f"{base}~default.pem", certificate=certificate, services=service.labels)
            if default:
                stored[entry.name] = entry
            else:
                default.append(entry)
        for name, certificate in named:
            stored[name] = StoredCertificate(name=name, certificate=certificate, services=service.labels)
    return (*default, *(stored[name] for name in sorted(stored)))


def brings_certificates(service: Service) -> bool:
    return bool(service.settings.certificates or service.settings.default_certificates)
