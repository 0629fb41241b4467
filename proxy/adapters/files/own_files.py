"""The files and names in the proxy's own settings: certificates, the CA of client certificates, templates, and the rest.

In: `Settings`. Out: `OwnFiles` with their present content. A file that cannot be used becomes a problem. What was read last
stays in force, also over a restart (`kept_files`).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cryptography import x509

from proxy.adapters.files.host_names import HostNames
from proxy.adapters.files.kept_files import KeptFiles
from proxy.adapters.files.own_names import OwnNames
from proxy.core.haproxy.own_lines import Substitutes, file_paths, log_hosts, server_hosts
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.own_files import OwnFiles
from proxy.errors import THE_PROXY, Problem, SettingsError
from proxy.grammar.certificates import normalise_pem
from proxy.secret import Secret
from proxy.settings import Settings, TlsSettings

COPIED = "mounted-certificates"
"""The folder, below the state folder, that holds copies of certificates which only root may read. See `privileges`."""


class OwnFileReader:
    """Reads the files again at each call. Any thread may call it, but only one at a time."""

    def __init__(
        self, read_certificates: Callable[[], ProxyCertificates], settings: Settings, kept: KeptFiles, names: HostNames
    ) -> None:
        self._read_certificates = read_certificates
        self._settings = settings
        self._kept = kept
        self._names = OwnNames(names, log_hosts(settings), server_hosts(settings))
        self._client_ca = settings.tls.ca_certificate
        self._addresses: Mapping[str, str] = {}
        self._paths = [Path(path) for path in sorted(file_paths(settings))]

    def substitutes(self) -> Substitutes:
        """Return what stands for names without an address, as of the last reading, and for files that are missing now.

        Any thread may call it.
        """
        copies = {path: self._kept.copy_of(path) for path in self._paths}
        missing = {str(path): str(copy) for path, copy in copies.items() if not path.exists() and copy.exists()}
        return Substitutes(addresses=self._addresses, files=missing)

    def read(self) -> OwnFiles:
        """Return the present content of the files. A file that cannot be used becomes a problem.

        Raises SettingsError if the CA has never been read, because every visitor would be let in without it.
        """
        certificates = self._read_certificates()
        problems = [*certificates.problems, *_stale_copies(self._settings.tls), *self._read_client_ca()]
        problems += [*self._keep_setting_files(), *self._keep_templates()]
        self._addresses, faults = self._names.read()
        problems += [self._without_address(name, reason) for name, reason in faults.items()]
        problems += self._keep_named_files()
        return OwnFiles(
            certificates=dataclasses.replace(certificates, client_ca=self._client_ca, problems=tuple(problems)),
            templates=_digest(self._settings.runtime.templates_folder),
            addresses=self._addresses,
        )

    def _read_client_ca(self) -> Iterator[Problem]:
        path = self._settings.tls.ca_file
        if path is None:
            return
        try:
            self._client_ca = _read_ca(path)
            self._kept.keep(path)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            if self._client_ca is None:
                self._client_ca = self._kept_ca(path)
            if self._client_ca is None:
                raise SettingsError([f"CA_CERT_FILE={path}: {why}"]) from error
            yield _own_problem("CA_CERT_FILE", path, f"{why}; HAProxy keeps the CA that it has")

    def _kept_ca(self, path: Path) -> Secret | None:
        try:
            return _read_ca(self._kept.copy_of(path))
        except (OSError, ValueError):
            return None

    def _keep_setting_files(self) -> Iterator[Problem]:
        for variable, path in self._settings.runtime.setting_files:
            if not self._kept.keep(path):
                yield _own_problem(variable, path, "cannot be read; the proxy uses the lines that it read last")

    def _keep_templates(self) -> Iterator[Problem]:
        folder = self._settings.runtime.templates_folder
        if folder == self._settings.runtime.own_templates_folder:
            return
        copies = self._kept.copy_of(folder)
        names = {path.name for path in (*folder.glob("*.j2"), *copies.glob("*.j2"))}
        missing = [name for name in sorted(names) if not self._kept.keep(folder / name, copies / name)]
        if missing:
            reason = f"{', '.join(missing)} cannot be read; the proxy uses what it read last"
            yield _own_problem("PROXY_TEMPLATES", folder, reason)

    def _keep_named_files(self) -> Iterator[Problem]:
        """Keep the files in the operator's lines, and tell which of them are missing and have a copy."""
        for path in self._paths:
            self._kept.keep(path)
        reason = "a setting names this file, which is missing; HAProxy gets the copy that the proxy has kept of it"
        for missing in self.substitutes().files:
            yield Problem(service=THE_PROXY, reason=f"{missing}: {reason}")

    def _without_address(self, name: str, reason: str) -> Problem:
        target = self._settings.haproxy.log_target
        if name in target:
            reason = f"{name} {reason}; the log goes to standard output until the name has an address"
            return Problem(service=THE_PROXY, setting="RSYSLOG_DESTINATION", value=target, reason=reason)
        consequence = "until the name has an address, HAProxy sends nothing there"
        return Problem(service=THE_PROXY, reason=f"the host name {name} in a setting {reason}; {consequence}")


def _own_problem(setting: str, path: Path, reason: str) -> Problem:
    return Problem(service=THE_PROXY, setting=setting, value=str(path), reason=reason)


def _stale_copies(tls: TlsSettings) -> Iterator[Problem]:
    """Yield a problem for each setting whose files are copies: renewals of the originals are not seen."""
    for setting, path in (("CERT_FOLDER", tls.certificate_folder), ("CA_CERT_FILE", tls.ca_file)):
        if path and COPIED in path.parts:
            reason = (
                "a renewed certificate is used only after a restart, because only root may read all of the files and the "
                "proxy copies them at its start; run chmod o+r on them"
            )
            yield Problem(service=THE_PROXY, setting=setting, reason=reason)


def _read_ca(path: Path) -> Secret:
    """Return the certificates of a CA as PEM. Raises ValueError if HAProxy would refuse them."""
    text = normalise_pem(path.read_text())
    if text.count("-----BEGIN ") != text.count("-----END "):
        raise ValueError("ends in the middle; is it complete?")
    try:
        x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise ValueError("contains no certificate that can be read; write the CA's certificate as PEM") from error
    return Secret(text)


def _digest(folder: Path) -> str:
    """Return a digest that changes whenever a template does. Templates that cannot be read are left out."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.j2")):
        try:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        except OSError:
            continue
    return digest.hexdigest()
