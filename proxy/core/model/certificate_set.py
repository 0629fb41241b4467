"""Which certificates HAProxy serves, in which order and under which file names.

In: the proxy's own certificates and those of services. Out: `StoredCertificate`s, the default first.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from proxy.core.labels.labels import certificates_of
from proxy.core.model.model import StoredCertificate
from proxy.core.model.services import Service
from proxy.errors import Problem
from proxy.grammar.certificates import Certificate, parse_certificate
from proxy.grammar.syntax import BackendName, make_file_name
from proxy.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where one of the proxy's own certificates comes from: a variable, or a file of the folder that is its value."""

    setting: str = ""
    value: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyCertificates:
    """The certificates from the proxy's own settings: the default one, and the others with their file names.

    The names have no ending and are all different. Each begins with `~`, which no service's name does. With `exclusive`
    (CERT_FOLDER), certificates of services are ignored. `client_ca` is the CA of client certificates. `problems` are the
    files that cannot be used. `look_again_in` is in seconds: the files are to be read again then. `origins` are by the
    fingerprints of the certificates. `previous` are the PEMs of an earlier run, by the names under which HAProxy has them.
    """

    default: Certificate | None = None
    others: tuple[tuple[str, Certificate], ...] = ()
    exclusive: bool = False
    client_ca: Secret | None = None
    problems: tuple[Problem, ...] = ()
    look_again_in: float | None = field(default=None, compare=False)
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False)
    previous: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def previous_of(self, service: BackendName) -> Mapping[str, Certificate]:
        """Return the certificates that a service had in an earlier run, by the names of their labels."""
        found: dict[str, Certificate] = {}
        for label, file in _files_of(service).items():
            if file in self.previous:
                with contextlib.suppress(ValueError):
                    found[label] = parse_certificate(self.previous[file])
        return found


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
        files = _files_of(service.name)
        for label, certificate in certificates_of(service.settings).items():
            name = files[label]
            stored[name] = StoredCertificate(name=name, certificate=certificate, services=service.labels)
        if service.settings.default_certificates:
            wanted.append(stored[files["DEFAULT_SSL_CERT"]])
    every = tuple(stored[name] for name in sorted(stored))
    if own.default:
        return StoredCertificate(name=DEFAULT_NAME, certificate=own.default), *every
    default = (*wanted, *every)[:1]
    return *(dataclasses.replace(first, name=DEFAULT_NAME) for first in default), *every


def _files_of(service: BackendName) -> Mapping[str, str]:
    """Return the names of the files of a service's certificates, by the names of the labels."""
    # A service called `shop:default` would get the name of the second file of a service called `shop`.
    base = make_file_name(service, "service", is_taken=service.endswith(":default"))
    return {"SSL_CERT": f"{base}.pem", "DEFAULT_SSL_CERT": f"{base}~default.pem"}


def brings_certificates(service: Service) -> bool:
    return bool(service.settings.certificates or service.settings.default_certificates)
