"""Which certificates HAProxy serves, in which order and under which file names.

In: the proxy's own certificates and those of services. Out: `StoredCertificate`s, the default first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from proxy.core.model.model import StoredCertificate
from proxy.core.model.services import Service
from proxy.errors import Problem
from proxy.grammar.certificates import Certificate
from proxy.grammar.syntax import make_file_name
from proxy.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyCertificates:
    """The certificates from the proxy's own settings: the default one, and the others with their file names.

    The names have no ending and are all different. Each begins with `~`, which no service's name does. With `exclusive`
    (CERT_FOLDER), certificates of services are ignored. `client_ca` is the CA of client certificates. `problems` are the
    files that cannot be used. `look_again_in` is in seconds: the files are to be read again then.
    """

    default: Certificate | None = None
    others: tuple[tuple[str, Certificate], ...] = ()
    exclusive: bool = False
    client_ca: Secret | None = None
    problems: tuple[Problem, ...] = ()
    look_again_in: float | None = field(default=None, compare=False)


DEFAULT_NAME = "default/cert0.pem"
"""The file of the certificate that is served when no SNI matches, no matter whose it is. A fixed name lets another default
certificate replace it at runtime, like a renewed one. It is in a folder, so no service's file can have this name."""


def collect_certificates(services: Sequence[Service], own: ProxyCertificates) -> tuple[StoredCertificate, ...]:
    """Return every certificate to serve, the default first, each under its own file name.

    The default is the proxy's own, else the first DEFAULT_SSL_CERT of a service, else the first of all by name.
    """
    stored: dict[str, StoredCertificate] = {}
    for name, certificate in own.others:
        stored[f"{name}.pem"] = StoredCertificate(name=f"{name}.pem", certificate=certificate)
    wanted: list[StoredCertificate] = []
    for service in () if own.exclusive else services:
        # A service called `shop:default` would get the name of the second file of a service called `shop`.
        base = make_file_name(service.name, "service", is_taken=service.name.endswith(":default"))
        for name, certificates in (
            (f"{base}.pem", service.settings.certificates),
            (f"{base}~default.pem", service.settings.default_certificates),
        ):
            for certificate in certificates:
                stored[name] = StoredCertificate(name=name, certificate=certificate, services=service.labels)
        if service.settings.default_certificates:
            wanted.append(stored[f"{base}~default.pem"])
    every = tuple(stored[name] for name in sorted(stored))
    if own.default:
        return StoredCertificate(name=DEFAULT_NAME, certificate=own.default), *every
    default = (*wanted, *every)[:1]
    return *(dataclasses.replace(first, name=DEFAULT_NAME) for first in default), *every


def brings_certificates(service: Service) -> bool:
    return bool(service.settings.certificates or service.settings.default_certificates)
